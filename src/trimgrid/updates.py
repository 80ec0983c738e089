"""Which mask update is due at a step, as a compiled step can ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.iterative import planned_rewinds
from trimgrid.schedules import ConstantSparsity, Schedule
from trimgrid.timed import TFMOT


@dataclass(frozen=True)
class Updates:
    """Where the compiled step finds what is due: steps in rising order and their sparsities.

    `rewinds`: the steps after which the weights go back to where they began.
    """

    steps: NDArray[np.int32]
    sparsities: NDArray[np.float32]
    rewinds: NDArray[np.int32]
    period: tuple[int, int] | None = None  # (begin_step, frequency) of updates without an end

    def at(self, step: int) -> float | None:
        """The sparsity of the update due at `step`, None if there is none."""
        if self.period is not None:
            begin, frequency = self.period
            due = step >= begin and (step - begin) % frequency == 0
            return float(self.sparsities[0]) if due else None
        return next((float(s) for s in self.sparsities[self.steps == step]), None)

    def due(self, step: Any) -> tuple[Any, Any]:
        """Whether an update is due at `step`, and its sparsity: two scalar tensors."""
        if self.period is not None:
            begin, frequency = self.period
            on_beat = ops.equal(ops.mod(step - begin, frequency), 0)
            return ops.logical_and(ops.greater_equal(step, begin), on_beat), self.sparsities[0]
        steps, sparsities = (
            ops.convert_to_tensor(self.steps),
            ops.convert_to_tensor(self.sparsities),
        )
        place = ops.sum(ops.cast(ops.less(steps, step), "int32"))
        place = ops.minimum(place, len(self.steps) - 1)
        return ops.equal(ops.take(steps, place), step), ops.take(sparsities, place)

    def rewinds_at(self, step: Any) -> Any:
        """Whether the weights go back after `step`: a boolean scalar tensor."""
        return ops.any(ops.equal(ops.convert_to_tensor(self.rewinds), step))


def planned_updates(schedule: Schedule, steps: int | None) -> Updates:
    """Lay out a schedule's updates for a training of `steps` batches.

    With `steps=None` the schedule's own `end_step` takes its place; a `ConstantSparsity` without
    one goes on for ever.

    Raises `InputError` if the schedule needs the training's length and it is not known, if it can't
    reach its target, and if it plans no update at all.

    >>> planned_updates(ConstantSparsity(0.5, end_step=250), None).steps.tolist()
    [0, 100, 200, 250]
    """
    if steps is None:
        steps = getattr(schedule, "end_step", None)
    if steps is None:
        if isinstance(schedule, ConstantSparsity):
            target = np.array([schedule.target_sparsity], "float32")
            begin = schedule.begin_step - (schedule.timing == TFMOT)
            period = (begin, schedule.frequency)
            return Updates(np.zeros(0, "int32"), target, np.zeros(0, "int32"), period)
        raise InputError(
            "A schedule whose end is the end of the training needs its length. "
            f"Received: schedule={schedule!r}, steps=None. Give MagnitudePruning(..., steps=) "
            "batches x epochs, give the schedule an end_step, or train with BeginPruning() on data "
            "whose number of batches is known."
        )
    plan = schedule.plan(steps)
    due = np.flatnonzero(~np.isnan(plan))
    if not due.size:
        raise InputError(
            "A schedule must plan an update at least. "
            f"Received: schedule={schedule!r}, which plans none in {steps} steps."
        )
    rewinds = np.flatnonzero(planned_rewinds(schedule, steps)).astype("int32")
    return Updates(due.astype("int32"), plan[due].astype("float32"), rewinds)
