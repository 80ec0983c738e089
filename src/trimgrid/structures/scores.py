"""What the groups of a structure are worth, and the mask that they make: the oracle, in NumPy.

`trimgrid.structured_selection` computes the same in a compiled step, to the bit. So sums are made
in a fixed order, in float32, and what small numbers become may not depend on whether a machine has
denormal ones: magnitudes below 2**-50 count as 0 in means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid import masks
from trimgrid.masks import kept_count
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units

INFINITE = 0x7F80_0000
NAN = 0x7F80_0001
"""The key of every NaN, see `trimgrid.masks.magnitude_keys`."""
SMALLEST = (127 - 50) << 23
"""The bits of 2**-50."""


def group_scores(structure: Structure, weights: NDArray[Any]) -> NDArray[np.float32]:
    """Return what each group of a tensor is worth, in the order of the groups, shape [groups].

    Blocks are worth the mean or the maximum of their magnitudes, in the order of their rows; units
    the mean of their squares with "l2", which ranks as the norm does, or of their magnitudes;
    single weights of n:m their magnitudes. A group with a NaN in it ranks above all without.

    >>> group_scores(Units("l2"), np.array([[3.0, 0.0], [1.0, 2.0]])).tolist()
    [5.0, 2.0]
    """
    keys = masks.magnitude_keys(weights)
    if isinstance(structure, NofM):
        return keys.view(np.float32)
    parts = _parts(structure, keys, weights.shape)
    if isinstance(structure, Blocks) and structure.pooling == "max":
        largest: NDArray[np.int32] = parts.max(axis=0, initial=0)
        return largest.view(np.float32)
    values = np.where(parts < SMALLEST, 0, parts).astype(np.int32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if squared(structure):
            values = np.minimum((values * values).view(np.int32), NAN).view(np.float32)
        return _sum(values) * np.float32(1 / len(parts))


def squared(structure: Structure | None) -> bool:
    """Whether the scores of a structure's groups are squares of what they are worth."""
    return isinstance(structure, Units) and structure.norm == "l2"


def protected(structure: Structure | None, weights: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which weights of a tensor can't go: the n largest of each m, shape [size].

    Of equal magnitudes those further back in memory are the larger ones. None for other structures.

    >>> protected(NofM(1, 2), np.array([[1.0, 5.0], [2.0, 5.0]])).tolist()
    [False, False, True, True]
    """
    if not isinstance(structure, NofM):
        return None
    keys = masks.magnitude_keys(weights).reshape(-1, structure.m, weights.shape[-1])
    places = np.arange(structure.m)[:, None]
    larger = np.zeros(keys.shape, np.int32)
    for place in range(structure.m):
        other = keys[:, place : place + 1]
        larger += (other > keys) | ((other == keys) & (place > places))
    return (larger < structure.n).ravel()


def group_mask(
    structure: Structure, weights: NDArray[Any], target: float | None = None, kept: int = 0
) -> NDArray[np.bool_]:
    """Return a tensor's mask of a structure, True where a weight stays.

    At a sparsity of `target` ``masks.kept_count(groups, target)`` groups stay; without one, `kept`.
    The largest stay, of equal ones those behind; never fewer than n weights of each m.

    >>> group_mask(NofM(1, 2), np.array([[1.0], [2.0], [3.0], [4.0]]), 0.5).ravel().tolist()
    [False, True, False, True]
    >>> group_mask(Units(), np.array([[1.0, 5.0], [2.0, 5.0]]), 0.5).tolist()
    [[False, True], [False, True]]
    """
    shape = weights.shape
    count, _, least, _ = grouping(structure, shape)
    kept = max(kept if target is None else kept_count(count, target), least)
    scores = group_scores(structure, weights)
    safe = protected(structure, weights)
    if safe is not None:  # above all others, also where those are NaN
        keys = np.minimum(scores.view(np.int32), INFINITE)
        scores = np.where(safe, NAN, keys).astype(np.int32).view(np.float32)
    return spread(structure, masks.magnitude_mask(scores, kept=kept), shape)


def spread(
    structure: Structure, chosen: NDArray[np.bool_], shape: Sequence[int]
) -> NDArray[np.bool_]:
    """Return the mask of a tensor's weights from that of its groups, shape [groups]."""
    if isinstance(structure, Units):
        return np.broadcast_to(chosen, shape).copy()
    if isinstance(structure, Blocks):
        grid = chosen.reshape(-1, shape[-1] // structure.width)
        rows = np.repeat(grid, structure.height, axis=0)
        return np.repeat(rows, structure.width, axis=1).reshape(shape)
    return chosen.reshape(shape)


def _parts(
    structure: Structure, keys: NDArray[np.int32], shape: Sequence[int]
) -> NDArray[np.int32]:
    """The keys with an axis of the groups' members first, [members, groups]."""
    matrix = keys.reshape(-1, shape[-1])
    if isinstance(structure, Units):
        return matrix
    assert isinstance(structure, Blocks)
    height, width = structure.height, structure.width
    blocks = matrix.reshape(len(matrix) // height, height, shape[-1] // width, width)
    return blocks.transpose(1, 3, 0, 2).reshape(height * width, -1)


def runs_of(members: int) -> int:
    """Return the length of the runs in which so many numbers are summed.

    >>> runs_of(1), runs_of(9), runs_of(10)
    (1, 3, 4)
    """
    return math.isqrt(max(members, 1) - 1) + 1


def _sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over the first axis: of each place in the runs first, then of these."""
    length = runs_of(len(values))
    missing = length * length - len(values)
    filled = np.pad(values, ((0, missing), (0, 0))).reshape(length, length, -1)
    for _ in range(2):
        total = np.zeros(filled.shape[1:], np.float32)
        for each in filled:
            total = total + each
        filled = total
    return total
