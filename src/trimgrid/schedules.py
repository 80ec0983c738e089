"""When the masks of a training are updated, and how sparse they are made then.

Step s is the state after s training batches, so step 0 is before the first batch and a training
of T batches has the steps 0..T. A schedule is a plan: for each step a target sparsity (the
fraction of zeros, in [0, 1)), or no update.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import check_integer, check_sparsity, real
from trimgrid.configured import Configured
from trimgrid.errors import InputError


@runtime_checkable
class Schedule(Protocol):
    """Anything that can lay out its mask updates for a training of known length."""

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target sparsity of the steps 0..steps, NaN where no update is due.

        The shape is ``(steps + 1,)``.
        """
        ...


class _Timed(Configured, ABC):
    """The timing that these schedules share: from begin to end, every so many steps."""

    begin_step: int
    end_step: int | None
    frequency: int

    @abstractmethod
    def resolved(self, steps: int) -> Self:
        """Return this schedule for a training of ``steps`` batches, with ``end_step`` filled in."""

    @abstractmethod
    def _sparsity(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the target at each of the steps."""

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target sparsity of the steps 0..steps, NaN where no update is due.

        ``steps`` is the number of training batches; the shape is ``(steps + 1,)``. Updates are due
        at ``begin_step``, every ``frequency`` steps from there on, and at ``end_step``, where
        ``None`` stands for ``steps``. The plan is that of ``resolved(steps)``.

        Raises `InputError` where `resolved` does.

        >>> ConstantSparsity(0.5, begin_step=1, frequency=2).plan(4).tolist()
        [nan, 0.5, nan, 0.5, 0.5]
        """
        schedule = self.resolved(steps)
        due = schedule._due_steps(steps)
        plan = np.full(steps + 1, np.nan)
        plan[due] = schedule._sparsity(due)
        return plan

    def _settle(self, **numbers: float) -> None:
        """Check the timing and store it with the other numbers, all as plain Python types."""
        begin = check_integer("begin_step", self.begin_step, minimum=0)
        end = self.end_step
        if end is not None:
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
        frequency = check_integer("frequency", self.frequency, minimum=1)
        settled = numbers | {"begin_step": begin, "end_step": end, "frequency": frequency}
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def _check_begin(self, steps: int) -> int:
        steps = check_integer("steps", steps, minimum=0)
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
        # A step of NumPy's gives a NumPy answer: bool() brings it back.
        return bool(step == self.end_step or (step - self.begin_step) % self.frequency == 0)

    def _due_steps(self, steps: int) -> NDArray[np.int64]:
        last = steps if self.end_step is None else min(self.end_step, steps)
        due = np.arange(self.begin_step, last + 1, self.frequency, dtype=np.int64)
        return np.union1d(due, last) if last == self.end_step else due


@dataclass(frozen=True)
class ConstantSparsity(_Timed):
    """The same target at every update.

    ``target_sparsity`` is the fraction of zeros, in [0, 1). Masks are updated at ``begin_step``,
    every ``frequency`` steps from there on, and at ``end_step``; all three are counted in training
    steps. With ``end_step=None`` the updates go on to the training's last step.

    Raises `InputError` for a sparsity outside [0, 1), a negative ``begin_step``, an ``end_step``
    before it, a ``frequency`` below 1, and for step counts that are not integers.

    >>> schedule = ConstantSparsity(0.5, begin_step=100, end_step=250)
    >>> [step for step in range(400) if schedule(step)[0]]
    [100, 200, 250]
    """

    target_sparsity: float
    begin_step: int = 0
    end_step: int | None = None
    frequency: int = 100

    def __post_init__(self) -> None:
        self._settle(target_sparsity=check_sparsity("target_sparsity", self.target_sparsity))

    def __call__(self, step: int) -> tuple[bool, float]:
        """Return whether an update is due at ``step``, and the target sparsity.

        With ``end_step=None`` the schedule never ends.

        >>> ConstantSparsity(0.5, frequency=10)(10**8)
        (True, 0.5)
        """
        return self._is_due(step), self.target_sparsity

    def resolved(self, steps: int) -> Self:
        """Return this schedule for a training of ``steps`` batches, with ``end_step`` filled in.

        An ``end_step`` after the training becomes its last step: any update reaches the target.
        Raises `InputError` if the schedule begins after the training ends.

        >>> ConstantSparsity(0.5).resolved(750).end_step
        750
        """
        steps = self._check_begin(steps)
        return replace(self, end_step=steps if self.end_step is None else min(self.end_step, steps))

    def _sparsity(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(step.shape, self.target_sparsity)


@dataclass(frozen=True)
class PolynomialDecay(_Timed):
    """From one sparsity to another, fast at first and slower towards the end.

    At step s the target is ``final + (initial - final) * (1 - p) ** power`` with the progress
    ``p = clip((s - begin) / (end - begin), 0, 1)``, and p = 1 where ``end_step == begin_step``.
    The cubic (``power=3``) is that of Zhu & Gupta 2017, "To prune, or not to prune".

    ``initial_sparsity`` and ``final_sparsity`` are fractions of zeros in [0, 1). Masks are updated
    at ``begin_step``, every ``frequency`` steps from there on, and at ``end_step``, so the final
    sparsity is always reached; all three are counted in training steps. ``end_step=None`` stands
    for the training's last step.

    Raises `InputError` for a sparsity outside [0, 1), a negative ``begin_step``, an ``end_step``
    before it, a ``frequency`` below 1, a ``power`` that is not positive and finite, and for step
    counts that are not integers.

    >>> schedule = PolynomialDecay(0.0, 0.8, end_step=250)
    >>> [(step, round(schedule(step)[1], 4)) for step in range(300) if schedule(step)[0]]
    [(0, 0.0), (100, 0.6272), (200, 0.7936), (250, 0.8)]
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int = 0
    end_step: int | None = None
    power: float = 3
    frequency: int = 100

    def __post_init__(self) -> None:
        power = real(self.power)
        if not 0 < power < math.inf:
            raise InputError(
                f"power must be a positive number. Received: power={self.power!r}. "
                "Give 3 for the cubic decay or 1 for a straight line."
            )
        self._settle(
            initial_sparsity=check_sparsity("initial_sparsity", self.initial_sparsity),
            final_sparsity=check_sparsity("final_sparsity", self.final_sparsity),
            power=power,
        )

    def __call__(self, step: int) -> tuple[bool, float]:
        """Return whether an update is due at ``step``, and the target sparsity there.

        Before the schedule begins the sparsity is the initial one, after its end the final one.
        Raises `InputError` with ``end_step=None``: without an end there is no slope.

        >>> PolynomialDecay(0.0, 0.8, end_step=200, frequency=50)(100)
        (True, 0.7000000000000001)
        """
        return self._is_due(step), float(self._sparsity(np.asarray(step)))

    def resolved(self, steps: int) -> Self:
        """Return this schedule for a training of ``steps`` batches, with ``end_step`` filled in.

        Raises `InputError`, with the updates that would happen, if the schedule begins after the
        training ends, or if it ends after that and no update reaches the final sparsity.

        >>> PolynomialDecay(0.1, 0.5).resolved(750).end_step
        750
        >>> PolynomialDecay(0.1, 0.5, end_step=1000, frequency=250).resolved(750)
        Traceback (most recent call last):
        ...
        trimgrid.errors.InputError: PolynomialDecay must reach its final sparsity in the training. \
Received: final_sparsity=0.5, end_step=1000, steps=750. \
Planned updates: 0: 10.0 %, 250: 33.1 %, 500: 45.0 %, 750: 49.4 %. \
Give end_step=None or at most 750, or train longer.
        """
        steps = self._check_begin(steps)
        if self.end_step is None:
            return replace(self, end_step=steps)
        due = self._due_steps(steps)
        sparsity = self._sparsity(due)
        # With end_step <= steps the last update counts as well: it is the one at end_step.
        if sparsity[-1] != self.final_sparsity:
            raise InputError(
                "PolynomialDecay must reach its final sparsity in the training. "
                f"Received: final_sparsity={self.final_sparsity}, end_step={self.end_step}, "
                f"steps={steps}. Planned updates: {_listing(due, sparsity)}. "
                f"Give end_step=None or at most {steps}, or train longer."
            )
        return self

    def _sparsity(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        begin, end = self.begin_step, self.end_step
        if end is None:
            raise InputError(
                "PolynomialDecay needs its end to know the sparsity of a step. "
                "Received: end_step=None. Give end_step, or use plan(steps) or resolved(steps)."
            )
        initial, final = self.initial_sparsity, self.final_sparsity
        if begin == end:
            return np.full(step.shape, final)
        progress = np.clip((step - begin) / (end - begin), 0, 1)
        sparsity = final + (initial - final) * (1 - progress) ** self.power
        # Rounding must not carry the value past either end: just below 1 it would become 1.
        bounded: NDArray[np.float64] = np.clip(sparsity, min(initial, final), max(initial, final))
        return bounded


def _listing(due: NDArray[np.int64], sparsity: NDArray[np.float64]) -> str:
    """Return "0: 10.0 %, 100: 34.1 %, ...", with the middle of a long list left out."""
    updates = [f"{step}: {100 * value:.1f} %" for step, value in zip(due, sparsity, strict=True)]
    if len(updates) > 8:
        updates[4:-2] = ["..."]
    return ", ".join(updates)
