"""Channels that are tied to each other, directly or through others, as groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimgrid.shrinking.behaviors import Places


def tied_groups(size: int, pairs: Sequence[tuple[Places, Places]]) -> Places:
    """Return for each of `size` channels the lowest one of its group, int [size].

    Each pair of arrays ties the channels of the one to those of the other, element by element.

    >>> tied_groups(5, [(np.array([0, 3]), np.array([3, 4]))]).tolist()
    [0, 1, 2, 0, 0]
    """
    lowest = np.arange(size)
    if not pairs:
        return lowest
    one = np.concatenate([each[0] for each in pairs])
    other = np.concatenate([each[1] for each in pairs])
    while True:
        before = lowest.copy()
        least = np.minimum(lowest[one], lowest[other])
        np.minimum.at(lowest, one, least)
        np.minimum.at(lowest, other, least)
        lowest = lowest[lowest]  # every channel of a chain knows its end in a few rounds
        if (lowest == before).all():
            return lowest
