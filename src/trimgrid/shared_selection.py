"""How many weights each tensor of a model keeps, computed inside a compiled training step.

The same answer as `trimgrid.allocation.counts.kept_counts`, in `keras.ops`. Nothing is sorted: the
threshold is found digit by digit, from histograms of the scores of all tensors' weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from trimgrid.allocation import lamp
from trimgrid.allocation.bounds import NO_SPARSITY
from trimgrid.allocation.counts import LARGEST_FACTOR, MOST
from trimgrid.allocation.sharing import APPORTIONED, BY_LAMP
from trimgrid.selection import kept_count
from trimgrid.structured_selection import group_scores, protected
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Structure
from trimgrid.structures.scores import squared
from trimgrid.tensor_groups import TensorGroup, grouped

# A threshold is the bits of a float32 that is not negative: 31 bits, as four digits.
_DIGITS, _WIDTH = 4, 8
_BUCKETS = 1 << _WIDTH
_LARGEST = 2**31 - 1


def kept_counts(
    weights: Sequence[Any],
    sharing: Any,
    target: Any,
    kind: int,
    structure: Structure | None = None,
) -> Any:
    """How many weights, or groups of a structure, stay of each tensor at a target, int32 [T].

    `sharing` is a `trimgrid.allocation.sharing.Sharing`, the arrays of which may be tensors, but
    for its kind: that is `kind`, a number when the step is compiled. `target` is a scalar. Where
    sizes alone decide only the shapes of `weights` are read.

    >>> import numpy as np
    >>> from trimgrid.allocation.setting import Allocation
    >>> from trimgrid.allocation.sharing import BY_MAGNITUDE, share
    >>> weights = [np.array([[1, 5]], "float32"), np.array([[2], [3], [4]], "float32")]
    >>> sharing = share(Allocation("global_magnitude"), ["a", "b"], [(1, 2), (3, 1)],
    ...                 np.array([0.6]))
    >>> ops.convert_to_numpy(kept_counts(weights, sharing, 0.6, BY_MAGNITUDE)).tolist()
    [1, 1]
    """
    parts = [grouping(structure, tuple(map(int, each.shape))) for each in weights]
    sizes = np.array([each.number for each in parts], np.int32)
    members = np.array([each.size for each in parts], np.int32)

    def in_weights(counts: Any) -> Any:
        """Counts of groups, [T] or [T, ...], in weights; as they are where a group is one."""
        if structure is None:
            return counts
        return counts * members.reshape(-1, *[1] * (len(counts.shape) - 1))

    lowest, largest = _bounds(sizes, sharing, target)
    total = int((sizes * members).sum())
    kept = ops.clip(kept_count(total, target), _sum(in_weights(lowest)), _sum(in_weights(largest)))
    if kind == APPORTIONED:
        table = _apportioned(ops.convert_to_tensor(sharing.weights))
    else:
        table = _ranked(*_ranks(weights, sizes, kind == BY_LAMP, structure))

    def narrow(place: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        found, _, beyond = state
        shift = (_DIGITS - 1 - ops.cast(place, "int32")) * _WIDTH
        counts = table(found, shift, beyond)
        stay = ops.clip(counts, lowest[:, None], largest[:, None])
        enough = ops.greater_equal(ops.sum(in_weights(stay), axis=0)[:-1], kept)
        digit = ops.cast(ops.sum(ops.cast(enough, "int32")), "int32") - 1
        # The highest digit has a bit less. (Any will do where the bounds leave no choice.)
        digit = ops.minimum(digit, ops.right_shift(_LARGEST, shift))
        found = found + ops.left_shift(digit, shift)
        return found, ops.take(counts, digit, axis=1), ops.take(counts, digit + 1, axis=1)

    none = ops.zeros((len(weights),), dtype="int32")
    start = (ops.cast(0, "int32"), none, none)
    _, at, beyond = ops.fori_loop(0, _DIGITS, narrow, start)
    beyond = ops.clip(beyond, lowest, largest)
    ties = ops.clip(at, lowest, largest) - beyond
    tied = in_weights(ties)
    later = _suffix_sums(tied) - tied  # the tied weights in the tensors behind each
    missing = kept - _sum(in_weights(beyond))
    wanted = ops.maximum(missing - later, 0)
    if structure is not None:  # in whole groups
        wanted = ops.floor_divide(wanted + (members - 1), members)
    return beyond + ops.minimum(wanted, ties)


def _ranks(
    weights: Sequence[Any], sizes: Any, by_lamp: bool, structure: Structure | None
) -> tuple[list[TensorGroup], Any]:
    """The keys by which weights or groups are ranked, and where each tensor is among them."""
    scores = weights
    if structure is not None:
        scores = [group_scores(structure, each) for each in weights]
    groups, order = grouped(scores, sizes)
    if by_lamp:
        groups = _by_lamp(groups, squared(structure))
    safe = [protected(structure, each) for each in weights]
    if safe and safe[0] is not None:
        # What can't go ranks above all others, and is never at the threshold.
        flags, _ = grouped([ops.cast(each, "float32") for each in safe], sizes)
        groups = [
            group._replace(keys=ops.where(ops.greater(flag.keys, 0), _LARGEST, group.keys))
            for group, flag in zip(groups, flags, strict=True)
        ]
    return groups, order


def _bounds(sizes: Any, sharing: Any, target: Any) -> tuple[Any, Any]:
    """The least and the largest kept counts, as `trimgrid.allocation.bounds.bounds` has them."""
    target = ops.cast(target, "float32")
    fixed = ops.cast(sharing.fixed, "float32")
    # The choice also keeps a compiler from turning the division by a constant into a product.
    some = ops.greater(target, NO_SPARSITY)
    highest = ops.where(some, ops.cast(sharing.highest, "float32"), 1.0)
    free = ops.isnan(fixed)
    pruned = ops.round(ops.where(free, 0.0, fixed) * (target / highest))
    own = ops.maximum(sizes - ops.cast(pruned, "int32"), np.minimum(sizes, 1))
    lowest = ops.where(free, ops.cast(sharing.floors, "int32"), own)
    return lowest, ops.where(free, ops.convert_to_tensor(sizes), own)


# A function of the threshold found so far, the place of the next digit and how many weights lie
# beyond all its values. It gives for each value of the digit, and for one more, how many weights
# of each tensor score at least the threshold with it: [T, _BUCKETS + 1].
_Table = Callable[[Any, Any, Any], Any]


def _apportioned(parts: Any) -> _Table:
    """The counts where sizes alone decide: the larger the threshold, the smaller the factor."""

    def table(found: Any, shift: Any, _: Any) -> Any:
        digits = ops.arange(_BUCKETS + 1, dtype="int32")
        digits = ops.minimum(digits, ops.right_shift(_LARGEST, shift))
        bits = _LARGEST - found - ops.left_shift(digits, shift)
        factors = ops.view(ops.clip(bits, 0, LARGEST_FACTOR), "float32")
        counts = ops.minimum(ops.round(parts[:, None] * factors), float(MOST))
        return ops.cast(counts, "int32")

    return table


def _ranked(groups: Sequence[TensorGroup], order: Any) -> _Table:
    """The counts where the threshold goes through the weights' own scores."""

    def table(found: Any, shift: Any, beyond: Any) -> Any:
        known = ops.right_shift(ops.right_shift(found, shift), _WIDTH)
        counts = []
        for group in groups:
            digits = ops.right_shift(group.keys, shift)
            agrees = ops.equal(ops.right_shift(digits, _WIDTH), known)
            digits = ops.bitwise_and(digits, _BUCKETS - 1)
            counts.append(group.histogram(digits, agrees, _BUCKETS))
        sums = _suffix_sums(ops.take(ops.concatenate(counts), order, axis=0))
        return ops.pad(sums, ((0, 0), (0, 1))) + beyond[:, None]

    return table


