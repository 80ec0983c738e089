"""Copies of models of Keras 2, which share nothing with them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_Made = TypeVar("_Made")


def made_apart(make: Callable[[], _Made]) -> _Made:
    """Make something of Keras 2 without drawing from the random numbers that the caller has seeded.

    `tf_keras.utils.set_random_seed` seeds a generator for its thread, which initializers draw from,
    and nothing public reads or restores it; another thread has none. Its counters of names are
    its own, too.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(make).result()


def copy_legacy(model: Any) -> Any:
    """Return a fresh, uncompiled copy of a model of `tf_keras`: names, weights, what is frozen.

    What its config can't hold raises as Keras does.
    """

    def make() -> Any:
        copy = model.__class__.from_config(model.get_config())
        if not copy.built:
            copy.build(model.input_shape)
        copy.set_weights(model.get_weights())
        return copy

    return made_apart(make)
