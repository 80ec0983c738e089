"""What a model is made of: all its layers, and the kinds that decide how it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

# Convolutions of every kind: transposed, depthwise, separable, and those in a recurrent layer.
_CONVOLUTIONS = tuple(getattr(keras.layers, name) for name in dir(keras.layers) if "Conv" in name)
# Layers that go through their input step by step.
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)


def has_convolutions(model: Any) -> bool:
    """Tell whether a convolution is among the layers of a model, however deep.

    >>> inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.DepthwiseConv2D(3)])
    >>> has_convolutions(keras.Sequential([inner, keras.layers.Flatten()]))
    True
    """
    return any(isinstance(layer, _CONVOLUTIONS) for layer in layers_of(model))


def has_recurrence(model: Any) -> bool:
    """Tell whether a recurrent layer is among the layers of a model, however deep.

    >>> has_recurrence(keras.Sequential([keras.Input((8, 1)), keras.layers.GRU(2)]))
    True
    """
    return any(isinstance(layer, _RECURRENT) for layer in layers_of(model))


def layers_of(layer: Any) -> Iterator[Any]:
    """Find a layer and all those that it holds: in a model, a wrapper, or a layer of one's own.

    Only models have a public list of their layers, so the attributes are looked through.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> [type(each).__name__ for each in layers_of(model) if not isinstance(each, keras.Model)]
    ['InputLayer', 'Dense']
    """
    seen: set[int] = set()
    waiting = [layer]
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        for value in vars(found).values():
            held = [value] if isinstance(value, keras.Layer) else _items(value)
            waiting += [each for each in held if isinstance(each, keras.Layer)]


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple | set) else []
