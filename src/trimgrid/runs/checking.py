"""What of a run is checked before anything is trained, and the trainings it comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from trimgrid.arguments import check_integer
from trimgrid.data.checks import check_data
from trimgrid.data.sources import ArrayData, Data, StreamData, open_data
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig, check_grid
from trimgrid.training import Task, Training

ORIGINAL = "original (unpruned)"
Opened: TypeAlias = ArrayData | StreamData
"""Data as the engines read it."""
Say: TypeAlias = Callable[[str], None]
"""Called with a line on what a run chose and why."""


def open_checked(
    model: Any,
    data: Data,
    training: Training,
    name: str,
    *,
    weighted: bool = False,
    checked: bool = True,
) -> Opened:
    """Open data and check it: arrays as a whole, of a stream the first batch.

    `weighted`: whether the training's class weights count. Raises `InputError` with the `name`.
    """
    if checked and isinstance(data, tuple):
        check_data(model, data, training.loss, name)
    opened = open_data(data, training, name, class_weight=weighted)
    if checked and isinstance(opened, StreamData):
        check_data(model, next(opened.epoch(None, 0)), training.loss, name)
    return opened


def check_attempts(grid: Sequence[AttemptConfig], training: Training, steps: int) -> None:
    """Check that every attempt can be trained for so many steps, with settings of its own.

    Raises `InputError` with the attempt's name, and for a shared training with a distillation.
    """
    check_grid(grid, steps)
    if training.distillation is not None:
        raise InputError(
            "The original has no teacher, so that distillation is the attempts' own setting. "
            f"Received: distillation={training.distillation!r} for all. Give it to the attempts."
        )
    if any(attempt.name == ORIGINAL for attempt in grid):
        raise InputError(
            "Names in a grid must differ from the original's. "
            f"Received: name={ORIGINAL!r}. Rename the attempt."
        )
    for attempt in grid:
        tasks_of(attempt, training, 1)


def check_amounts(repeats: int, memory: int | None) -> None:
    """Check how often each attempt is trained, and the bytes for training, None for a share.

    Raises `InputError` for what is no integer of at least 1.

    >>> check_amounts(3, None)
    """
    check_integer("repeats", repeats, minimum=1)
    if memory is not None:
        check_integer("memory", memory, minimum=1)


def tasks_of(attempt: AttemptConfig, training: Training, repeats: int) -> list[Task]:
    """Return the trainings of an attempt: one for each seed.

    Raises `InputError` for settings of its own that it can't have.
    """
    try:
        if attempt.optimizer is not None:
            training = replace(training, optimizer=attempt.optimizer)
        if attempt.learning_rate is not None:
            training = training.with_learning_rate(attempt.learning_rate)
        if attempt.distillation is not None:
            training = replace(training, distillation=attempt.distillation)
    except InputError as error:
        raise InputError(f"{attempt.name}: {error}") from error
    seed = training.seed if attempt.seed is None else attempt.seed
    return [
        Task(attempt.name, attempt.pruning_schedule, replace(training, seed=seed + repeat))
        for repeat in range(repeats)
    ]
