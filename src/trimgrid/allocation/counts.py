"""How many weights each tensor keeps: as NumPy computes it, the oracle for every backend.

An allocation ranks all prunable weights of a model by a score, and as many of the best stay as the
target says, within the bounds of each tensor. Weights that tie at the threshold go from the first
tensors first. With a structure its groups are ranked by what they are worth, and as many of the
best stay as leave that number of weights or, where no whole groups do, the least above it.
`trimgrid.shared_selection` does the same in a compiled step.
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
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Structure
from trimgrid.structures.scores import group_mask, group_scores, protected, squared

LEVELS = 2**31
"""Thresholds are the bits of non-negative float32 numbers, read as integers below this."""
LARGEST_FACTOR = 0x7F7F_FFFF
MOST = 2**31 - 128
"""The largest float32 that is an int32."""
Counter: TypeAlias = Callable[[int], Counts]
"""Tells for a threshold how many weights of each tensor score at least that, shape [T]."""


def kept_counts(
    weights: Sequence[NDArray[Any]],
    sharing: Sharing,
    target: float,
    structure: Structure | None = None,
) -> Counts:
    """Return how many weights, or groups of a structure, stay of each tensor at a target, [T].

    They are as many in all as `masks.kept_count` of the whole model says, unless the bounds of the
    tensors leave no such number. Where sizes alone decide, a tensor keeps round(weight * f) for the
    least float32 factor f, the same for all tensors, with which enough stay. `sharing` must be made
    for the structure.

    Raises `InputError` for a target outside [0, 1).

    >>> from trimgrid.allocation.setting import Allocation
    >>> from trimgrid.allocation.sharing import share
    >>> weights = [np.array([[1.0, 5.0]]), np.array([[2.0], [3.0], [4.0]])]
    >>> sharing = share(Allocation("global_magnitude"), ["a", "b"], [(1, 2), (3, 1)],
    ...                 np.array([0.6]))
    >>> kept_counts(weights, sharing, 0.6).tolist()
    [1, 1]
    """
    parts = [grouping(structure, each.shape) for each in weights]
    sizes = np.array([each.number for each in parts], np.int64)
    members = np.array([each.size for each in parts], np.int64)
    return counts_by(counter(weights, sharing, structure), sizes, sharing, target, members)


def counts_by(
    above: Counter,
    sizes: Counts,
    sharing: Sharing,
    target: float,
    members: Counts | int = 1,
) -> Counts:
    """Return what `kept_counts` does, of tensors of these sizes whose `counter` is made already.

    `sizes` count groups of so many `members` each, weights by themselves of one.

    Raises `InputError` for a target outside [0, 1).
    """
    lowest, largest, kept = bounds(
        sizes, sharing.floors, sharing.fixed, sharing.highest, target, members
    )

    def stay(threshold: int) -> Counts:
        return np.minimum(np.maximum(above(threshold), lowest), largest)

    # The largest threshold at which enough stay: the sums fall as thresholds rise.
    threshold = (
        bisect_right(range(LEVELS), -kept, key=lambda each: -int((stay(each) * members).sum())) - 1
    )
    beyond = stay(threshold + 1)
    ties = stay(threshold) - beyond
    missing = kept - int((beyond * members).sum())
    tied = ties * members
    later = tied[::-1].cumsum()[::-1] - tied  # the tied weights in the tensors behind each
    wanted = -(-np.maximum(missing - later, 0) // members)  # in whole groups
    counts: Counts = beyond + np.minimum(wanted, ties)
    return counts


def shared_masks(
    weights: Sequence[NDArray[Any]],
    sharing: Sharing,
    target: float,
    structure: Structure | None = None,
) -> list[NDArray[np.bool_]]:
    """Return the mask of each tensor, True where a weight stays: its `kept_counts` largest.

    Raises `InputError` for a target outside [0, 1).

    >>> from trimgrid.allocation.setting import Allocation
    >>> from trimgrid.allocation.sharing import share
    >>> sharing = share(Allocation(), ["a", "b"], [(4,), (2,)], np.array([0.5]))
    >>> [each.tolist() for each in shared_masks([np.arange(4), np.ones(2)], sharing, 0.5)]
    [[False, False, True, True], [False, True]]
    """
    counts = map(int, kept_counts(weights, sharing, target, structure))
    return [
        masks.magnitude_mask(each, kept=kept)
        if structure is None
        else group_mask(structure, each, kept=kept)
        for each, kept in zip(weights, counts, strict=True)
    ]


def counter(
    weights: Sequence[NDArray[Any]], sharing: Sharing, structure: Structure | None = None
) -> Counter:
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
    safe = [protected(structure, each) for each in weights]
    if structure is not None:
        weights = [group_scores(structure, each) for each in weights]
    if sharing.kind == BY_LAMP:
        keys = [lamp_scores(each, squared(structure)).ravel().view(np.int32) for each in weights]
    else:
        keys = [masks.magnitude_keys(each) for each in weights]
    # What can't go ranks above all others, and is never at the threshold.
    keys = [
        key if some is None else np.where(some, LEVELS - 1, key)
        for key, some in zip(keys, safe, strict=True)
    ]

    def at_least(threshold: int) -> Counts:
        return np.array([np.count_nonzero(each >= threshold) for each in keys], np.int64)

    return at_least
