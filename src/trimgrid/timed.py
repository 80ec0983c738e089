"""From when to when masks are updated, and how often: in trimgrid's steps or in TFMOT's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import check_integer
from trimgrid.configured import Configured
from trimgrid.errors import InputError

TRIMGRID, TFMOT = "trimgrid", "tfmot"


def masks_epoch_ends(schedule: Any) -> bool:
    """Tell whether pruned weights are zero where masks are chosen at the end of an epoch.

    So it is in TFMOT's timing: there a callback applies the masks at the end of each epoch, before
    the first batch of the next one has them chosen anew. Else pruned weights hold the last update
    of the optimizer then.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> masks_epoch_ends(ConstantSparsity(0.5)), masks_epoch_ends(None)
    (False, False)
    """
    return getattr(schedule, "timing", None) == TFMOT


class Timed(Configured, ABC):
    """What the schedules that begin, end and repeat have in common.

    With ``timing="trimgrid"`` step s is the state after s batches, and `end_step` is an update.
    With ``timing="tfmot"`` steps are those of the TensorFlow Model Optimization toolkit: the first
    batch is step 1, an update at step t comes before batch t, and nothing special happens at
    `end_step`. What TFMOT calls step t a plan has at t - 1.
    """

    begin_step: int
    end_step: int | None
    frequency: int
    timing: str
    _needs_end: ClassVar[bool] = False  # whether TFMOT's schedule of this name must have its end

    @abstractmethod
    def resolved(self, steps: int) -> Self:
        """Return this schedule for a training of ``steps`` batches, with ``end_step`` filled in."""

    @abstractmethod
    def _sparsity(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the target at each of the steps, which count as the timing has them."""

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target sparsity of the steps 0..steps, NaN where no update is due.

        ``steps`` is the number of training batches; the shape is ``(steps + 1,)``. Updates are due
        at ``begin_step``, every ``frequency`` steps from there on, and at ``end_step``, where
        ``None`` stands for ``steps``. The plan is that of ``resolved(steps)``. In TFMOT's timing
        the update in front of batch t is at t - 1, and none is after the last batch.

        Raises `InputError` where `resolved` does.

        >>> from trimgrid.schedules import ConstantSparsity
        >>> ConstantSparsity(0.5, begin_step=1, frequency=2).plan(4).tolist()
        [nan, 0.5, nan, 0.5, 0.5]
        >>> ConstantSparsity(0.5, begin_step=1, frequency=2, timing="tfmot").plan(4).tolist()
        [0.5, nan, 0.5, nan, nan]
        """
        schedule = self.resolved(steps)
        due = schedule.due_steps(steps)
        plan = np.full(steps + 1, np.nan)
        plan[due - 1 if self.timing == TFMOT else due] = schedule._sparsity(due)
        return plan

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values, without the usual timing.

        >>> from trimgrid.schedules import ConstantSparsity
        >>> ConstantSparsity(0.5).get_config()
        {'target_sparsity': 0.5, 'begin_step': 0, 'end_step': None, 'frequency': 100}
        """
        config = super().get_config()
        if self.timing == TRIMGRID:  # what was recorded before there was another reads as it did
            del config["timing"]
        return config

    def due_steps(self, steps: int) -> NDArray[np.int64]:
        """Return the steps of a training of ``steps`` batches at which updates are due.

        They count as the timing has them. ``end_step=None`` stands for ``steps``.

        >>> from trimgrid.schedules import ConstantSparsity
        >>> ConstantSparsity(0.5, end_step=250).due_steps(300).tolist()
        [0, 100, 200, 250]
        >>> ConstantSparsity(0.5, end_step=250, timing="tfmot").due_steps(300).tolist()
        [100, 200]
        """
        last = steps if self.end_step is None else min(self.end_step, steps)
        due = np.arange(self.begin_step, last + 1, self.frequency, dtype=np.int64)
        if self.timing == TFMOT:
            return due[due >= 1]
        return np.union1d(due, last) if last == self.end_step else due

    def _settle(self, **numbers: float) -> None:
        """Check the timing and store it with the other numbers, all as plain Python types."""
        if self.timing not in (TRIMGRID, TFMOT):
            raise InputError(
                "timing must be 'trimgrid', where step s comes after s batches, or 'tfmot', where "
                f"the first batch is step 1. Received: timing={self.timing!r}."
            )
        begin = check_integer("begin_step", self.begin_step, minimum=0)
        end = self._checked_end(begin)
        frequency = check_integer("frequency", self.frequency, minimum=1)
        settled = numbers | {"begin_step": begin, "end_step": end, "frequency": frequency}
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def _checked_end(self, begin: int) -> int | None:
        end, tfmot = self.end_step, self.timing == TFMOT
        if tfmot and self._needs_end and end in (None, -1):
            raise InputError(
                f"A {type(self).__name__} in TFMOT's timing must have its end. Received: "
                f"end_step={end}. Give the last step of its decay, or leave timing='tfmot' away."
            )
        if end is None or (tfmot and end == -1):
            return None
        if end == -1:
            raise InputError(
                "end_step must be a step, or None for the last one of the training. "
                "Received: end_step=-1. Give None where TFMOT has -1."
            )
        end = check_integer("end_step", end, minimum=0)
        if end < begin:
            raise InputError(
                f"end_step must not lie before begin_step. Received: begin_step={begin}, "
                f"end_step={end}. Give a later end_step, or None for the last training step."
            )
        return end

    def _check_begin(self, steps: int) -> int:
        steps = check_integer("steps", steps, minimum=0)
        if self.timing == TFMOT and not self.due_steps(steps).size:
            raise InputError(
                "A schedule must prune at least once. Received: "
                f"begin_step={self.begin_step}, end_step={self.end_step}, "
                f"frequency={self.frequency} in TFMOT's timing, where the first batch is step 1, "
                f"and steps={steps}. Planned updates: none. Take begin_step=1, a smaller "
                "frequency, or train longer."
            )
        if self.begin_step > steps:
            raise InputError(
                "A schedule must begin before the training ends. "
                f"Received: begin_step={self.begin_step}, steps={steps}. Planned updates: none. "
                "Give an earlier begin_step or train longer."
            )
        return steps

    def _is_due(self, step: int) -> bool:
        if step < self.begin_step or (self.end_step is not None and step > self.end_step):
            return False
        at_end = step == self.end_step and self.timing == TRIMGRID
        # A step of NumPy's gives a NumPy answer: bool() brings it back.
        return bool(at_end or (step - self.begin_step) % self.frequency == 0)
