"""Which units leave: all that are unread or constant, as long as everything tied to them may go.

Channels that a layer keeps apart are tied to those that they are made of. A group of tied channels
leaves if none of them is fixed, by an input, an output or a layer that reads all of them, and if
every layer with weights either has none but zeros for them or can fold them into its bias. What
leaves takes its own weights along, so more may leave after it: that is repeated until nothing does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trimgrid.shrinking.behaviors import (
    Behavior,
    Blocking,
    Floats,
    Giving,
    Known,
    Mask,
    Mixing,
    Passing,
    Places,
    Reading,
)
from trimgrid.shrinking.graph import Call, Graph, Tensor
from trimgrid.shrinking.groups import tied_groups

_LAST = "at least one unit has to"


@dataclass(frozen=True)
class Solution:
    """What leaves a graph: `kept` has the places that stay of each tensor that loses some."""

    kept: Mapping[Tensor, Places]
    folds: Mapping[str, Floats]
    """What is added to the biases of the units that stay, by the layer's path."""
    removed: Mapping[str, int]
    left: Mapping[str, str]


def solve(graph: Graph, behaviors: list[Behavior]) -> Solution:
    """Return which channels of a graph leave, for what its layers do to channels."""
    return _Solver(graph, behaviors).solution()


class _Solver:
    def __init__(self, graph: Graph, behaviors: list[Behavior]) -> None:
        self._calls = list(zip(graph.calls, behaviors, strict=True))
        self._places: dict[Tensor, slice] = {}
        end = 0
        for tensor, shape in graph.shapes.items():
            if len(shape) > 1 and shape[-1] is not None:
                self._places[tensor] = slice(end, end + shape[-1])
                end += shape[-1]
        # Why a channel can't leave, as a number of a reason; 0 for none.
        self._reasons = [""]
        self._why = np.zeros(end, np.intp)
        for tensor in graph.outputs:
            self._fix(tensor, "they are outputs of the model")
        edges = [self._edges(call, each) for call, each in self._calls]
        self._groups = tied_groups(end, [pair for pairs in edges for pair in pairs])
        self._known: dict[Tensor, Known] = {}
        for call, each in self._calls:
            self._spread(call, each)
        self._gone = np.zeros(end, bool)

    def solution(self) -> Solution:
        while (leaving := self._leaving()).any():
            self._gone |= leaving
        kept = {
            tensor: np.flatnonzero(~self._gone[places])
            for tensor, places in self._places.items()
            if self._gone[places].any()
        }
        return Solution(kept, self._folds(), self._removed(), self._left())

    def _fix(self, tensor: Tensor, reason: str) -> None:
        if tensor in self._places:
            why = self._why[self._places[tensor]]
            why[why == 0] = self._number(reason)

    def _number(self, reason: str) -> int:
        self._reasons.append(reason)
        return len(self._reasons) - 1

    def _edges(self, call: Call, behavior: Behavior) -> list[tuple[Places, Places]]:
        """Fix what a call fixes, and return the pairs of channels that it ties."""
        if isinstance(behavior, Passing):
            to = self._places[call.output].start
            return [
                (self._places[tensor].start + taken, to + places)
                for tensor, (taken, places) in zip(call.inputs, behavior.ties, strict=True)
            ]
        rows = _rows_stay(call, behavior)
        units = behavior.reason if isinstance(behavior, Blocking) else behavior.units_stay
        for tensor in call.inputs:
            if rows is not None:
                self._fix(tensor, rows)
        for tensor in self._places:
            if units is not None and tensor[:2] == call.output[:2]:
                self._fix(tensor, units)
        return []

    def _spread(self, call: Call, behavior: Behavior) -> None:
        """Find out what is known of a call's output from what is known of its inputs."""
        inputs = [self._of(tensor) for tensor in call.inputs if tensor in self._places]
        if isinstance(behavior, Mixing):
            self._known[call.output] = behavior.forward(inputs[0])
        elif isinstance(behavior, Passing):
            self._known[call.output] = behavior.forward(inputs)
        elif isinstance(behavior, Giving):
            self._known[call.output] = behavior.known

    def _of(self, tensor: Tensor) -> Known:
        places = self._places[tensor]
        return self._known.get(tensor) or Known.nothing(places.stop - places.start)

    def _leaving(self) -> Mask:
        needed = self._why > 0
        for call, behavior in self._calls:
            if isinstance(behavior, Mixing | Reading):
                places = self._places[call.inputs[0]]
                needed[places] |= self._read(call, behavior) & ~self._foldable(call, behavior)
        leaving = ~self._any_of_group(needed) & ~self._gone
        for places in self._places.values():
            stays = ~self._gone[places] & ~leaving[places]
            if not stays.any() and not self._gone[places].all():
                first = places.start + int(np.flatnonzero(~self._gone[places])[0])
                leaving &= self._groups != self._groups[first]
        return leaving

    def _read(self, call: Call, behavior: Mixing | Reading) -> Mask:
        """Which channels of a layer's input the units that stay have weights for."""
        if isinstance(behavior, Reading):
            return np.asarray(behavior.reads.any(axis=1))
        alive = ~self._gone[self._places[call.output]]
        return np.asarray(behavior.reads[:, alive].any(axis=1))

    def _foldable(self, call: Call, behavior: Mixing | Reading) -> Mask:
        known = self._of(call.inputs[0])
        return np.asarray(known.constant & (behavior.folds | (known.value == 0)))

    def _any_of_group(self, marked: Mask) -> Mask:
        counts = np.bincount(self._groups, weights=marked, minlength=marked.size)
        return np.asarray(counts[self._groups] > 0)

    def _folds(self) -> dict[str, Floats]:
        folds = {}
        for call, behavior in self._calls:
            if isinstance(behavior, Mixing):
                known = self._of(call.inputs[0])
                gone = self._gone[self._places[call.inputs[0]]] & (known.value != 0)
                if gone.any():
                    alive = ~self._gone[self._places[call.output]]
                    folds[call.path] = known.value[gone] @ behavior.gains[np.ix_(gone, alive)]
        return folds

    def _removed(self) -> dict[str, int]:
        counts = {
            call.path: int(self._gone[self._places[call.output]].sum())
            for call, behavior in self._calls
            if isinstance(behavior, Mixing | Giving)
        }
        return {path: count for path, count in counts.items() if count}

    def _left(self) -> dict[str, str]:
        """Say why units stay that do nothing for a layer beside what is tied to them."""
        read, looked_at = np.zeros(self._gone.size, bool), np.zeros(self._gone.size, bool)
        why = self._why.copy()
        for call, behavior in self._calls:
            if not isinstance(behavior, Mixing | Reading):
                continue
            places = self._places[call.inputs[0]]
            rows = self._read(call, behavior)
            stuck = rows & ~self._foldable(call, behavior)
            read[places] |= rows
            looked_at[places] = True
            constant = self._of(call.inputs[0]).constant
            for marked, reason in (
                (stuck & constant, f"{call.path!r} can't fold a constant other than 0"),
                (stuck & ~constant, f"what {call.path!r} reads of them varies"),
            ):
                here = why[places]
                here[marked & (here == 0)] = self._number(reason)
        unread = self._any_of_group(looked_at) & ~self._any_of_group(read)
        left = {}
        for call, behavior in self._calls:
            if not isinstance(behavior, Mixing | Giving):
                continue
            places = self._places[call.output]
            idle = (self._of(call.output).constant | unread[places]) & ~self._gone[places]
            if idle.any():
                left[call.path] = self._sentence(places.start + np.flatnonzero(idle), why)
        return left

    def _sentence(self, units: Places, why: Places) -> str:
        inside = why[np.isin(self._groups, self._groups[units])]
        reason = self._reasons[inside[inside > 0][0]] if inside.any() else _LAST
        count = "1 idle unit stays" if units.size == 1 else f"{units.size} idle units stay"
        return f"{count}: {reason}."


def _rows_stay(call: Call, behavior: Mixing | Reading | Giving | Blocking) -> str | None:
    if isinstance(behavior, Blocking):
        return behavior.reason
    if isinstance(behavior, Giving):
        return f"{call.path!r} looks its input up"
    return behavior.rows_stay
