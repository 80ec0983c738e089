"""The grid that an expert would run today, laid out from the shapes of what is pruned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimgrid.arguments import check_integer
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.learning_rates import Cosine
from trimgrid.masks import kept_count
from trimgrid.schedules import PolynomialDecay
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Structure

# Why these numbers, and what was measured with them: docs/methods.md.
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
PEAKS = (1, 5)
"""What the highest learning rate is multiplied with, in turn."""
WARMUP = 0.1
RAMP_SHARE = 0.5
UPDATES = 50


def recommended_attempts(
    shapes: Sequence[Sequence[int]],
    steps: int,
    learning_rate: float,
    allocation: str = "lamp",
    structure: Structure | None = None,
) -> list[AttemptConfig]:
    """Return the recommended attempts for a model whose pruned tensors have these shapes.

    Each sparsity of `SPARSITIES` with each multiple in `PEAKS` of `learning_rate`, the highest one
    with which the original was trained. Sparsities that leave less than a weight for each output
    unit of each tensor (the last number of its shape) are left out, but never the lowest one.

    `steps`: the batches on which each attempt trains, 1 or more. `structure`: that of the masks,
    which fits all shapes; sparsities that it does not reach are left out, and where it reaches none
    the highest that it does takes their place.

    Raises `InputError` for no shapes, steps below 1 and a learning rate that is not above 0.

    >>> for attempt in recommended_attempts([(100, 10)], steps=1000, learning_rate=0.001)[-2:]:
    ...     print(attempt.name)
    lamp 99 %, peak 0.001
    lamp 99 %, peak 0.005
    """
    if not shapes:
        raise InputError(
            "A grid is laid out for tensors that are pruned. Received: shapes=[]. "
            "Give the shape of each of them."
        )
    steps = check_integer("steps", steps, minimum=1)
    named = "" if structure is None else f" {structure}"
    return [
        AttemptConfig(
            f"{allocation}{named} {100 * sparsity:g} %, peak {peak:g}",
            recommended_schedule(sparsity, steps),
            allocation=allocation,
            learning_rate=Cosine(peak, warmup=WARMUP),
            structure=structure,
        )
        for sparsity in _reachable(shapes, structure)
        for peak in (factor * learning_rate for factor in PEAKS)
    ]


def recommended_schedule(sparsity: float, steps: int) -> PolynomialDecay:
    """Return a cubic ramp from no zeros to the sparsity, over the first half of a training.

    The masks are chosen anew about `UPDATES` times, however long the training is; in its second
    half they stay, while the learning rate comes down.

    >>> recommended_schedule(0.9, steps=1000).get_config()["end_step"]
    500
    """
    end = int(RAMP_SHARE * steps)
    return PolynomialDecay(0.0, sparsity, end_step=end, frequency=max(1, end // UPDATES))


def _reachable(shapes: Sequence[Sequence[int]], structure: Structure | None) -> list[float]:
    parts = [grouping(structure, shape) for shape in shapes]
    total = sum(each.number * each.size for each in parts)
    units = sum(each.floor * each.size for each in parts)
    # Of those that leave as many, in a tiny model, the lowest.
    by_count = {kept_count(total, each): each for each in reversed(SPARSITIES)}
    lowest, *others = sorted(by_count.values())
    least = sum(each.least * each.size for each in parts)
    if structure is not None and kept_count(total, lowest) < least:
        return [math.floor((1 - least / total) * 1e4) / 1e4]
    return [lowest, *(each for each in others if kept_count(total, each) >= units)]