def _by_lamp(groups: Sequence[TensorGroup], squares: bool) -> list[TensorGroup]:
    """The groups with LAMP scores for keys, as `trimgrid.allocation.lamp.lamp_scores` has them."""
    worth = lamp.CENTERS if squares else lamp.SQUARES
    offsets, bins, seen, counts = [], [], [], []
    for group in groups:
        bits = ops.minimum(group.keys, lamp.LARGEST_FINITE)
        tops = ops.segment_max(bits, group.owner, num_segments=group.tensors)
        octaves = ops.right_shift(tops, lamp.FRACTION_BITS) - (lamp.OCTAVES - 1)
        lowest = ops.take(ops.left_shift(octaves, lamp.FRACTION_BITS), group.owner)
        seen.append(ops.greater_equal(bits, ops.maximum(lowest, lamp.SMALLEST_NORMAL)))
        offsets.append(ops.where(seen[-1], bits - lowest, 0))
        bins.append(ops.right_shift(offsets[-1], lamp.FRACTION_BITS - lamp.BIN_BITS))
        counts.append(group.histogram(bins[-1], seen[-1], lamp.BINS))
    counted = ops.view(ops.cast(ops.concatenate(counts), "float32"), "int32")
    rounded = ops.view(ops.bitwise_and(counted, lamp.TWELVE_BITS), "float32")
    sums = ops.reshape(_suffix_sums(rounded * worth), (-1,))
    scored, before = [], 0
    for group, offset, each, some in zip(groups, offsets, bins, seen, strict=True):
        scaled = ops.view(offset + lamp.UNIT, "float32")
        dividend = scaled if squares else scaled * scaled
        scores = dividend / ops.take(sums, (before + group.owner) * lamp.BINS + each)
        scored.append(group._replace(keys=ops.where(some, ops.view(scores, "int32"), 0)))
        before += group.tensors
    return scored


def _suffix_sums(values: Any) -> Any:
    """At each place of the last axis the sum from there on, added up in the steps of `lamp`.

    A loop, because a compiler may work out a chain of such sums anew for every one of its readers.
    """
    length = int(values.shape[-1])
    starts = [ops.cast(0, "int32")] * (len(values.shape) - 1)

    def add(step: Any, sums: Any) -> Any:
        start = [*starts, ops.left_shift(1, ops.cast(step, "int32"))]
        longer = ops.concatenate([sums, ops.zeros_like(sums)], axis=-1)
        return sums + ops.slice(longer, start, sums.shape)

    return ops.fori_loop(0, (length - 1).bit_length(), add, values)


def _sum(values: Any) -> Any:
    # Sums are int64 where a backend has 64 bits.
    return ops.cast(ops.sum(values), "int32")
