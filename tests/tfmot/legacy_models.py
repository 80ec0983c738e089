"""Models of `tf_keras` and data for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras
from tf_keras import layers

RANDOM = np.random.default_rng(0)
ROWS = 48
X = RANDOM.random((ROWS, 4), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2


def mlp(dropout: float = 0.25) -> Any:
    return _seeded(
        [
            layers.Input((4,), name="in"),
            layers.Dense(12, activation="relu", name="a"),
            layers.Dropout(dropout, name="drop"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, name="b"),
        ]
    )


def cnn() -> Any:
    return _seeded(
        [
            layers.Input((2, 2, 1)),
            layers.Conv2D(4, 2, activation="relu", padding="same"),
            layers.DepthwiseConv2D(2, name="by_channel"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def lstm() -> Any:
    return _seeded([layers.Input((2, 2)), layers.LSTM(4, name="lstm"), layers.Dense(1)])


def embedding() -> Any:
    return _seeded(
        [
            layers.Input((4,), dtype="int32"),
            layers.Embedding(10, 4, name="words"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )


def bidirectional() -> Any:
    return _seeded(
        [
            layers.Input((2, 2)),
            layers.Bidirectional(layers.SimpleRNN(3), name="both"),
            layers.Dropout(0.5),
            layers.Dense(1, name="out"),
        ]
    )


def shared() -> Any:
    """A layer that is used twice, and models inside."""
    tf_keras.utils.set_random_seed(2)
    inputs = layers.Input((4,))
    twice = layers.Dense(4, name="twice")
    inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(4, name="deep")], name="inner")
    other = layers.Input((4,))
    functional = tf_keras.Model(other, layers.Dense(3, name="deeper")(other), name="functional")
    outputs = layers.Dense(1, name="out")(functional(inner(twice(twice(inputs)))))
    return tf_keras.Model(inputs, outputs)


def inputs_of(model: Any, rows: int = ROWS) -> Any:
    """Inputs that fit: four numbers or words an example, in whatever shape."""
    if str(model.inputs[0].dtype.name) == "int32":
        return RANDOM.integers(10, size=(rows, 4)).astype("int32")
    return X[:rows].reshape(-1, *model.input_shape[1:])


def _seeded(parts: list[Any]) -> Any:
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(parts, name="old")
