"""How many weights each tensor keeps: as NumPy computes it, the oracle for every backend.

An allocation ranks all prunable weights of a model by a score, and as many of the best stay as the
target says, within the bounds of each tensor. Weights that tie at the threshold go from the first
tensors first. `trimgrid.shared_selection` does the same in a compiled step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimgrid import masks
from trimgrid.allocation.bounds import Counts, bounds
from trimgrid.allocation.lamp import lamp_scores
from trimgrid.allocation.sharing import APPORTIONED, BY_LAMP, Sharing

LEVELS = 2**31
"""Thresholds are the bits of non-negative float32 numbers, read as integers below this."""
LARGEST_FACTOR = 0x7F7F_FFFF
MOST = 2**31 - 128
"""The largest float32 that is an int32."""
Counter: TypeAlias = Callable[[int], Counts]
"""Tells for a threshold how many weights of each tensor score at least that, shape [T]."""


def kept_counts(weights: Sequence[NDArray[Any]], sharing: Sharing, target: float) -> Counts:
    """Return how many weights of each tensor stay at a target sparsity, shape [T].

    They are as many in all as `masks.kept_count` of the whole model says, unless the bounds of the
    tensors leave no such number. Where sizes alone decide, a tensor keeps round(weight * f) for the
    least float32 factor f, the same for all tensors, with which enough stay.

    Raises `InputError` for a target outside [0, 1).

    >>> from trimgrid.allocation.setting import Allocation
    >>> from trimgrid.allocation.sharing import share
    >>> weights = [np.array([[1.0, 5.0]]), np.array([[2.0], [3.0], [4.0]])]
    >>> sharing = share(Allocation("global_magnitude"), ["a", "b"], [(1, 2), (3, 1)],
    ...                 np.array([0.6]))
    >>> kept_counts(weights, sharing, 0.6).tolist()
    [1, 1]
    """
    sizes = np.array([each.size for each in weights], np.int64)
    return counts_by(counter(weights, sharing), sizes, sharing, target)


def counts_by(above: Counter, sizes: Counts, sharing: Sharing, target: float) -> Counts:
    """Return what `kept_counts` does, of tensors of these sizes whose `counter` is made already.

    Raises `InputError` for a target outside [0, 1).
    """
    lowest, largest, kept = bounds(sizes, sharing.floors, sharing.fixed, sharing.highest, target)

    def stay(threshold: int) -> Counts:
        return np.minimum(np.maximum(above(threshold), lowest), largest)

    # The largest threshold at which enough stay: the sums fall as thresholds rise.
    threshold = bisect_right(range(LEVELS), -kept, key=lambda each: -int(stay(each).sum())) - 1
    beyond = stay(threshold + 1)
    ties = stay(threshold) - beyond
    missing = kept - int(beyond.sum())
    later = ties[::-1].cumsum()[::-1] - ties  # the ties in the tensors behind each
    counts: Counts = beyond + np.minimum(np.maximum(missing - later, 0), ties)
    return counts


def shared_masks(
    weights: Sequence[NDArray[Any]], sharing: Sharing, target: float
) -> list[NDArray[np.bool_]]:
    """Return the mask of each tensor, True where a weight stays: its `kept_counts` largest.

    Raises `InputError` for a target outside [0, 1).

    >>> from trimgrid.allocation.setting import Allocation
    >>> from trimgrid.allocation.sharing import share
    >>> sharing = share(Allocation(), ["a", "b"], [(4,), (2,)], np.array([0.5]))
    >>> [each.tolist() for each in shared_masks([np.arange(4), np.ones(2)], sharing, 0.5)]
    [[False, False, True, True], [False, True]]
    """
    counts = kept_counts(weights, sharing, target)
    return [
        masks.magnitude_mask(each, kept=int(kept))
        for each, kept in zip(weights, counts, strict=True)
    ]


def counter(weights: Sequence[NDArray[Any]], sharing: Sharing) -> Counter:
    """Return what counts the weights of each tensor that score at least a threshold.

    It depends on no target: scores are computed once, for whatever is asked of it.
    """
    if sharing.kind == APPORTIONED:
        parts = np.asarray(sharing.weights, np.float32)

        def rounded(threshold: int) -> Counts:
            factor = np.array(min(LEVELS - 1 - threshold, LARGEST_FACTOR), np.int64)
            factor = np.maximum(factor, 0).astype(np.int32).view(np.float32)
            with np.errstate(over="ignore"):
                whole: Counts = np.minimum(np.rint(parts * factor), MOST).astype(np.int64)
            return whole

        return rounded
    if sharing.kind == BY_LAMP:
        keys = [lamp_scores(each).ravel().view(np.int32) for each in weights]
    else:
        keys = [masks.magnitude_keys(each) for each in weights]

    def at_least(threshold: int) -> Counts:
        return np.array([np.count_nonzero(each >= threshold) for each in keys], np.int64)

    return at_least
