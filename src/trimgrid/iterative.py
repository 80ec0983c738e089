"""Pruning in rounds: cut off a share of what is left, train, cut again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import check_integer, check_sparsity, real
from trimgrid.configured import Configured
from trimgrid.errors import InputError
from trimgrid.schedules import Schedule

REWINDS = (None, "learning_rate", "weights")
"""What may go back at the begin of a round."""


@runtime_checkable
class RewindingSchedule(Schedule, Protocol):
    """A schedule that also says after which steps the weights go back to where they began."""

    def rewinds(self, steps: int) -> NDArray[np.bool_]:
        """Return whether the kept weights go back after each of the steps 0..steps.

        Only where the plan has an update, and not at step 0, where nothing was trained yet. The
        shape is ``(steps + 1,)``.
        """
        ...


@dataclass(frozen=True)
class IterativePruning(Configured):
    """Prunes in rounds: each begins by pruning a share of what is left, and trains what stays.

    After round r = 1, 2, ..., R the sparsity is ``min(1 - (1 - share) ** r, final_sparsity)``, with
    ``R = ceil(log(1 - final_sparsity) / log(1 - share))`` rounds and exactly ``final_sparsity``
    after the last. They lie evenly over the training: of T steps round r begins at step
    ``begin_step + floor((r - 1) * (T - begin_step) / R)``, where its masks are chosen.

    ``final_sparsity`` is a fraction of zeros in [0, 1), ``share`` a fraction above 0 and below 1,
    ``begin_step`` counts training steps. ``rewind`` says what goes back when a round begins:

    - None: nothing; the training goes on.
    - "learning_rate": plans of the learning rate that the attempt names (a cosine, ...) run anew
      in each round, not once over the whole training. Renda et al. 2020, "Comparing Rewinding and
      Fine-tuning in Neural Network Pruning".
    - "weights": after the masks are chosen from the trained weights, all trainable variables go
      back to what they were when the training began, the pruned ones among them to 0, and the
      optimizer begins anew: its slots, and its count of steps too, on which Adam's correction of
      its averages and a schedule of rates inside the optimizer rest. Only its hyperparameters, like
      the learning rate, stay. Plans that the attempt names run anew as well. What no gradient
      changes goes on as it is, such as the moving averages of a BatchNormalization, which play no
      part in training and follow the weights, and the states of random layers.
      Nothing goes back before anything was trained, at step 0.

    The weights "when the training began" are those of the trained original, or what was given to
    `fit`. Rewinding an untrained one, to the very initialization, is the way of Frankle & Carbin
    2019, "The Lottery Ticket Hypothesis": there ``begin_step`` must leave time for a first training
    of the whole model, or the first round's weights are pruned before they were trained.

    Raises `InputError` for a sparsity or a share out of range, an unknown ``rewind`` and a
    ``begin_step`` that is no integer of at least 0.

    >>> schedule = IterativePruning(0.5, share=0.2)
    >>> [(step, round(float(s), 4)) for step, s in enumerate(schedule.plan(100)) if s == s]
    [(0, 0.2), (25, 0.36), (50, 0.488), (75, 0.5)]
    """

    final_sparsity: float
    share: float = 0.2
    rewind: str | None = None
    begin_step: int = 0

    def __post_init__(self) -> None:
        share = real(self.share)
        if not 0 < share < 1:
            raise InputError(
                f"share must be a fraction above 0 and below 1. Received: share={self.share!r}. "
                "Give 0.2 to prune 20 % of what is left in each round."
            )
        if self.rewind is not None and self.rewind not in REWINDS:
            raise InputError(
                "rewind must say what goes back when a round begins. "
                f"Received: rewind={self.rewind!r}. "
                'Give "weights" or "learning_rate", or leave it away.'
            )
        settled = {
            "final_sparsity": check_sparsity("final_sparsity", self.final_sparsity),
            "share": share,
            "begin_step": check_integer("begin_step", self.begin_step, minimum=0),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target sparsity of the steps 0..steps, NaN where no round begins.

        ``steps`` is the number of training batches; the shape is ``(steps + 1,)``.

        Raises `InputError` where `rounds` does.

        >>> IterativePruning(0.75, share=0.5).plan(4).tolist()
        [0.5, nan, 0.75, nan, nan]
        """
        begins = self.rounds(steps)
        left = (1 - self.share) ** np.arange(1, len(begins) + 1)
        plan = np.full(steps + 1, np.nan)
        plan[begins] = np.minimum(1 - left, self.final_sparsity)
        plan[begins[-1]] = self.final_sparsity
        return plan

    def rounds(self, steps: int) -> list[int]:
        """Return the steps with which the rounds of a training of ``steps`` batches begin.

        Raises `InputError` if there are fewer batches from ``begin_step`` on than rounds.

        >>> IterativePruning(0.5).rounds(100)
        [0, 25, 50, 75]
        >>> IterativePruning(0.9).rounds(5)
        Traceback (most recent call last):
        ...
        trimgrid.errors.InputError: IterativePruning must train at least a batch in each round. \
Received: final_sparsity=0.9, share=0.2, begin_step=0, steps=5. Rounds: 11 in 5 steps. \
Give a larger share, a lower final_sparsity, an earlier begin_step or train longer.
        """
        steps = check_integer("steps", steps, minimum=0)
        room, count = steps - self.begin_step, self._count()
        if room < count:
            raise InputError(
                "IterativePruning must train at least a batch in each round. Received: "
                f"final_sparsity={self.final_sparsity}, share={self.share}, "
                f"begin_step={self.begin_step}, steps={steps}. "
                f"Rounds: {count} in {max(room, 0)} steps. Give a larger share, a lower "
                "final_sparsity, an earlier begin_step or train longer."
            )
        return [self.begin_step + place * room // count for place in range(count)]

    def rate_rounds(self, steps: int) -> list[int]:
        """Return the steps with which plans of the learning rate run anew.

        They are those of `rounds`, and none without a ``rewind``. Raises `InputError` where
        `rounds` does.

        >>> IterativePruning(0.5, rewind="learning_rate", begin_step=20).rate_rounds(100)
        [20, 40, 60, 80]
        >>> IterativePruning(0.5, begin_step=20).rate_rounds(100)
        []
        """
        rounds = self.rounds(steps)
        return [] if self.rewind is None else rounds

    def rewinds(self, steps: int) -> NDArray[np.bool_]:
        """Return whether the kept weights go back after each of the steps 0..steps.

        Raises `InputError` where `rounds` does.

        >>> IterativePruning(0.75, share=0.5, rewind="weights").rewinds(4).tolist()
        [False, False, True, False, False]
        """
        rewinds = np.zeros(check_integer("steps", steps, minimum=0) + 1, np.bool_)
        if self.rewind == "weights":
            rewinds[self.rounds(steps)] = True
            rewinds[0] = False
        return rewinds

    def _count(self) -> int:
        """The number of rounds."""
        exact = math.log1p(-self.final_sparsity) / math.log1p(-self.share)
        # Where the rounds come out evenly rounding must not add one that prunes nothing. Shares
        # that are next to nothing give no number that could be counted.
        return max(1, math.ceil(min(exact, 2.0**53) - 1e-9))


def rewinds_rates(schedule: Any) -> bool:
    """Tell whether a schedule's rounds only run a plan of the learning rate anew.

    >>> rewinds_rates(IterativePruning(0.5, rewind="learning_rate"))
    True
    """
    return getattr(schedule, "rewind", None) == "learning_rate"


def planned_rate_rounds(schedule: Any, steps: int) -> list[int]:
    """Return the steps of a training at which a plan of the learning rate runs anew.

    `schedule`: any; one without `rate_rounds` has none.

    Raises `InputError` where the schedule does.

    >>> planned_rate_rounds(IterativePruning(0.75, share=0.5, rewind="weights"), 4)
    [0, 2]
    """
    rounds = getattr(schedule, "rate_rounds", None)
    return [] if rounds is None else [int(each) for each in rounds(steps)]


def may_rewind(schedule: Any) -> bool:
    """Tell whether a schedule may send weights back in some training.

    >>> may_rewind(IterativePruning(0.5, rewind="weights")), may_rewind(IterativePruning(0.5))
    (True, False)
    """
    if isinstance(schedule, IterativePruning):
        return schedule.rewind == "weights"
    return isinstance(schedule, RewindingSchedule)


def planned_rewinds(schedule: Any, steps: int) -> NDArray[np.bool_]:
    """Return whether the weights go back after each of the steps 0..steps of a training.

    `schedule`: any, or None; one without `rewinds` never goes back, and none where it plans no
    update or at step 0.

    Raises `InputError` where the schedule does, and where it does not tell it for each step.

    >>> planned_rewinds(IterativePruning(0.5, rewind="weights", begin_step=1), 5).tolist()
    [False, True, True, True, True, False]
    """
    if not may_rewind(schedule):
        return np.zeros(steps + 1, np.bool_)
    rewinds = np.asarray(schedule.rewinds(steps))
    if rewinds.shape != (steps + 1,) or rewinds.dtype != np.bool_:
        raise InputError(
            "rewinds must tell for each of the steps 0 to the last whether weights go back. "
            f"Received: {schedule!r}, which gives {rewinds.dtype} of shape {rewinds.shape} for "
            f"{steps} steps. Return an array of bool of shape (steps + 1,)."
        )
    found: NDArray[np.bool_] = rewinds & ~np.isnan(schedule.plan(steps))
    found[0] = False
    return found
