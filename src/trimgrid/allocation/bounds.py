"""How few and how many groups each tensor may keep at a target, and how many weights the model.

A group is one weight, or what a structure of `trimgrid.structures` keeps or drops as one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid import masks

Counts = NDArray[np.int64]
NO_SPARSITY = np.float32(1e-30)
"""A target up to this is 0: machines that have no denormal numbers must agree on it."""


class Bounds(NamedTuple):
    """The least and the largest kept count of each tensor, shape [T], and the weights to reach."""

    lowest: Counts
    largest: Counts
    kept: int


def bounds(
    sizes: Counts,
    floors: ArrayLike,
    fixed: ArrayLike,
    highest: float,
    target: float,
    weights: ArrayLike = 1,
) -> Bounds:
    """Return what a target leaves each tensor of `sizes`, in groups of so many `weights` each.

    `floors`, `fixed` and `highest` are those of `trimgrid.allocation.sharing.Sharing`. A tensor
    with an override keeps `size - round(fixed * target / highest)` groups, but at least one,
    neither fewer nor more; the others between their floor and all. The model keeps
    `masks.kept_count` of all weights, or as near to it as these bounds allow.

    >>> bounds(np.array([10, 30]), [1, 1], [5.0, np.nan], 0.5, 0.25)
    Bounds(lowest=array([8, 1]), largest=array([ 8, 30]), kept=30)
    """
    aim = np.float32(target)
    # At a target of 0 nothing is pruned, whatever the highest is.
    share = aim / (np.float32(highest) if aim > NO_SPARSITY else np.float32(1))
    pruned = np.rint(np.nan_to_num(np.asarray(fixed, np.float32)) * share).astype(np.int64)
    own = np.maximum(sizes - pruned, np.minimum(sizes, 1))
    free = np.isnan(np.asarray(fixed, np.float32))
    lowest = np.where(free, floors, own).astype(np.int64)
    largest = np.where(free, sizes, own)
    each = np.asarray(weights, np.int64)
    wanted = masks.kept_count(int((sizes * each).sum()), float(target))
    least, most = int((lowest * each).sum()), int((largest * each).sum())
    return Bounds(lowest, largest, min(max(wanted, least), most))
