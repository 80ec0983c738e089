"""The attempts of a run as the run directory knows them: by ids of all that determines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trimgrid.digests import digest
from trimgrid.grids.grid import AttemptConfig
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.names import has_automatic_name
from trimgrid.run_directory.store import Planned
from trimgrid.runs.checking import ORIGINAL, Lengths, attempt_seeds
from trimgrid.training import Training


def plan_attempts(
    grid: Sequence[AttemptConfig], lengths: Lengths, settings: Mapping[str, Any]
) -> dict[str, Planned]:
    """Return the original and the attempts by their names, in their order.

    `settings`: what all attempts share.

    >>> from trimgrid.grids.grid import article_grid
    >>> planned = plan_attempts(article_grid()[:2], Lengths(100, 100), {"epochs": 3})
    >>> list(planned), len({each.id for each in planned.values()})
    (['original (unpruned)', 'poly decay 10/50', 'poly decay 20/50'], 3)
    """
    configs: dict[str, dict[str, Any]] = {ORIGINAL: {"original": True}}
    steps, original = lengths.steps, lengths.original
    configs |= {attempt.name: attempt_config(attempt, steps, original) for attempt in grid}
    return {
        name: Planned(digest([settings, config]), name, config) for name, config in configs.items()
    }


def with_known_names(
    grid: Sequence[AttemptConfig],
    planned: Mapping[str, Planned],
    known: Sequence[Planned],
    *,
    automatic: Callable[[AttemptConfig], bool] = has_automatic_name,
) -> tuple[list[AttemptConfig], dict[str, Planned]]:
    """Return grid and plan with the names that a run directory has for attempts it knows already.

    Automatic names tell what differs in a grid, so that those of the same attempts change when the
    grid grows. Names of the user's own stay, and so do those that would stand twice in the grid.
    `automatic` tells which names are automatic.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> grid = [AttemptConfig("const sparsity 0.5, frequency 100", ConstantSparsity(0.5))]
    >>> planned = plan_attempts(grid, Lengths(100, 100), {})
    >>> known = [Planned(planned[grid[0].name].id, "const sparsity 0.5", {})]
    >>> list(with_known_names(grid, planned, known)[1])
    ['original (unpruned)', 'const sparsity 0.5']
    """
    names = {each.id: each.name for each in known}
    taken = Counter(planned[attempt.name].id for attempt in grid)

    def known_name(attempt: AttemptConfig) -> str:
        name = names.get(planned[attempt.name].id, attempt.name)
        alone = taken[planned[attempt.name].id] == 1 and name not in planned
        return name if alone and automatic(attempt) else attempt.name

    renamed = {ORIGINAL: planned[ORIGINAL]}
    for attempt in grid:
        name = known_name(attempt)
        renamed[name] = replace(planned[attempt.name], name=name)
    return [replace(attempt, name=known_name(attempt)) for attempt in grid], renamed


def seeds_of(
    grid: Sequence[AttemptConfig], training: Training, repeats: int
) -> dict[str, list[int]]:
    """Return the seeds of the trainings of the original and of each attempt, by their names.

    >>> from trimgrid.grids.grid import article_grid
    >>> seeds_of(article_grid()[:1], Training("mse", seed=3), repeats=2)
    {'original (unpruned)': [3], 'poly decay 10/50': [3, 4]}
    """
    seeds = {ORIGINAL: [training.seed]}
    for attempt in grid:
        seeds[attempt.name] = attempt_seeds(attempt, training, repeats)
    return seeds
