"""Which activations act on each number alone, and what they make of constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from trimgrid.shrinking.behaviors import Floats, Known

_MIXING = {"softmax", "log_softmax", "sparsemax", "glu"}
_ELSEWHERE = {"get", "serialize", "deserialize"}
_ELEMENTWISE = [
    getattr(keras.activations, name)
    for name in dir(keras.activations)
    if name.islower() and not name.startswith("_") and name not in _MIXING | _ELSEWHERE
]


def is_elementwise(activation: Any) -> bool:
    """Tell whether an activation is one of Keras' own that act on each number alone.

    >>> is_elementwise(keras.activations.relu), is_elementwise(keras.activations.softmax)
    (True, False)
    """
    return activation is None or any(activation is each for each in _ELEMENTWISE)


def told_activation(activation: Any) -> str:
    """Return an activation's name for a sentence.

    >>> told_activation(keras.activations.softmax)
    'softmax'
    """
    return str(getattr(activation, "__name__", type(activation).__name__))


def applied(function: Callable[..., Any], *values: Floats, dtype: str = "float32") -> Floats:
    """Return what a function of tensors makes of arrays, in float64.

    >>> applied(keras.ops.relu, np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    tensors = [keras.ops.convert_to_tensor(each.astype(dtype)) for each in values]
    return np.asarray(keras.ops.convert_to_numpy(function(*tensors))).astype("float64")


def activated(layer: Any, bias: Floats) -> Callable[[Floats], Known]:
    """Return the function from what is added to a layer's bias to what is known of its units."""
    activation = layer.activation

    def given(added: Floats) -> Known:
        if not is_elementwise(activation):
            return Known.nothing(bias.size)
        value = bias + added
        if activation is not None:
            value = applied(activation, value, dtype=float_type(layer))
        return Known(np.ones(value.shape, bool), value)

    return given


def float_type(layer: Any) -> str:
    """Return the type in which constants of a layer are computed: NumPy's nearest to its own."""
    return "float64" if layer.variable_dtype == "float64" else "float32"
