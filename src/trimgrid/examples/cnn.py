"""Example 3: a convolutional network tells what is on an image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trimgrid.errors import InputError

# What is left of the smallest image after three convolutions and poolings is one pixel.
_SMALLEST_SIDE = 22


def build_model(input_shape: tuple[int, int, int] = (180, 180, 3), classes: int = 5) -> keras.Model:
    """Return the article's network, new, for images of shape (height, width, channels).

    Three times 32 convolutions of 3x3 and a pooling that halves, then 128 units, dropout of one
    half, and one output (a logit) a class. The layers have names of their own, so that the size of
    the saved file does not depend on how many layers the process made before.

    Raises `InputError` for images of less than 22 pixels a side and for less than 2 classes.

    >>> build_model().count_params()
    1658565
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < _SMALLEST_SIDE or input_shape[2] < 1:
        raise InputError(
            f"The images must be at least {_SMALLEST_SIDE} pixels high and wide, with a channel. "
            f"Received: input_shape={input_shape}. Give (height, width, channels)."
        )
    if classes < 2:
        raise InputError(
            f"There must be at least 2 classes. Received: classes={classes}. Give their number."
        )
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input_layer"),
            layers.Conv2D(32, 3, activation="tanh", name="conv2d"),
            layers.MaxPooling2D(name="max_pooling2d"),
            layers.Conv2D(32, 3, activation="tanh", name="conv2d_1"),
            layers.MaxPooling2D(name="max_pooling2d_1"),
            layers.Conv2D(32, 3, activation="tanh", name="conv2d_2"),
            layers.MaxPooling2D(name="max_pooling2d_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(128, activation="tanh", name="dense"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(classes, name="dense_1"),
        ],
        name="cnn_model",
    )


def misclassified(y_true: NDArray[Any], logits: NDArray[Any]) -> float:
    """Return the share of images whose largest logit is not the one of their class, in [0, 1].

    `y_true` has shape (images,) and holds class numbers, `logits` has shape (images, classes). An
    image whose logits are not all finite counts as misclassified.

    >>> misclassified(np.array([0, 1]), np.array([[2.0, 1.0], [2.0, 1.0]]))
    0.5
    """
    right = (np.argmax(logits, axis=1) == y_true) & np.isfinite(logits).all(axis=1)
    return float(np.mean(~right))
