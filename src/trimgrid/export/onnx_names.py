"""Names and an order in an ONNX graph that follow from the graph alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any


def name_canonically(model: Any) -> None:
    """Name and order all nodes and constants by their place, and call free batch sizes "batch".

    tf2onnx makes up names from a counter of the whole process, and of several equal constants or
    nodes keeps one by chance, with its name and place. Here a node comes after those that it reads,
    in the order of the graph's outputs, and is called by its operation and a number: "MatMul_1".
    The names of inputs and outputs stay. `model`: an `onnx.ModelProto`, changed in place.
    """
    graph = model.graph
    _Namer([each.name for each in (*graph.input, *graph.output)]).name(graph)
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            if not dimension.HasField("dim_value"):
                dimension.dim_param = "batch"


class _Namer:
    """Old names to new ones, in a graph and in those inside its loops and branches."""

    def __init__(self, kept: list[str]) -> None:
        self._names = {name: name for name in ("", *kept)}  # "" is an input that is left out
        self._taken = set(kept)
        self._counts: Counter[str] = Counter()

    def name(self, graph: Any) -> None:
        """Name and order the parts of a graph; what surrounds it has its names already."""
        graph.doc_string = ""  # the name of a function, which counts them
        del graph.value_info[:]  # shapes between the nodes, which a runtime infers itself
        for value in graph.input:
            value.name = self._new(value.name, "Input")
        constants = {each.name: each for each in graph.initializer}
        nodes, used = [], []
        for node in _in_order(graph):
            for name in _reads(node):
                if name in constants:
                    used.append(constants.pop(name))
                    used[-1].name = self._new(name, "Constant")
            self._name_node(node)
            nodes.append(node.name)
        for name, each in constants.items():  # an output, or used by none
            used.append(each)
            each.name = self._new(name, "Constant")
        for value in graph.output:
            value.name = self._names[value.name]
        for parts, names in ((graph.node, nodes), (graph.initializer, [u.name for u in used])):
            place = {name: i for i, name in enumerate(names)}
            parts.sort(key=lambda part, place=place: place[part.name])

    def _name_node(self, node: Any) -> None:
        node.doc_string = ""
        node.input[:] = [self._names[name] for name in node.input]
        for inner in inner_graphs(node):
            self.name(inner)
        node.name = self._fresh(node.op_type)
        for i, name in enumerate(node.output):
            self._names.setdefault(name, f"{node.name}:{i}")
        node.output[:] = [self._names[name] for name in node.output]

    def _new(self, old: str, kind: str) -> str:
        if old not in self._names:
            self._names[old] = self._fresh(kind)
        return self._names[old]

    def _fresh(self, kind: str) -> str:
        while True:
            self._counts[kind] += 1
            name = f"{kind}_{self._counts[kind]}"
            if name not in self._taken:
                return name


def _in_order(graph: Any) -> list[Any]:
    """The nodes, each after those that it reads, depth first from the graph's outputs."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output}
    ordered: dict[int, Any] = {}
    roots = [maker[each.name] for each in graph.output if each.name in maker]
    stack = [*range(len(graph.node) - 1, -1, -1), *reversed(roots)]
    waiting: set[int] = set()
    while stack:
        at = stack[-1]
        needed = [maker[name] for name in _reads(graph.node[at]) if name in maker]
        missing = [i for i in needed if i not in ordered]
        if at in ordered or not missing:
            ordered.setdefault(at, graph.node[at])
            stack.pop()
        elif at in waiting:
            raise ValueError("The ONNX graph goes in a circle")
        else:
            waiting.add(at)
            stack.extend(reversed(missing))
    return list(ordered.values())


def _reads(node: Any) -> Iterator[str]:
    """The names that a node reads, also inside its loops and branches."""
    yield from node.input
    for inner in inner_graphs(node):
        for each in inner.node:
            yield from _reads(each)
        for value in inner.output:
            yield value.name


def inner_graphs(node: Any) -> Iterator[Any]:
    """The graphs of a node: the body of a loop, or branches."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g
