"""Which models can be read as a graph of Keras' own layers, and why the others can't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from trimgrid.legacy.telling import is_legacy

_INNER = ("layer", "forward_layer", "backward_layer", "cell")
"""The attributes in which wrappers and recurrent layers have their layers."""


def why_whole(model: Any) -> str | None:
    """Return why a model can't be shrunk at all, None if it can be read.

    >>> why_whole(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    """
    if is_legacy(model):
        return f"{model.name!r} is a model of tf_keras, which is not followed."
    inside = list(all_layers(model))
    for layer in inside:
        kind = type(layer).__name__
        if not _is_own(layer) and isinstance(layer, keras.Model):
            return f"Only its class knows how the layers of {layer.name!r}, a {kind}, are called."
        if not _is_own(layer):
            return f"{layer.name!r} is a {kind}, a custom layer, which may do anything."
    for layer in inside:
        if isinstance(layer, keras.Model) and not getattr(layer, "inputs", None):
            return f"{layer.name!r} does not tell its inputs."
    return None


def _is_own(layer: Any) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def all_layers(layer: Any) -> Iterator[Any]:
    """Return a layer and all layers in it: those of models, wrappers and recurrent layers.

    >>> [type(each).__name__ for each in all_layers(keras.layers.LSTM(2))]
    ['LSTM', 'LSTMCell']
    """
    yield layer
    cells = getattr(layer, "cells", None)
    for inner in [*getattr(layer, "layers", ()), *(cells if isinstance(cells, list) else ())]:
        yield from all_layers(inner)
    for name in _INNER:
        if isinstance(inner := getattr(layer, name, None), keras.Layer):
            yield from all_layers(inner)
