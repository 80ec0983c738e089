"""Which attempts of a search are hopeless: successive halving by loss and by weights that stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimgrid.choosing import pareto_front
from trimgrid.errors import InputError


@dataclass(frozen=True)
class Decision:
    """What was decided of an attempt at a rung: its loss there, and whether it stops."""

    loss: float
    stops: bool


Decisions = dict[int, dict[str, Decision]]
"""By the epoch of the rung, then by the attempt's name."""


class Halving:
    """Stops the worse half of the attempts that reach a rung, as far as others beat them.

    A rung is an epoch, counted from 1, after which the losses are compared. An attempt is beaten
    by another that is to keep as few weights and has as small a loss by then, and better in one of
    both: however it goes on, it is unlikely to be wanted. Attempts are ranked by how many layers of
    others lie before them (non-dominated sorting); of the half that ranks last those stop that are
    beaten. One that nothing beats never stops. The idea of rungs and halves is that of Jamieson and
    Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (2016).

    `rungs`: epochs; `kept`: how many weights each attempt is to keep in the end, by its name.
    Attempts that come to a rung later are ranked among all that were there before. `decisions`:
    those of a process before this one, which stay; `on_decision` is called with all of them after
    each rung, before anything goes by them.

    Raises `InputError` for rungs below 1.

    >>> halving = Halving([5], {"small": 10, "large": 90, "worse": 95, "worst": 99})
    >>> losses = {"small": 0.5, "large": 0.1, "worse": 0.2, "worst": 0.3}
    >>> sorted(halving.hopeless(5, list(losses), list(losses.values())))
    ['worse', 'worst']
    """

    def __init__(
        self,
        rungs: Sequence[int],
        kept: Mapping[str, float],
        decisions: Decisions | None = None,
        on_decision: Callable[[Decisions], None] | None = None,
    ) -> None:
        if any(rung < 1 for rung in rungs):
            raise InputError(
                f"A rung is an epoch, counted from 1. Received: rungs={rungs!r}. Leave out 0."
            )
        self.rungs = frozenset(rungs)
        self.decisions: Decisions = {} if decisions is None else decisions
        self._kept = kept
        self._on_decision = on_decision

    def hopeless(self, epoch: int, names: Sequence[str], losses: Sequence[float]) -> set[str]:
        """Return which of the attempts stop after an epoch; none if it is no rung.

        A loss that is not finite is the training's to tell of: such an attempt is not stopped here.
        """
        if epoch not in self.rungs:
            return set()
        decided = self.decisions.setdefault(epoch, {})
        new = {
            name: float(loss)
            for name, loss in zip(names, losses, strict=True)
            if name not in decided and math.isfinite(loss)
        }
        if new:
            seen = {name: each.loss for name, each in decided.items()} | new
            last = self._beaten_half(seen)
            decided.update({name: Decision(loss, name in last) for name, loss in new.items()})
            if self._on_decision is not None:
                self._on_decision(self.decisions)
        return {name for name in names if name in decided and decided[name].stops}

    def _beaten_half(self, losses: Mapping[str, float]) -> set[str]:
        """Those that rank in the last half and are beaten."""
        ranked: list[str] = []
        left = list(losses)
        first = 0
        while left:
            front = [left[i] for i in pareto_front([(self._kept[n], losses[n]) for n in left])]
            first = first or len(front)
            ranked += front
            left = [name for name in left if name not in front]
        return set(ranked[max(first, -(-len(ranked) // 2)) :])


def rungs_of(epochs: int) -> list[int]:
    """Return the rungs of trainings so long: after half and after three quarters of the epochs.

    Before that most masks are still chosen anew, and losses say little on how it ends.

    >>> rungs_of(100), rungs_of(5), rungs_of(1)
    ([50, 75], [2, 3], [])
    """
    return sorted({rung for rung in (epochs // 2, 3 * epochs // 4) if rung >= 1})
