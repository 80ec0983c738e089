"""The kernels of a model's output layers, found in its graph."""

from __future__ import annotations

from typing import Any

import keras

from trimgrid.legacy.telling import is_legacy
from trimgrid.shrinking.graph import Tensor, read_graph


def output_kernels(model: Any) -> tuple[str, ...] | None:
    """Return the paths of the trainable kernels whose units are answers of the model.

    They are those that are met first on the way back from each output: layers without a kernel,
    such as activations and sums, only pass on what comes before them. None where the graph can't
    be read, because only the model's class knows it.

    >>> inputs = keras.Input((4,))
    >>> hidden = keras.layers.Dense(3)(inputs)
    >>> logits = keras.layers.Dense(2, name="logits")(hidden)
    >>> score = keras.layers.Dense(1, name="score")(hidden)
    >>> output_kernels(keras.Model(inputs, [keras.layers.Softmax()(logits), score]))
    ('logits/kernel', 'score/kernel')
    """
    own = type(model).__module__.split(".")[0] == "keras"
    if is_legacy(model) or not own or not getattr(model, "inputs", None):
        return None
    graph = read_graph(model)
    makers = {call.output[:2]: call for call in graph.calls}
    found: dict[str, None] = {}
    waiting, seen = list(reversed(graph.outputs)), set[Tensor]()
    while waiting:
        tensor = waiting.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        call = makers[tensor[:2]]
        kernels = _kernels(call.layer)
        found.update(dict.fromkeys(kernels or ()))
        if kernels is None:
            waiting.extend(call.inputs)
    return tuple(found)


def _kernels(layer: Any) -> list[str] | None:
    """The trainable kernels behind a layer's outputs, None where it passes its inputs on."""
    if isinstance(layer, keras.Model):
        inner = output_kernels(layer)
        if inner is not None:
            return list(inner)
    weights = getattr(layer, "weights", ())
    if not any(str(each.name) == "kernel" for each in weights):
        return None
    return [str(each.path) for each in weights if str(each.name) == "kernel" and each.trainable]
