"""LAMP: what a weight's square is worth beside those of its tensor that are as large or larger.

The score of a weight w is w**2 over the sum of squares of all weights of its tensor of at least its
magnitude (Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning"). In place of
a sort the sums come from a histogram: 64 bins an octave over the 16 octaves that end with the
largest weight's. A weight below them is 2**15 times smaller than the largest and scores 0.
Where what is ranked are squares already (the mean squares of units) they are not squared again.

`trimgrid.shared_selection` computes the same scores in a compiled step, to the bit. So no result
may depend on the order of additions or on whether a machine fuses a product with a sum: the sums
are made in fixed steps, and both factors of a product have 12 bits, so that it is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid import masks

OCTAVES = 16
BIN_BITS = 6
"""The leading bits of a float32's fraction that tell the bins of an octave apart."""
BINS = OCTAVES << BIN_BITS
FRACTION_BITS = 23
TWELVE_BITS = ~0xFFF
"""A mask on the bits of a float32 that leaves 12 significant bits of it."""
LARGEST_FINITE = 0x7F7F_FFFF
SMALLEST_NORMAL = 1 << FRACTION_BITS
UNIT = (127 - OCTAVES + 1) << FRACTION_BITS
"""The bits of the float32 at which the octaves begin once a tensor is scaled: 2**-15."""


def _centers() -> NDArray[np.float32]:
    """Each bin's centre."""
    first = UNIT + (np.arange(BINS) << (FRACTION_BITS - BIN_BITS))
    return (first + (1 << (FRACTION_BITS - BIN_BITS - 1))).astype(np.int32).view(np.float32)


def twelve_bits(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 numbers with all but their 12 leading bits cut off.

    >>> twelve_bits(np.array([4095, 4097], np.float32)).tolist()
    [4095.0, 4096.0]
    """
    return (values.view(np.int32) & np.int32(TWELVE_BITS)).view(np.float32)


CENTERS = twelve_bits(_centers())
"""Each bin's centre in a scaled tensor, float32 with 12 significant bits, [BINS]."""
SQUARES = twelve_bits(_centers() * _centers())
"""The square of each bin's centre, likewise."""


def suffix_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return at each place the sum of a vector from there to its end, added up in fixed steps.

    >>> suffix_sums(np.array([1, 2, 3, 4], np.float32)).tolist()
    [10.0, 9.0, 7.0, 4.0]
    """
    step = 1
    while step < values.size:
        values = values + np.append(values[step:], np.zeros(step, np.float32))
        step *= 2
    return values


def lamp_scores(weights: ArrayLike, squared: bool = False) -> NDArray[np.float32]:
    """Return the LAMP score of each weight of a tensor, in [0, 1.1), in its shape.

    `squared`: whether `weights` are squares already. Infinities and NaN count as the largest finite
    number, denormal numbers as 0.

    >>> lamp_scores([3, -4, 0]).round(2)
    array([0.36, 0.98, 0.  ], dtype=float32)
    """
    bits = np.minimum(masks.magnitude_keys(weights), LARGEST_FINITE)
    top = bits.max(initial=0) >> FRACTION_BITS
    lowest = (top - (OCTAVES - 1)) << FRACTION_BITS  # below 0 where all weights are tiny
    seen = bits >= max(lowest, SMALLEST_NORMAL)
    offsets = bits[seen] - lowest
    bins = offsets >> (FRACTION_BITS - BIN_BITS)
    counts = np.bincount(bins, minlength=BINS).astype(np.float32)
    sums = suffix_sums(twelve_bits(counts) * (CENTERS if squared else SQUARES))
    scaled = (offsets + UNIT).astype(np.int32).view(np.float32)
    scores = np.zeros(bits.size, np.float32)
    scores[seen] = (scaled if squared else scaled * scaled) / sums[bins]
    return scores.reshape(np.shape(weights))
