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
from trimgrid.structures.grouping import Grouping, check_reach, grouping
from trimgrid.structures.kinds import NofM, Structure

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
    `highest`: the plan's highest target, float32. With a structure counts are those of its groups.
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
    structure: Structure | None = None,
) -> Sharing:
    """Return an allocation for the prunable tensors of a model.

    `paths` and `shapes` are those of the prunable variables, in their order; `plan` holds a
    schedule's targets, NaN where none is. `structure`: that of the masks, which fits all shapes.

    Raises `InputError` for overrides that match none of the paths or contradict each other, for a
    highest target that can't be reached with the least counts and overrides, naming those that
    can, for an override that the structure does not reach, and for 2**31 weights or more.

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
    for each in given:
        check_reach(structure, 0.0 if each is None else each)
    parts = [grouping(structure, shape) for shape in shapes]
    sizes, members, least, units = (np.array(each, np.int64) for each in zip(*parts, strict=True))
    fixed = np.array([math.nan if each is None else each for each in given]) * sizes
    highest = float(np.nanmax(plan)) if not np.isnan(plan).all() else 0.0
    free = np.isnan(fixed)
    if allocation.min_kept is not None:
        floors = np.maximum(least, np.minimum(sizes, -(-allocation.min_kept // members)))
    elif allocation.kind == "uniform":
        floors = least
    else:
        alone = bounds(sizes, least, fixed, highest, highest, members)
        # What is left for the tensors without overrides, beyond the least in each.
        spare = max(alone.kept - int((alone.lowest * members).sum()), 0)
        floors = _scaled_down(units, least, members, free, spare)
    _check_reachable(allocation, structure, parts, floors, fixed, highest)
    weights: Any = sizes
    if allocation.kind == "erdos_renyi":
        weights = np.array([sum(shape) for shape in shapes]) / members
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


def _scaled_down(
    floors: Counts, least: Counts, members: Counts, free: NDArray[np.bool_], spare: int
) -> Counts:
    """The floors in proportion, so that what is above the least fits in `spare` weights."""
    above = np.where(free, np.maximum(floors - least, 0), 0)
    total = int((above * members).sum())
    if total <= spare:
        return floors
    return np.where(free, least + above * spare // total, floors)


def _check_reachable(
    allocation: Allocation,
    structure: Structure | None,
    parts: Sequence[Grouping],
    floors: Counts,
    fixed: NDArray[Any],
    highest: float,
) -> None:
    """Check that the highest target can be kept to.

    The lower ones can then be kept to as well: both bounds go in a straight line from all weights
    at a target of 0.
    """
    if structure is None and allocation.min_kept is None and not allocation.overrides:
        return  # one weight in each tensor, which no sparsity takes
    if isinstance(structure, NofM) and allocation.min_kept is None and not allocation.overrides:
        return  # what its own highest sparsity leaves
    sizes, members, lowest_floors, _ = (
        np.array(each, np.int64) for each in zip(*parts, strict=True)
    )
    if allocation.min_kept is None:
        floors = lowest_floors  # further down the default ones do not go
    total = int((sizes * members).sum())
    lowest, largest, kept = bounds(sizes, floors, fixed, highest, highest, members)
    if kept == kept_count(total, highest):
        return
    least = 1 - int((largest * members).sum()) / total
    most = 1 - int((lowest * members).sum()) / total
    # Rounded inwards, so that both ends of what is named can be reached.
    low, high = math.ceil(least * 1e4) / 1e4, math.floor(most * 1e4) / 1e4
    if low > high:
        low, high = least, most
    possible = f"Possible are sparsities from {low} to {high}"
    if structure is not None and allocation.min_kept is None and not allocation.overrides:
        raise InputError(
            "At least one of a structure's groups stays in each tensor. Received: highest "
            f"target={np.float32(highest)}, structure={str(structure)!r}. {possible}: give such a "
            "target, or a structure of smaller groups."
        )
    raise InputError(
        "min_kept and overrides must leave a schedule's highest sparsity possible. "
        f"Received: highest target={np.float32(highest)}, min_kept={allocation.min_kept}, "
        f"overrides={allocation.overrides}. {possible}: "
        "give such a target, or loosen min_kept or overrides."
    )
