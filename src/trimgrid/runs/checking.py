"""What of a run is checked before anything is trained, and the trainings it comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimgrid.allocation.setting import allocation_of
from trimgrid.arguments import check_integer
from trimgrid.compiled_settings import counted_steps
from trimgrid.data.checks import check_data
from trimgrid.data.sources import ArrayData, Data, StreamData, open_data
from trimgrid.errors import InputError, told_of
from trimgrid.grids.grid import AttemptConfig, check_grid
from trimgrid.iterative import planned_rate_rounds
from trimgrid.learning_rates import AS_IS, REWIND, rate_plan
from trimgrid.legacy.refusing import check_tfmot_attempts
from trimgrid.legacy.settings import in_keras_3
from trimgrid.legacy.telling import is_legacy
from trimgrid.mask_choice import MaskChoice
from trimgrid.prunable import check_prunable_model
from trimgrid.rate_rewinding import Rewound, with_planned_rate
from trimgrid.runs.depthwise import check_depthwise
from trimgrid.shrinking.output_kernels import with_outputs
from trimgrid.structures.kinds import Structure, structure_of
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


@dataclass(frozen=True)
class Lengths:
    """How many batches trainings take: `steps` each attempt, `original` the one before them all."""

    steps: int
    original: int

    @classmethod
    def of(cls, model: Any, train: Opened, training: Training, pretrain_epochs: int) -> Lengths:
        """Return the lengths of a run that trains the original for so many epochs.

        Of an original that is trained already it is what its optimizer has counted, or where that
        is nothing the length of the attempts.
        """
        epoch = len(train.sizes)
        steps = epoch * training.epochs
        return cls(steps, epoch * pretrain_epochs or counted_steps(model) or steps)


def check_attempts(
    grid: Sequence[AttemptConfig], training: Training, lengths: Lengths, model: Any
) -> None:
    """Check that a model can be pruned, and each attempt trained with settings of its own.

    Raises `InputError` with the attempt's name, for a shared training with a distillation, and for
    a model without prunable weights.
    """
    check_grid(grid, lengths.steps)
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
    if is_legacy(model):
        check_tfmot_attempts(grid, training.fresh_optimizer())
    known: dict[Structure | None, tuple[list[str], list[tuple[int, ...]]]] = {}

    def prunable(structure: Structure | None) -> tuple[list[str], list[tuple[int, ...]]]:
        if structure not in known:
            found = check_prunable_model(model, structure)
            pruned = [each for each in found if each.reason is None]
            known[structure] = [each.path for each in pruned], [each.shape for each in pruned]
        return known[structure]

    prunable(None)  # whatever the attempts are
    for attempt in outputs_told(grid, model):
        (task,) = tasks_of(attempt, training, 1, lengths)
        plan = np.asarray(attempt.pruning_schedule.plan(lengths.steps), np.float32)
        with told_of(attempt.name):
            MaskChoice(task.allocation, *prunable(task.structure), plan, task.structure)
            check_depthwise(task, model, prunable(task.structure)[0])


def outputs_told(grid: Sequence[AttemptConfig], model: Any) -> list[AttemptConfig]:
    """Return the attempts, those that prune whole units with the model's output layers named.

    >>> import keras
    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> half = AttemptConfig("half", ConstantSparsity(0.5), structure="units")
    >>> outputs_told([half], model)[0].structure
    Units(norm='l2', outputs=('out/kernel',))
    """
    told: dict[Structure | None, Structure | None] = {}
    for attempt in grid:
        if (structure := structure_of(attempt.structure)) not in told:
            told[structure] = with_outputs(structure, model)
    return [
        replace(each, structure=told[structure_of(each.structure)]) if each.structure else each
        for each in grid
    ]


def check_amounts(repeats: int, memory: int | None) -> None:
    """Check how often each attempt is trained, and the bytes for training, None for a share.

    Raises `InputError` for what is no integer of at least 1.

    >>> check_amounts(3, None)
    """
    check_integer("repeats", repeats, minimum=1)
    if memory is not None:
        check_integer("memory", memory, minimum=1)


def attempt_seeds(attempt: AttemptConfig, training: Training, repeats: int) -> list[int]:
    """Return the seeds of the trainings of an attempt.

    >>> from trimgrid.grids.grid import article_grid
    >>> attempt_seeds(article_grid()[0], Training("mse", seed=3), repeats=2)
    [3, 4]
    """
    first = training.seed if attempt.seed is None else attempt.seed
    return list(range(first, first + repeats))


def tasks_of(
    attempt: AttemptConfig, training: Training, repeats: int, lengths: Lengths
) -> list[Task]:
    """Return the trainings of an attempt: one for each seed.

    Raises `InputError` for settings of its own that it can't have.
    """
    own, rates = training, None
    with told_of(attempt.name):
        if attempt.optimizer is not None:
            own = replace(training, optimizer=in_keras_3(attempt.optimizer))
        rate = attempt.learning_rate
        if isinstance(rate, Real):
            own = own.with_learning_rate(float(rate))
        elif rate not in (None, AS_IS):
            rates = _planned_rates(attempt, training, lengths)
            own = with_planned_rate(own, rates)
        if attempt.distillation is not None:
            own = replace(own, distillation=attempt.distillation)
    allocation = allocation_of(attempt.allocation, attempt.min_kept, attempt.overrides)
    return [
        Task(
            attempt.name,
            attempt.pruning_schedule,
            replace(own, seed=seed),
            rates=rates,
            allocation=allocation,
            structure=structure_of(attempt.structure),
        )
        for seed in attempt_seeds(attempt, training, repeats)
    ]


def _planned_rates(
    attempt: AttemptConfig, training: Training, lengths: Lengths
) -> NDArray[np.float32]:
    """The learning rate of each batch of an attempt, anew in each round where rounds go back."""
    rate: Any = attempt.learning_rate
    if rate == REWIND:
        rate = Rewound(training, lengths.original)
    steps = lengths.steps
    return rate_plan(rate, steps, planned_rate_rounds(attempt.pruning_schedule, steps))
