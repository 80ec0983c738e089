"""Both engines train alike: weights, masks and histories of models of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
SERIES = RANDOM.random((50, 5, 3), dtype="float32")
IMAGES = RANDOM.random((50, 6, 6, 2), dtype="float32")
LABELS = (X.sum(axis=1) * 2).astype("int32") % 3
# 50 examples in batches of 16: the last has 2. 4 steps an epoch.
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=4, batch_size=16, seed=3)
SCHEDULES = [
    None,
    ConstantSparsity(0.5, frequency=1),
    PolynomialDecay(0.2, 0.8, begin_step=2, end_step=11, frequency=3),
]


def sequential(*parts: Any) -> Any:
    return keras.Sequential(list(parts))


def mlp() -> Any:
    return sequential(keras.Input((6,)), layers.Dense(12, activation="relu"), layers.Dense(1))


def recurrent() -> Any:
    return sequential(
        keras.Input((5, 3)),
        layers.LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.3),
        layers.Bidirectional(layers.GRU(3)),
        layers.Dense(1),
    )


def cnn(rate: float) -> Any:
    return sequential(
        keras.Input((6, 6, 2)),
        layers.GaussianNoise(rate / 3),
        # No bias: batch normalization takes it away again, and Adam follows the rounding of its
        # gradient, which is 0.
        layers.Conv2D(4, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Dropout(rate),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    )


def embedding() -> Any:
    return sequential(
        keras.Input((4,), dtype="int32"), layers.Embedding(9, 5), layers.Flatten(), layers.Dense(1)
    )


class Grows(layers.Layer):  # type: ignore[misc]
    """Adds to the loss, and counts its calls in a variable that no optimizer trains."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.calls.assign_add(1.0)
        self.add_loss(0.01 * ops.mean(ops.square(inputs)) * self.calls)
        return inputs


keras.saving.register_keras_serializable("parity")(Grows)


def regularized() -> Any:
    return sequential(
        keras.Input((6,)),
        layers.Dense(12, activation="relu", kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-2)),
        Grows(),
        layers.Dense(1, activity_regularizer="l2"),
    )


CLASSES = replace(
    TRAINING, loss="sparse_categorical_crossentropy", metrics=("accuracy",), batch_size=20
)
IDS = (X[:, :4] * 9).astype("int64")
WEIGHTS = RANDOM.random(50).astype("float32")
PRUNED = SCHEDULES[2:]
CASES: dict[str, tuple[Callable[[], Any], Any, Training, list[Any]]] = {
    "mlp": (mlp, (X, Y), TRAINING, SCHEDULES),
    "weights and metrics": (
        mlp,
        (X, Y, WEIGHTS),
        replace(TRAINING, metrics=("mae", "root_mean_squared_error")),
        PRUNED,
    ),
    "recurrent, with dropout": (recurrent, (SERIES, Y), TRAINING, PRUNED),
    "cnn": (lambda: cnn(0.0), (IMAGES, LABELS), CLASSES, PRUNED),
    "cnn with noise and dropout": (
        lambda: cnn(0.3),
        (IMAGES, LABELS),
        replace(CLASSES, class_weight={0: 2.0, 2: 0.25}),
        PRUNED,
    ),
    "embedding": (embedding, (IDS, Y), TRAINING, PRUNED),
    "regularizers and add_loss": (regularized, (X, Y), TRAINING, PRUNED),
}


# They show on larger models what the others show.
LARGER = ("recurrent, with dropout", "cnn with noise and dropout")


@pytest.mark.parametrize(
    "case", [pytest.param(e, marks=pytest.mark.slow) if e in LARGER else e for e in CASES]
)
def test_models(by_both: Any, case: str) -> None:
    build, data, training, schedules = CASES[case]
    keras.utils.set_random_seed(5)
    # On other rows than those of the training, with a smaller batch at the end too.
    validation = tuple(array[:35] for array in data[:2])
    for one, other in zip(*by_both(build(), data, training, schedules, validation), strict=True):
        assert one.failure is None
        assert len(one.history["val_loss"]) == training.epochs
        other.check_close(one)
