"""A run: train the original and every attempt of a grid, evaluate and measure each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from trimgrid.arguments import check_flag, check_integer
from trimgrid.data.sources import Data
from trimgrid.engines.choice import EngineChoice, choose_engine
from trimgrid.engines.distribution import Distribution
from trimgrid.engines.engine import Engine, open_engine
from trimgrid.engines.trained import OnEpoch
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.halving import Halving
from trimgrid.results import AttemptInfo
from trimgrid.runs.checking import (
    ORIGINAL,
    Lengths,
    Opened,
    Say,
    check_amounts,
    check_attempts,
    open_checked,
    outputs_told,
    tasks_of,
)
from trimgrid.runs.evaluating import Evaluate
from trimgrid.runs.loop import Keeper, Loop
from trimgrid.schedule_kinds import is_trained
from trimgrid.schedules import stops_short
from trimgrid.training import Task, Training


def run_grid(
    model: Any,
    grid: Sequence[AttemptConfig],
    data: Data,
    training: Training,
    evaluate: Evaluate,
    converter: TFLiteConverter | None,
    validation: Data | None = None,
    on_epoch: OnEpoch | None = None,
    *,
    pretrain_epochs: int | None = None,
    engine: str = "auto",
    repeats: int = 1,
    memory: int | None = None,
    say: Say | None = None,
    shrink: bool = False,
) -> Iterator[AttemptInfo]:
    """Train the model, then each attempt from the trained model, and yield what came out of each.

    The original comes first, then the attempts in the order of the grid. Each attempt starts from
    the trained original with a fresh optimizer and the same order of the data; `model` itself stays
    as it is. Files are converted to .tflite by `converter` while the next attempts train; without
    one there are none. `trimgrid.Study` is the same with a run directory.

    `data` and `validation`: arrays (x, y) or (x, y, sample weights), or a stream of batches that
    starts anew each epoch: a `PyDataset`, a `tf.data.Dataset`, an iterable, or a function that
    gives an iterator. `evaluate` is called with each trained model, which it must not keep, and
    gives its error, or predictions and error.

    `pretrain_epochs`: how long the original is trained, 0 where it is trained already; None for as
    long as the attempts. `engine`: "vectorized" trains all attempts at once in one compiled program
    (JAX), "sequential" one after the other, "auto" chooses. `repeats`: each attempt is trained so
    many times, with the seeds seed, seed + 1, ...; its error is their median. `memory`: the bytes
    that the vectorized engine may take, None for 60 % of what is free; it decides how many attempts
    train at once. `say` gets a line on each choice made; by default the logger "trimgrid" does.
    `shrink` measures each model without its idle units too: `AttemptInfo.shrunk`.

    An attempt with a `OneShot` schedule is pruned and measured, but not trained.

    An attempt whose loss stops being finite, or whose conversion fails, says so in its `status`;
    the others go on.

    Raises `InputError` before any training for data that does not fit the model, a grid that can't
    be run, a model without prunable weights, an engine that can't train it and too little memory,
    and `RunError` if the original can't be trained.
    """
    train = open_checked(model, data, training, "training data", weighted=True)
    watched = None
    if validation is not None:
        watched = open_checked(model, validation, training, "validation data")
    epochs = training.epochs
    if pretrain_epochs is not None:
        epochs = check_integer("pretrain_epochs", pretrain_epochs, minimum=0)
    check_attempts(grid, training, Lengths.of(model, train, training, epochs), model)
    check_amounts(repeats, memory)
    check_flag("shrink", shrink)
    return run_attempts(
        model,
        grid,
        train,
        watched,
        training,
        evaluate,
        converter,
        on_epoch,
        pretrain_epochs=epochs,
        engine=engine,
        repeats=repeats,
        memory=memory,
        say=say or logging.getLogger("trimgrid").info,
        keeper=None,
        shrink=shrink,
    )


def run_attempts(
    model: Any,
    grid: Sequence[AttemptConfig],
    train: Opened,
    validation: Opened | None,
    training: Training,
    evaluate: Evaluate,
    converter: TFLiteConverter | None,
    on_epoch: OnEpoch | None,
    *,
    pretrain_epochs: int,
    engine: str,
    repeats: int,
    memory: int | None,
    say: Say,
    keeper: Keeper | None,
    shrink: bool,
    open: Callable[..., Engine] = open_engine,
    halving: Halving | None = None,
    distribution: Distribution | None = None,
) -> Generator[AttemptInfo, None, None]:
    """Do what `run_grid` does, with what is checked already.

    `keeper`: what it has finished is not done again, and trainings go on from its checkpoints.
    `open`: gives the engine, called as `open_engine` is. `halving`: see `Engine.train`.
    `distribution`: that of Keras under which each model is trained, checked as well.
    """
    for attempt in grid:
        short = stops_short(attempt.pruning_schedule, len(train.sizes) * training.epochs)
        if short is not None:
            say(f"{attempt.name}: {short}")
    choice = choose_engine(model, engine, distribution)
    known = {name: None if keeper is None else keeper.finished(name) for name in _names(grid)}
    lengths = Lengths.of(model, train, training, pretrain_epochs)
    tasks = [
        task if keeper is None else replace(task, id=keeper.training_id(task.name, repeat))
        for attempt in outputs_told(grid, model)
        for repeat, task in enumerate(tasks_of(attempt, training, repeats, lengths))
    ]
    missing = [task for task in tasks if known[task.name] is None]
    opened = None
    trained = [task for task in missing if is_trained(task.schedule)]
    pretrained = known[ORIGINAL] is None and pretrain_epochs > 0
    if missing and not trained and not pretrained:
        choice = EngineChoice("sequential", "no attempt is trained")
    if missing or pretrained:
        opened = open(
            choice,
            model,
            train,
            validation,
            training,
            tasks=tasks,
            attempts=max(1, len(trained)),
            memory=memory,
            say=say,
            fallback=engine == "auto",
            kept=None if keeper is None else keeper.choices,
            distribution=distribution,
        )
    first_rows = next(train.epoch(None, 0))[0]
    original = None
    if pretrain_epochs > 0:
        original = Task(ORIGINAL, None, replace(training, epochs=pretrain_epochs))
        if keeper is not None:
            original = replace(original, id=keeper.training_id(ORIGINAL, 0))
    run = Loop(model, opened, original, missing, repeats, on_epoch, keeper, halving, shrink)
    return run.results(_names(grid), known, evaluate, converter, first_rows)


def _names(grid: Sequence[AttemptConfig]) -> list[str]:
    return [ORIGINAL, *(attempt.name for attempt in grid)]
