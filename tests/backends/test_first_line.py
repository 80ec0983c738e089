"""The first line on the cause of an error, also of one that Keras has put into one of its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.errors import cause, first_line


class Failing(keras.layers.Layer):  # type: ignore[misc]
    """A layer that takes nothing."""

    def call(self, x: Any) -> Any:
        """Fail."""
        raise ValueError("no rows here\nsee above")


def nested() -> Any:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    outer = keras.Sequential([inner, Failing()])
    return outer(np.ones((2, 4), "float32"))


def wrong_rank() -> Any:
    return keras.layers.Conv2D(2, 3)(np.ones((2, 4), "float32"))


def wrong_size() -> Any:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    return model.predict(np.ones((2, 3), "float32"), verbose=0)


def unknown_class() -> Any:
    config = {"class_name": "Dense", "module": "keras.layers", "config": {"unites": 3}}
    return keras.saving.deserialize_keras_object(config)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (nested, "no rows here."),
        (wrong_rank, "Input 0 with name"),
        (wrong_size, "Input 0 "),
        (unknown_class, "Dense.__init__() missing 1 required"),
    ],
)
def test_what_keras_says_around_it_is_left_out(work: Any, expected: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        work()
    line = first_line(caught.value)
    assert line.startswith(expected)
    assert "\x1b" not in line
    assert "Exception" not in line
    assert "Arguments received" not in cause(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no message."),
        ("\n \n", "no message."),
        ("one.", "one."),
        (" one\ntwo", "one."),
        ("Exception encountered when calling Dense.call().", "Exception encountered when calling"),
    ],
)
def test_other_messages(text: str, expected: str) -> None:
    assert first_line(ValueError(text)).startswith(expected)
