"""When the masks of a training are updated, and how sparse they are made then.

Step s is the state after s training batches, so step 0 is before the first batch and a training
of T batches has the steps 0..T. A schedule is a plan: for each step a target sparsity (the
fraction of zeros, in [0, 1)), or no update.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import check_sparsity, real
from trimgrid.errors import InputError
from trimgrid.timed import TFMOT, TRIMGRID, Timed


@runtime_checkable
class Schedule(Protocol):
    """Anything that can lay out its mask updates for a training of known length."""

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target sparsity of the steps 0..steps, NaN where no update is due.

        The shape is ``(steps + 1,)``.
        """
        ...


@dataclass(frozen=True)
class ConstantSparsity(Timed):
    """The same target at every update.

    ``target_sparsity`` is the fraction of zeros, in [0, 1). Masks are updated at ``begin_step``,
    every ``frequency`` steps from there on, and at ``end_step``; all three are counted in training
    steps. With ``end_step=None`` the updates go on to the training's last step. ``timing="tfmot"``
    is the schedule of this name in the TensorFlow Model Optimization toolkit, to the step: see
    `trimgrid.timed.Timed`.

    Raises `InputError` for a sparsity outside [0, 1), a negative ``begin_step``, an ``end_step``
    before it, a ``frequency`` below 1, an unknown ``timing``, and for step counts that are not
    integers.

    >>> schedule = ConstantSparsity(0.5, begin_step=100, end_step=250)
    >>> [step for step in range(400) if schedule(step)[0]]
    [100, 200, 250]
    """

    target_sparsity: float
    begin_step: int = 0
    end_step: int | None = None
    frequency: int = 100
    timing: str = TRIMGRID

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
        In TFMOT's timing it stays as it is. Raises `InputError` if the schedule begins after the
        training ends, in TFMOT's timing if no update is due at all.

        >>> ConstantSparsity(0.5).resolved(750).end_step
        750
        """
        steps = self._check_begin(steps)
        if self.timing == TFMOT:
            return self
        return replace(self, end_step=steps if self.end_step is None else min(self.end_step, steps))

    def _sparsity(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(step.shape, self.target_sparsity)


@dataclass(frozen=True)
class PolynomialDecay(Timed):
    """From one sparsity to another, fast at first and slower towards the end.

    At step s the target is ``final + (initial - final) * (1 - p) ** power`` with the progress
    ``p = clip((s - begin) / (end - begin), 0, 1)``, and p = 1 where ``end_step == begin_step``.
    The cubic (``power=3``) is that of Zhu & Gupta 2017, "To prune, or not to prune".

    ``initial_sparsity`` and ``final_sparsity`` are fractions of zeros in [0, 1). Masks are updated
    at ``begin_step``, every ``frequency`` steps from there on, and at ``end_step``, so the final
    sparsity is always reached; all three are counted in training steps. ``end_step=None`` stands
    for the training's last step.

    ``timing="tfmot"`` is the schedule of this name in the TensorFlow Model Optimization toolkit, to
    the step and computed in float32 as there: see `trimgrid.timed.Timed`. It must have its
    ``end_step``, and does not reach its final sparsity where ``end_step - begin_step`` is no
    multiple of ``frequency``, or the training is too short: see `stops_short`.

    Raises `InputError` for a sparsity outside [0, 1), a negative ``begin_step``, an ``end_step``
    before it, a ``frequency`` below 1, a ``power`` that is not positive and finite, an unknown
    ``timing``, and for step counts that are not integers; in TFMOT's timing also without an
    ``end_step`` after ``begin_step``.

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
    timing: str = TRIMGRID
    _needs_end: ClassVar[bool] = True

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
        if self.timing == TFMOT and self.begin_step == self.end_step:
            raise InputError(
                "A PolynomialDecay in TFMOT's timing must end after it begins. Received: "
                f"begin_step={self.begin_step}, end_step={self.end_step}, where TFMOT divides by "
                "zero and prunes by NaN. Give a later end_step, or a ConstantSparsity("
                f"{self.final_sparsity}, {self.begin_step}, {self.end_step}, timing='tfmot')."
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
        training ends, or if it ends after that and no update reaches the final sparsity; in TFMOT's
        timing only if no update is due at all.

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
        if self.timing == TFMOT:
            return self
        if self.end_step is None:
            return replace(self, end_step=steps)
        due = self.due_steps(steps)
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
        if self.timing == TFMOT:
            return _tfmot_sparsity((step - begin).astype(np.float32), end - begin, self)
        if begin == end:
            return np.full(step.shape, final)
        progress = np.clip((step - begin) / (end - begin), 0, 1)
        sparsity = final + (initial - final) * (1 - progress) ** self.power
        # Rounding must not carry the value past either end: just below 1 it would become 1.
        bounded: NDArray[np.float64] = np.clip(sparsity, min(initial, final), max(initial, final))
        return bounded


def stops_short(schedule: object, steps: int) -> str | None:
    """Return what to say of a schedule that never reaches its target in ``steps`` batches.

    Only in TFMOT's timing is that so: others are refused. None where there is nothing to say.

    >>> print(stops_short(PolynomialDecay(0.0, 0.8, end_step=250, timing="tfmot"), 300))
    It stops at 79.4 % and never reaches its 80.0 %: TFMOT's timing has no update at end_step=250. \
Planned updates: 100: 62.7 %, 200: 79.4 %. Give an end_step that is begin_step plus a multiple of \
frequency, or leave timing='tfmot' away.
    """
    if not isinstance(schedule, PolynomialDecay) or schedule.timing != TFMOT:
        return None
    due = schedule.due_steps(steps)
    sparsity = schedule._sparsity(due)
    if not due.size or sparsity[-1] == np.float32(schedule.final_sparsity):
        return None
    end = schedule.end_step
    why = f"TFMOT's timing has no update at end_step={end}"
    remedy = "Give an end_step that is begin_step plus a multiple of frequency"
    if end is not None and end > steps:
        why = f"end_step={end} is after the training's {steps} steps"
        remedy = "Give an earlier end_step, train longer"
    return (
        f"It stops at {100 * sparsity[-1]:.1f} % and never reaches its "
        f"{100 * schedule.final_sparsity:.1f} %: {why}. Planned updates: "
        f"{_listing(due, sparsity)}. {remedy}, or leave timing='tfmot' away."
    )


def warn_of_stop(schedule: object, steps: int) -> None:
    """Warn (`UserWarning`) of a schedule that never reaches its target in ``steps`` batches.

    >>> warn_of_stop(ConstantSparsity(0.5), 300)
    """
    short = stops_short(schedule, steps)
    if short is not None:
        warnings.warn(f"{schedule!r}: {short}", stacklevel=3)


def _tfmot_sparsity(
    since: NDArray[np.float32], length: int, decay: PolynomialDecay
) -> NDArray[np.float64]:
    """TFMOT's polynomial, so many steps after its begin: each operation in float32, as there."""
    one = np.float32(1)
    progress = np.minimum(one, np.maximum(np.float32(0), since / np.float32(length)))
    span = np.float32(decay.initial_sparsity - decay.final_sparsity)
    sparsity = span * np.power(one - progress, np.float32(decay.power))
    sparsity += np.float32(decay.final_sparsity)
    # Rounding must not make it 1: as there, a weight of each tensor stays.
    bounded: NDArray[np.float64] = np.clip(sparsity, 0, np.nextafter(one, np.float32(0)))
    return bounded.astype(np.float64)


def _listing(due: NDArray[np.int64], sparsity: NDArray[np.float64]) -> str:
    """Return "0: 10.0 %, 100: 34.1 %, ...", with the middle of a long list left out."""
    updates = [f"{step}: {100 * value:.1f} %" for step, value in zip(due, sparsity, strict=True)]
    if len(updates) > 8:
        updates[4:-2] = ["..."]
    return ", ".join(updates)
