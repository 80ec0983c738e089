"""Masks that follow a structure, computed inside a compiled training step.

The same answers as `trimgrid.structures.scores` gives, to the bit, in `keras.ops`. Sums are made by
loops, in the oracle's order; between a square and the sum that it goes into stands an operation on
integers, so that no compiler makes one rounding of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from trimgrid.selection import kept_count, magnitude_keys, magnitude_mask
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units
from trimgrid.structures.scores import INFINITE, NAN, SMALLEST, runs_of, squared


def group_counts(structure: Structure, shapes: Sequence[Sequence[int]], target: Any) -> Any:
    """How many groups of each tensor stay where it has the target for itself, int32 [T].

    >>> ops.convert_to_numpy(group_counts(Units(), [(3, 4), (4, 2)], 0.5)).tolist()
    [2, 1]
    """
    parts = [grouping(structure, tuple(map(int, shape))) for shape in shapes]
    numbers = np.array([each.number for each in parts], np.int32)
    least = np.array([each.least for each in parts], np.int32)
    return ops.maximum(kept_count(numbers, target), least)


def group_mask(structure: Structure, weights: Any, kept: Any) -> Any:
    """A tensor's mask of a structure with so many groups, but never fewer than n of each m.

    >>> mask = group_mask(Units(), np.array([[1, 5], [2, 5]], "float32"), 1)
    >>> ops.convert_to_numpy(mask).tolist()
    [[False, True], [False, True]]
    """
    shape = tuple(map(int, weights.shape))
    kept = ops.maximum(kept, grouping(structure, shape).least)
    return spread(structure, magnitude_mask(ranked(structure, weights), kept=kept), shape)


def group_scores(structure: Structure, weights: Any) -> Any:
    """What each group of a tensor is worth, float32 [groups].

    >>> scores = group_scores(Units("l2"), np.array([[3, 0], [1, 2]], "float32"))
    >>> ops.convert_to_numpy(scores).tolist()
    [5.0, 2.0]
    """
    keys = magnitude_keys(weights)
    if isinstance(structure, NofM):
        return ops.view(keys, "float32")
    parts = _parts(structure, keys, weights.shape)
    if isinstance(structure, Blocks) and structure.pooling == "max":
        return ops.view(ops.max(parts, axis=0), "float32")
    values = ops.view(ops.where(ops.less(parts, SMALLEST), 0, parts), "float32")
    if squared(structure):
        values = ops.view(ops.minimum(ops.view(values * values, "int32"), NAN), "float32")
    return _sum(values) * np.float32(1 / int(parts.shape[0]))


def protected(structure: Structure | None, weights: Any) -> Any:
    """Which weights of a tensor can't go: the n largest of each m, bool [size], else None.

    >>> safe = protected(NofM(1, 2), np.array([[1, 5], [2, 5]], "float32"))
    >>> ops.convert_to_numpy(safe).tolist()
    [False, False, True, True]
    """
    if not isinstance(structure, NofM):
        return None
    keys = ops.reshape(magnitude_keys(weights), (-1, structure.m, int(weights.shape[-1])))
    places = np.arange(structure.m)[:, None]
    larger = ops.zeros_like(keys)
    for place in range(structure.m):
        other = keys[:, place : place + 1]
        beaten = ops.logical_and(ops.equal(other, keys), place > places)
        larger = larger + ops.cast(ops.logical_or(ops.greater(other, keys), beaten), "int32")
    return ops.reshape(ops.less(larger, structure.n), (-1,))


def ranked(structure: Structure, weights: Any) -> Any:
    """The scores with NaN for what can't go, which ranks above all: what a mask is chosen from."""
    scores = group_scores(structure, weights)
    safe = protected(structure, weights)
    if safe is None:
        return scores
    keys = ops.minimum(ops.view(scores, "int32"), INFINITE)
    return ops.view(ops.where(safe, NAN, keys), "float32")


def spread(structure: Structure, chosen: Any, shape: Sequence[int]) -> Any:
    """The mask of a tensor's weights from that of its groups, bool [groups]."""
    if isinstance(structure, Units):
        return ops.broadcast_to(chosen, shape)
    if isinstance(structure, Blocks):
        height, width = structure.height, structure.width
        grid = ops.reshape(chosen, (-1, 1, shape[-1] // width, 1))
        rows = int(grid.shape[0])
        return ops.reshape(ops.broadcast_to(grid, (rows, height, shape[-1] // width, width)), shape)
    return ops.reshape(chosen, shape)


def _parts(structure: Structure, keys: Any, shape: Sequence[int]) -> Any:
    columns = int(shape[-1])
    matrix = ops.reshape(keys, (-1, columns))
    if isinstance(structure, Units):
        return matrix
    assert isinstance(structure, Blocks)
    height, width = structure.height, structure.width
    rows = int(matrix.shape[0]) // height
    blocks = ops.reshape(matrix, (rows, height, columns // width, width))
    return ops.reshape(ops.transpose(blocks, (1, 3, 0, 2)), (height * width, -1))


def _sum(values: Any) -> Any:
    """The sum over the first axis, as `trimgrid.structures.scores` makes it."""
    members, groups = (int(each) for each in values.shape)
    length = runs_of(members)
    filled = ops.pad(values, ((0, length * length - members), (0, 0)))
    filled = ops.reshape(filled, (length, length, groups))
    for _ in range(2):
        filled = _sum_of_first(filled, length)
    return filled


def _sum_of_first(values: Any, length: int) -> Any:
    start = ops.zeros(values.shape[1:], dtype="float32")
    return ops.fori_loop(0, length, lambda i, total: total + ops.take(values, i, axis=0), start)
