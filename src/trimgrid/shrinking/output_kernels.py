"""The kernels of a model's output layers, found in its graph."""

from __future__ import annotations

from dataclasses import replace
from glob import escape
from typing import Any

import keras

from trimgrid.legacy.telling import is_legacy
from trimgrid.shrinking.graph import Tensor, read_graph
from trimgrid.structures.kinds import Structure, Units


def with_outputs(structure: Structure | None, model: Any) -> Structure | None:
    """Return a structure, one of whole units with the model's output layers named.

    Others, and those of a model whose graph can't be read, stay as they are: see `trimgrid.Units`.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> with_outputs(Units(), model)
    Units(norm='l2', outputs=('out/kernel',))
    """
    if not isinstance(structure, Units) or structure.outputs is not None:
        return structure
    found = output_kernels(model)
    if found is None:
        return structure
    # Copies have the same paths, but for the name of the model that may stand in front; and a name
    # may hold what means something in a pattern.
    own = f"{model.name}/"
    inside = [each.removeprefix(own) if each.count("/") > 1 else each for each in found]
    return replace(structure, outputs=tuple(map(escape, inside)))


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
