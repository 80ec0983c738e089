"""Pruning in one cut, without any training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import check_integer, check_sparsity
from trimgrid.configured import Configured


@dataclass(frozen=True)
class OneShot(Configured):
    """One update at step 0, and in a grid no training at all.

    An attempt with this schedule is the original with its smallest weights taken away: it has no
    history, takes no time, and repeats of it are all the same. What it costs in error to prune
    without training is the measure of what training is worth; `trimgrid.Study.scan` gives it for
    the whole range of sparsities at once.

    In a plain `fit` with `MagnitudePruning` the masks are chosen at step 0, and training goes on
    under these masks.

    `target_sparsity` is the fraction of zeros, in [0, 1); `InputError` is raised for any other.

    >>> OneShot(0.9).plan(2).tolist()
    [0.9, nan, nan]
    """

    target_sparsity: float
    # All is done at step 0, whatever the length of a training.
    end_step: ClassVar[int] = 0

    def __post_init__(self) -> None:
        target = check_sparsity("target_sparsity", self.target_sparsity)
        object.__setattr__(self, "target_sparsity", target)

    def plan(self, steps: int) -> NDArray[np.float64]:
        """Return the target at step 0 and NaN for the steps 1..steps, shape ``(steps + 1,)``.

        Raises `InputError` for steps that are no integer of at least 0.
        """
        plan = np.full(check_integer("steps", steps, minimum=0) + 1, np.nan)
        plan[0] = self.target_sparsity
        return plan
