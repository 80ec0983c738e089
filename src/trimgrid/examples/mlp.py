"""Example 1: a small fully connected network learns y = x**2."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from trimgrid.examples.data import Split, split_indices


def load_data() -> Split:
    """Return the 800 points of y = x**2, x from -2 to 2 in steps of 0.005, as the article has them.

    A fifth (160 points) is set aside for the test, a quarter of the rest (160) for validation, 480
    train. All arrays are float32 of shape (points, 1), in shuffled order.

    >>> split = load_data()
    >>> split.train[0].shape, split.validation[0].shape, split.test[1].shape
    ((480, 1), (160, 1), (160, 1))
    """
    exact = np.arange(-2, 2, 0.005)[:, np.newaxis]
    x, y = exact.astype(np.float32), np.square(exact).astype(np.float32)
    rest, test = split_indices(len(x), 0.2, seed=1)
    kept, aside = split_indices(len(rest), 0.25, seed=1)
    pairs = ((x[chosen], y[chosen]) for chosen in (rest[kept], rest[aside], test))
    return Split(*pairs)


def build_model() -> keras.Model:
    """Return the article's network, new: 1 input, 32, 64 and 32 ReLU units, 1 output.

    The layers have names of their own, so that the size of the saved file does not depend on how
    many layers the process made before.

    >>> build_model().count_params()
    4289
    """
    return keras.Sequential(
        [
            keras.Input((1,), name="input_layer"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(64, activation="relu", name="dense_1"),
            layers.Dense(32, activation="relu", name="dense_2"),
            layers.Dense(1, name="dense_3"),
        ],
        name="mlp_regression_model",
    )
