"""An allocation for the tensors of one model and one plan: all that its rule needs, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimgrid.allocation.bounds import Counts, bounds
from trimgrid.allocation.overrides import overridden
from trimgrid.allocation.setting import Allocation
from trimgrid.errors import InputError
from trimgrid.masks import kept_count

EACH, APPORTIONED, BY_MAGNITUDE, BY_LAMP = -1, 0, 1, 2
"""The values of `Sharing.kind`: by sizes alone, by the weights' magnitudes, by LAMP scores.

`EACH` stands for no allocation: every tensor has the target for itself.
"""
_KINDS = {
    "uniform": APPORTIONED,
    "erdos_renyi": APPORTIONED,
    "global_magnitude": BY_MAGNITUDE,
    "lamp": BY_LAMP,
}
_MOST_WEIGHTS = 2**31 - 1


def rule_of(allocation: Allocation | None) -> int:
    """Return the rule of an allocation: a value of `Sharing.kind`, or `EACH` where there is none.

    >>> rule_of(None), rule_of(Allocation("lamp"))
    (-1, 2)
    """
    return EACH if allocation is None else _KINDS[allocation.kind]


class Sharing(NamedTuple):
    """An `Allocation` for T tensors as data, which can be stacked and given to a compiled program.

    `kind`: which rule, int32. `weights`: to what the kept counts are in proportion where sizes
    alone decide, float32 [T]. `floors`: the least kept counts, int32 [T]. `fixed`: how many weights
    a tensor with an override loses at the highest target, float32 [T], NaN for the others.
    `highest`: the plan's highest target, float32.
    """

    kind: Any
    weights: Any
    floors: Any
    fixed: Any
    highest: Any


def share(
    allocation: Allocation,
    paths: Sequence[str],
    shapes: Sequence[Sequence[int]],
    plan: NDArray[np.floating[Any]],
) -> Sharing:
    """Return an allocation for the prunable tensors of a model.

    `paths` and `shapes` are those of the prunable variables, in their order; `plan` holds a
    schedule's targets, NaN where none is.

    Raises `InputError` for overrides that match none of the paths or contradict each other, for a
    highest target that can't be reached with the least counts and overrides, naming those that
    can, and for 2**31 weights or more.

    >>> found = share(Allocation("lamp"), ["in/kernel", "out/kernel"], [(4, 8), (8, 2)],
    ...               np.array([np.nan, 0.5]))
    >>> int(found.kind), found.floors.tolist(), float(found.highest)
    (2, [8, 2], 0.5)
    """
    sizes = np.array([math.prod(shape) for shape in shapes], np.int64)
    if sizes.sum() > _MOST_WEIGHTS:
        raise InputError(
            "An allocation can share out at most 2**31 - 1 weights. "
            f"Received: {sizes.sum()} weights. Prune each tensor by itself, or exclude some."
        )
    given = overridden(allocation.overrides, paths)
    fixed = np.array([math.nan if each is None else each for each in given]) * sizes
    highest = float(np.nanmax(plan)) if not np.isnan(plan).all() else 0.0
    free = np.isnan(fixed)
    if allocation.min_kept is not None:
        floors = np.minimum(sizes, allocation.min_kept)
    elif allocation.kind == "uniform":
        floors = np.minimum(sizes, 1)
    else:
        units = np.array([shape[-1] for shape in shapes], np.int64)
        alone = bounds(sizes, np.minimum(sizes, 1), fixed, highest, highest)
        # What is left for the tensors without overrides, beyond one weight in each.
        spare = max(alone.kept - int(alone.lowest.sum()), 0)
        floors = _scaled_down(np.minimum(sizes, units), free, spare)
    _check_reachable(allocation, sizes, floors, fixed, highest)
    weights = [sum(shape) for shape in shapes] if allocation.kind == "erdos_renyi" else sizes
    return Sharing(
        kind=np.int32(rule_of(allocation)),
        weights=np.asarray(weights, np.float32),
        floors=floors.astype(np.int32),
        fixed=fixed.astype(np.float32),
        highest=np.float32(highest),
    )


def no_sharing(tensors: int) -> Sharing:
    """Return what stands for no allocation among those of other attempts.

    >>> int(no_sharing(2).kind)
    -1
    """
    nothing = np.zeros(tensors, np.float32)
    return Sharing(np.int32(EACH), nothing, nothing.astype(np.int32), nothing, np.float32(0))


def _scaled_down(floors: Counts, free: NDArray[np.bool_], spare: int) -> Counts:
    """The floors in the same proportion, so that what is above one weight each fits in `spare`."""
    above = np.where(free, np.maximum(floors - 1, 0), 0)
    if above.sum() <= spare:
        return floors
    return np.where(free, np.minimum(floors, 1) + above * spare // above.sum(), floors)


def _check_reachable(
    allocation: Allocation, sizes: Counts, floors: Counts, fixed: NDArray[Any], highest: float
) -> None:
    """Check that the highest target can be kept to.

    The lower ones can then be kept to as well: both bounds go in a straight line from all weights
    at a target of 0.
    """
    if allocation.min_kept is None and not allocation.overrides:
        return  # one weight in each tensor, which no sparsity takes
    if allocation.min_kept is None:
        floors = np.minimum(sizes, 1)  # further down the default ones do not go
    total = int(sizes.sum())
    lowest, largest, kept = bounds(sizes, floors, fixed, highest, highest)
    if kept == kept_count(total, highest):
        return
    least, most = 1 - int(largest.sum()) / total, 1 - int(lowest.sum()) / total
    # Rounded inwards, so that both ends of what is named can be reached.
    low, high = math.ceil(least * 1e4) / 1e4, math.floor(most * 1e4) / 1e4
    if low > high:
        low, high = least, most
    possible = f"Possible are sparsities from {low} to {high}"
    raise InputError(
        "min_kept and overrides must leave a schedule's highest sparsity possible. "
        f"Received: highest target={np.float32(highest)}, min_kept={allocation.min_kept}, "
        f"overrides={allocation.overrides}. {possible}: "
        "give such a target, or loosen min_kept or overrides."
    )
