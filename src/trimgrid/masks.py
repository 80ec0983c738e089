"""Which weights stay: the masks as NumPy computes them, the oracle for every backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.arguments import check_integer, check_sparsity
from trimgrid.errors import InputError


def kept_count(size: int, sparsity: float) -> int:
    """Return how many of ``size`` weights stay at ``sparsity``, a fraction in [0, 1).

    ``max(round(size * (1 - sparsity)), 1)`` in float32, half to even, and never above ``size``:
    the count of the TensorFlow Model Optimization toolkit, so the same models come out. float32
    holds whole numbers exactly up to 2**24; above that the count is exact to one part in 2**24.

    Raises `InputError` for a negative or fractional size and a sparsity outside [0, 1).

    >>> kept_count(5, 0.5), kept_count(100, 0.9999), kept_count(2048, 0.9)
    (2, 1, 205)
    """
    size = check_integer("size", size, minimum=0)
    share = np.float32(1) - np.float32(check_sparsity("sparsity", sparsity))
    return min(max(int(np.rint(np.float32(size) * share)), 1), size)


def magnitude_keys(weights: ArrayLike) -> NDArray[np.int32]:
    """Return the bits of the weights' magnitudes as float32, shape [size]: they order as those do.

    Every NaN has the same key, above that of infinity.

    >>> np.argsort(magnitude_keys([[np.nan, 1.0], [-2.0, 0.0]])).tolist()
    [3, 1, 2, 0]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32's range is infinite
        values = np.asarray(weights).astype(np.float32)
    # Without their sign bit floats order as their bits do. Every NaN lies above infinity and is
    # brought down to the first of them, or the NaNs would rank by their payload.
    keys: NDArray[np.int32] = values.ravel().view(np.int32) & 0x7FFF_FFFF
    return np.minimum(keys, np.int32(0x7F80_0001))


def magnitude_mask(
    weights: ArrayLike, sparsity: float | None = None, *, kept: int | None = None
) -> NDArray[np.bool_]:
    """Return the mask that keeps the largest weights: True where a weight stays.

    The mask has the shape of ``weights`` and exactly ``kept_count(size, sparsity)`` True entries,
    or ``kept`` where that is given in place of a sparsity. Weights rank by their magnitude as
    float32, NaN as the largest. Of equal magnitudes those that come first in C order are pruned
    first, so an all-equal tensor gets its sparsity too. The cost is that of `numpy.partition`,
    linear in the size.

    Raises `InputError` for a sparsity outside [0, 1), a ``kept`` outside 0..size, and if not
    exactly one of them is given.

    >>> magnitude_mask(np.array([[0.1, -3.0], [2.0, -0.2]]), 0.5).tolist()
    [[False, True], [True, False]]
    >>> magnitude_mask(np.ones(4), 0.5).tolist()
    [False, False, True, True]
    >>> magnitude_mask(np.ones(4), kept=1).tolist()
    [False, False, False, True]
    """
    shape = np.shape(weights)
    magnitudes = magnitude_keys(weights)
    kept = _kept(magnitudes.size, sparsity, kept)
    pruned = magnitudes.size - kept
    if pruned == 0:
        return np.ones(shape, dtype=np.bool_)
    threshold = np.partition(magnitudes, pruned - 1)[pruned - 1]
    mask: NDArray[np.bool_] = magnitudes > threshold
    tied = np.flatnonzero(magnitudes == threshold)
    missing = kept - np.count_nonzero(mask)
    mask[tied[tied.size - missing :]] = True
    return mask.reshape(shape)


def _kept(size: int, sparsity: float | None, kept: int | None) -> int:
    if sparsity is not None and kept is None:
        return kept_count(size, sparsity)
    if sparsity is not None or kept is None:
        raise InputError(
            "A mask must have either a sparsity or a number of weights to keep. "
            f"Received: sparsity={sparsity!r}, kept={kept!r}. Give one of them."
        )
    if check_integer("kept", kept, minimum=0) > size:
        raise InputError(
            "A mask can't keep more weights than there are. "
            f"Received: kept={kept}, size={size}. Give a number from 0 to {size}."
        )
    return int(kept)
