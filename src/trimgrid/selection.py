"""Which weights stay, computed inside a compiled training step.

The same answer as `trimgrid.masks.magnitude_mask`, in `keras.ops`, so that it runs in the
step of any Keras backend. Nothing is sorted: the threshold is found digit by digit from
histograms of the bits of the magnitudes, three passes over the tensor whatever its size.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# The 31 bits of a non-negative int32 as three digits.
_DIGITS, _WIDTH = 3, 11
_BUCKETS = 1 << _WIDTH
_LARGEST = 2**31 - 1
# Up to this size compiling the search takes longer than all searches of a training.
_BISECTED_UP_TO = 2**16


def kept_count(size: Any, sparsity: Any) -> Any:
    """How many of `size` weights stay at `sparsity`, as an int32 scalar tensor.

    The float32 arithmetic of `trimgrid.masks.kept_count`, operation by operation, so that
    both give the same count for every input.

    >>> int(kept_count(5, 0.5)), int(kept_count(100, 0.9999))
    (2, 1)
    """
    kept = ops.round(ops.cast(size, "float32") * (1.0 - ops.cast(sparsity, "float32")))
    # float32 can't hold every int32: stay inside [1, size] in integers.
    return ops.clip(ops.cast(kept, "int32"), ops.minimum(1, size), size)


def kth_smallest(keys: Any, rank: Any) -> Any:
    """The `rank`-th smallest (1 is the smallest) of non-negative int32 `keys`, shape [n].

    A radix select: for each digit of 11 bits, from the most significant, a histogram of the keys
    that agree with the digits found so far tells in which bucket the searched key lies.

    >>> import numpy as np
    >>> int(kth_smallest(ops.convert_to_tensor(np.array([40, 10, 30, 20], "int32")), 2))
    20
    """

    if int(keys.shape[0]) <= _BISECTED_UP_TO:
        return _bisect(keys, rank)

    def narrow(place: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        found, rank = state
        shift = (_DIGITS - 1 - ops.cast(place, "int32")) * _WIDTH
        digit, known = ops.right_shift(keys, shift), ops.right_shift(found, shift)
        agrees = ops.equal(ops.right_shift(digit, _WIDTH), ops.right_shift(known, _WIDTH))
        # Keys that do not agree are counted in one bucket more, which is then dropped.
        bucket = ops.where(agrees, ops.bitwise_and(digit, _BUCKETS - 1), _BUCKETS)
        counts = ops.segment_sum(ops.ones_like(keys), bucket, num_segments=_BUCKETS + 1)[:-1]
        lower = ops.cast(ops.less(ops.cumsum(counts), rank), "int32")
        # Sums are int64 where a backend has 64 bits; the loop's state must keep its type.
        found = found + ops.left_shift(ops.cast(ops.sum(lower), "int32"), shift)
        return found, rank - ops.cast(ops.sum(counts * lower), "int32")

    # A loop, not three copies: what is compiled for each pruned tensor stays small.
    start = (ops.cast(0, "int32"), ops.cast(rank, "int32"))
    return ops.fori_loop(0, _DIGITS, narrow, start)[0]


def _bisect(keys: Any, rank: Any) -> Any:
    """The same, bit by bit: 31 passes over the keys, but a tenth of the code to compile."""

    def narrow(place: Any, found: Any) -> Any:
        candidate = found + ops.left_shift(1, 30 - ops.cast(place, "int32"))
        below = ops.sum(ops.cast(ops.less(keys, candidate), "int32"))
        return ops.where(ops.less(ops.cast(below, "int32"), rank), candidate, found)

    return ops.fori_loop(0, 31, narrow, ops.cast(0, "int32"))


def magnitude_keys(weights: Any) -> Any:
    """The bits of the weights' magnitudes as float32, int32 [size]: they order as those do.

    Every NaN has the same key, above that of infinity.

    >>> import numpy as np
    >>> keys = magnitude_keys(np.array([[-2.0, 1.0]], "float32"))
    >>> bool(keys[0] > keys[1])
    True
    """
    flat = ops.reshape(ops.cast(weights, "float32"), (-1,))
    # Without their sign bit the bits of floats, read as integers, are ordered as magnitudes are;
    # every NaN becomes the first one above infinity.
    return ops.minimum(ops.bitwise_and(ops.view(flat, "int32"), _LARGEST), 0x7F80_0001)


def magnitude_mask(
    weights: Any, sparsity: Any = None, size: Any = None, *, kept: Any = None
) -> Any:
    """Boolean mask of the weights that stay, of the shape of `weights`.

    Exactly `kept_count(n, sparsity)` weights stay, or `kept` where that is given in place of a
    sparsity: those of largest magnitude, as float32; of equal magnitudes the ones with the lower
    flat index go first. `sparsity` and `kept`, from 0 to the size, are scalars, Python numbers or
    tensors. Where `size`, an int32 scalar of at least 1, is given, only so many weights count, and
    behind them the tensor must be filled up with NaN; there the mask says nothing.

    >>> import numpy as np
    >>> mask = magnitude_mask(np.array([[0.1, -3.0], [2.0, -0.2]], "float32"), 0.5)
    >>> ops.convert_to_numpy(mask)
    array([[False,  True],
           [ True, False]])
    """
    shape = weights.shape
    keys = magnitude_keys(weights)
    length = int(keys.shape[0])
    size = length if size is None else size
    pruned = size - (kept_count(size, sparsity) if kept is None else ops.cast(kept, "int32"))
    threshold = kth_smallest(keys, ops.maximum(pruned, 1))
    below = ops.less(keys, threshold)
    ties = ops.equal(keys, threshold)
    wanted = pruned - ops.cast(ops.sum(ops.cast(below, "int32")), "int32")  # so many ties go

    def first_ties() -> Any:
        places = ops.where(ties, ops.arange(length, dtype="int32"), _LARGEST)
        return ops.less_equal(places, kth_smallest(places, wanted))

    # Most often the threshold is one single weight, and then there is no tie to break.
    unbroken = ops.equal(wanted, ops.sum(ops.cast(ties, "int32")))
    goes = ops.logical_or(below, ops.cond(unbroken, lambda: ties, first_ties))
    goes = ops.logical_and(goes, ops.greater(pruned, 0))
    return ops.reshape(ops.logical_not(goes), shape)
