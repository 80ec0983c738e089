"""A Keras model as a plain graph: calls of layers, in order, and the tensors between them.

A nested model that is called once is opened: its layers stand in the graph by their paths, such as
"encoder/dense". One that is called more than once is a single layer, as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras

Tensor: TypeAlias = tuple[str, int, int]
"""The path of the layer that gives a tensor, the number of its call, the number of its output."""
Shape: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of one of Keras' operations such as `x + y`."""

    path: str
    layer: Any
    inputs: tuple[Tensor, ...]
    output: Tensor
    """The first output; others are known only as the inputs of other calls."""
    calls: int
    """How often the layer is called in all."""
    plain: bool
    """Whether it is called with tensors alone, an operation also with numbers: no mask, no
    `training=True`."""
    numbers: Mapping[int, float] = field(default_factory=dict)
    """The numbers that an operation is called with, by their places among its arguments."""


@dataclass
class Graph:
    """The calls in an order in which they can be made, and the shapes of all tensors."""

    calls: list[Call] = field(default_factory=list)
    shapes: dict[Tensor, Shape] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)
    entrances: dict[str, Tensor] = field(default_factory=dict)
    """The input layers of nested models, by path, and the tensors that come in through them."""


def read_graph(model: Any) -> Graph:
    """Return the graph of a functional or Sequential model that knows its inputs.

    >>> inputs = keras.Input((4,), name="in")
    >>> outputs = keras.layers.Dense(2, name="out")(inputs)
    >>> [call.path for call in read_graph(keras.Model(inputs, outputs)).calls]
    ['in', 'out']
    """
    graph = Graph()
    graph.outputs = _Reader(graph, model, "", None).read()
    return graph


def join(prefix: str, name: str) -> str:
    """Return the path of a layer in a nested model, "" for the prefix of the outermost.

    >>> join("", "dense"), join("encoder", "dense")
    ('dense', 'encoder/dense')
    """
    return f"{prefix}/{name}" if prefix else name


class _Reader:
    def __init__(
        self, graph: Graph, model: Any, prefix: str, entering: list[Tensor] | None
    ) -> None:
        self._graph, self._model, self._prefix = graph, model, prefix
        if isinstance(model, keras.Sequential):
            # It tells its nodes as the functional model that it is.
            model = keras.Model(model.inputs, model.outputs, name=model.name)
        self._config = model.get_config()
        self._operations = {each.name: each for each in model.operations}
        self._entries = {entry["name"]: entry for entry in self._config["layers"]}
        self._aliases: dict[Tensor, Tensor] = {}
        self._opened: dict[str, list[Tensor]] = {}
        names = [str(name) for name, *_ in _leaves(self._config["input_layers"])]
        self._entering = None if entering is None else dict(zip(names, entering, strict=True))

    def read(self) -> list[Tensor]:
        waiting = [
            (entry, number, node)
            for entry in self._config["layers"]
            for number, node in enumerate(entry["inbound_nodes"] or [None])
        ]
        while waiting:
            # A layer that is called more than once stands where its first call is.
            later = [each for each in waiting if not self._add(*each)]
            if len(later) == len(waiting):
                raise ValueError(f"the graph of {self._model.name!r} has no order")
            waiting = later
        outputs = [self._resolve(*leaf) for leaf in _leaves(self._config["output_layers"])]
        found = [each for each in outputs if each is not None]
        for tensor, symbolic in zip(found, self._model.outputs, strict=True):
            self._graph.shapes[tensor] = tuple(symbolic.shape)
        return found

    def _add(self, entry: Mapping[str, Any], number: int, node: Mapping[str, Any] | None) -> bool:
        name, path = entry["name"], join(self._prefix, entry["name"])
        told = [] if node is None else list(_tensors(node))
        inputs = [self._resolve(*config["keras_history"]) for config in told]
        known = tuple(tensor for tensor in inputs if tensor is not None)
        if len(known) < len(inputs):
            return False
        for tensor, config in zip(known, told, strict=True):
            self._graph.shapes[tensor] = tuple(config["shape"])
        layer = self._operations[name]
        output = (path, number, 0)
        self._aliases[(name, number, 0)] = output
        numbers = {} if node is None or isinstance(layer, keras.Layer) else _numbers(node)
        plain = node is None or _is_plain(node, numbers)
        calls = len(entry["inbound_nodes"]) or 1
        if self._entering is not None and name in self._entering:
            self._aliases[(name, number, 0)] = self._entering[name]
            self._graph.entrances[path] = self._entering[name]
        elif calls == 1 and plain and _can_be_opened(layer, len(known)):
            self._opened[name] = _Reader(self._graph, layer, path, list(known)).read()
        else:
            self._graph.calls.append(Call(path, layer, known, output, calls, plain, numbers))
        return True

    def _resolve(self, name: str, number: int, place: int) -> Tensor | None:
        """The tensor of this graph; None while the call that gives it is not in it yet."""
        number = number if len(self._entries[name]["inbound_nodes"]) > 1 else 0
        if name in self._opened:
            return self._opened[name][place]
        if (name, number, 0) not in self._aliases:
            return None
        if place:
            return join(self._prefix, name), number, place
        return self._aliases[(name, number, 0)]


def _can_be_opened(layer: Any, inputs: int) -> bool:
    if not isinstance(layer, keras.Model):
        return False
    if isinstance(layer, keras.Sequential):
        return True
    config = layer.get_config()
    structures = (config["input_layers"], config["output_layers"])
    return all(isinstance(each, list) for each in structures) and len(layer.inputs) == inputs


def _leaves(structure: Any) -> Iterator[tuple[str, int, int]]:
    """The places of tensors in a structure of lists and dicts, in Keras' order."""
    if isinstance(structure, Mapping):
        for key in sorted(structure):
            yield from _leaves(structure[key])
    elif len(structure) == 3 and isinstance(structure[0], str):
        name, number, place = structure
        yield name, number, place
    else:
        for each in structure:
            yield from _leaves(each)


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """The configs of the tensors in the arguments of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]
        else:
            for each in value.values():
                yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def _numbers(node: Mapping[str, Any]) -> dict[int, float]:
    """The positional arguments that are numbers, by their places."""
    return {
        place: value
        for place, value in enumerate(node["args"])
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _is_plain(node: Mapping[str, Any], numbers: Mapping[int, float]) -> bool:
    """Whether the positional arguments are tensors, or one list of them, and no other is given.

    `numbers`: places of those that may be numbers.
    """
    arguments = [value for place, value in enumerate(node["args"]) if place not in numbers]
    if len(arguments) == 1 and isinstance(arguments[0], list | tuple):
        arguments = list(arguments[0])
    given = [
        value
        for name, value in node["kwargs"].items()
        if value is not None and not (name == "training" and value is False)
    ]
    tensors = [isinstance(each, Mapping) and len([*_tensors(each)]) == 1 for each in arguments]
    return not given and all(tensors)
