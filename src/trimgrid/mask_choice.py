"""How masks are chosen at an update: for each tensor by itself, or as an allocation shares out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid import masks, selection
from trimgrid.allocation.counts import shared_masks
from trimgrid.allocation.setting import Allocation
from trimgrid.allocation.sharing import share
from trimgrid.shared_selection import kept_counts
from trimgrid.structured_selection import group_counts
from trimgrid.structured_selection import group_mask as group_mask_in_step
from trimgrid.structures.grouping import check_reach
from trimgrid.structures.kinds import Structure
from trimgrid.structures.scores import group_mask


class MaskChoice:
    """The rule by which the masks of one model are chosen, outside and inside a compiled step.

    `paths` and `shapes`: those of the pruned variables. `targets`: all sparsities of the schedule.
    Without an allocation every tensor has the target for itself, see `masks.kept_count`. With a
    structure, which must fit all shapes, groups of weights stay or go as one.

    Raises `InputError` as `share` does, and for targets that the structure does not reach.

    >>> choice = MaskChoice(None, ["dense/kernel"], [(4,)], np.array([0.5]))
    >>> choice.masks([np.array([3.0, 1.0, 2.0, 4.0])], 0.5)[0].tolist()
    [True, False, False, True]
    """

    def __init__(
        self,
        allocation: Allocation | None,
        paths: Sequence[str],
        shapes: Sequence[Sequence[int]],
        targets: NDArray[np.floating[Any]],
        structure: Structure | None = None,
    ) -> None:
        check_reach(structure, targets)
        self.structure = structure
        self.sharing = (
            None if allocation is None else share(allocation, paths, shapes, targets, structure)
        )

    def masks(self, weights: Sequence[NDArray[Any]], target: float) -> list[NDArray[np.bool_]]:
        """Return the masks at a target, by the NumPy oracle."""
        if self.sharing is not None:
            return shared_masks(weights, self.sharing, target, self.structure)
        if self.structure is not None:
            return [group_mask(self.structure, each, target) for each in weights]
        return [masks.magnitude_mask(each, target) for each in weights]

    def masks_in_step(self, weights: Sequence[Any], target: Any) -> list[Any]:
        """Return the same masks as tensors, for a target that is known only in the step."""
        if self.structure is not None:
            return self._structured(self.structure, weights, target)
        if self.sharing is None:
            return [selection.magnitude_mask(each, target) for each in weights]
        kind = int(self.sharing.kind)
        counts = kept_counts(weights, self.sharing, target, kind)
        return [
            selection.magnitude_mask(each, kept=counts[place]) for place, each in enumerate(weights)
        ]

    def _structured(self, structure: Structure, weights: Sequence[Any], target: Any) -> list[Any]:
        if self.sharing is None:
            counts = group_counts(structure, [each.shape for each in weights], target)
        else:
            kind = int(self.sharing.kind)
            counts = kept_counts(weights, self.sharing, target, kind, structure)
        return [
            group_mask_in_step(structure, each, counts[place]) for place, each in enumerate(weights)
        ]
