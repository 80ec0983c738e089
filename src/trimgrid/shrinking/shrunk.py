"""Fold and shrink: what a pruned model does not need leaves it for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trimgrid.models import copy_model, count_weights
from trimgrid.shrinking.graph import read_graph
from trimgrid.shrinking.kinds import why_whole
from trimgrid.shrinking.rebuilding import rebuild
from trimgrid.shrinking.rules import behaviors
from trimgrid.shrinking.solving import solve


@dataclass(frozen=True)
class Shrunk:
    """A model without the units that do nothing, and what became of each layer.

    `model` is a new, uncompiled model. `removed` has the number of units or filters that left, by
    the name of the layer that makes them, "encoder/dense" for one in a nested model; layers that
    lost none, and those that only pass channels on, are not in it. `left` says in a sentence why
    idle units of a layer stay. `total_weights_before` and `total_weights` count all weights, zeros
    as well. `reason` says why the model was left whole, None where it was not.
    """

    model: Any
    removed: Mapping[str, int]
    left: Mapping[str, str]
    total_weights_before: int
    total_weights: int
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all but the model, as values that JSON has."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        del told["model"]
        return {**told, "removed": dict(self.removed), "left": dict(self.left)}


def shrink_model(model: Any) -> Shrunk:
    """Return a smaller model with the same outputs: without units that are constant or unread.

    A unit of a Dense or convolutional layer is a constant if its weights are zero for everything
    that varies: it is c = activation(bias + sum of the constants that it reads times their
    weights). One that the next layers have only zeros for is unread. Both leave, a constant goes
    into the next layer's bias: bias + c * (its row of the kernel, summed over the window). At
    least one unit of a layer stays. Shapes of inputs and outputs, names and all other weights stay.

    The outputs are those of inference, equal up to the rounding of sums, for finite inputs. What
    can't be shown to change nothing stays. The given model stays as it is.

    Raises `InputError` if the model is not built or can't be made anew from its config.

    >>> import keras, numpy as np
    >>> hidden, out = keras.layers.Dense(3, name="hidden"), keras.layers.Dense(1)
    >>> model = keras.Sequential([keras.Input((2,)), hidden, out])
    >>> hidden.set_weights([np.array([[1, 0, 2], [3, 0, 4]]), np.array([0, 5, 0])])
    >>> shrunk = shrink_model(model)
    >>> shrunk.removed, shrunk.total_weights_before, shrunk.total_weights
    ({'hidden': 1}, 13, 9)
    """
    copy = copy_model(model)
    before = count_weights(copy)[0]
    reason = why_whole(model)
    if reason is not None:
        return Shrunk(copy, {}, {}, before, before, reason)
    graph = read_graph(copy)
    found = behaviors(graph)
    solution = solve(graph, found)
    if not solution.removed:
        return Shrunk(copy, {}, solution.left, before, before)
    smaller = rebuild(copy, graph, found, solution)
    return Shrunk(smaller, solution.removed, solution.left, before, count_weights(smaller)[0])
