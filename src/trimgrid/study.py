"""A run: train the original and every attempt of a grid, evaluate and measure each."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trimgrid.data import ArrayData, Data, StreamData, open_data
from trimgrid.data_checks import check_data
from trimgrid.engines.choice import choose_engine
from trimgrid.engines.engine import Engine, open_engine
from trimgrid.engines.trained import OnEpoch
from trimgrid.errors import InputError, RunError
from trimgrid.grid import AttemptConfig, check_grid
from trimgrid.measuring import Evaluate, Measurer, Repeats
from trimgrid.models import check_prunable
from trimgrid.results import AttemptInfo
from trimgrid.schedules import check_integer
from trimgrid.tflite import TFLiteConverter
from trimgrid.training import Task, Training

ORIGINAL = "original (unpruned)"
Say = Callable[[str], None]
"""Called with a line on what a run chose and why."""


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
    engine: str = "auto",
    repeats: int = 1,
    memory: int | None = None,
    say: Say | None = None,
) -> Iterator[AttemptInfo]:
    """Train the model, then each attempt from the trained model, and yield what came out of each.

    The original comes first, then the attempts in the order of the grid. Each attempt starts from
    the trained original with a fresh optimizer and the same order of the data; `model` itself stays
    as it is. Files are converted to .tflite by `converter` while the next attempts train; without
    one there are none.

    `data` and `validation`: arrays (x, y) or (x, y, sample weights), or a stream of batches that
    starts anew each epoch: a `PyDataset`, a `tf.data.Dataset`, an iterable, or a function that
    gives an iterator. `evaluate` is called with each trained model, which it must not keep, and
    gives its error, or predictions and error.

    `engine`: "vectorized" trains all attempts at once in one compiled program (JAX), "sequential"
    one after the other, "auto" chooses. `repeats`: each attempt is trained so many times, with the
    seeds seed, seed + 1, ...; its error is their median. `memory`: the bytes that the vectorized
    engine may take, None for 60 % of what is free; it decides how many attempts train at once.
    `say` gets a line on each choice made; by default the logger "trimgrid" does.

    An attempt whose loss stops being finite, or whose conversion fails, says so in its `status`;
    the others go on.

    Raises `InputError` before any training for data that does not fit the model, a grid that can't
    be run, a model without prunable weights, an engine that can't train it and too little memory,
    and `RunError` if the original can't be trained.
    """
    opened = _checked(model, grid, data, training, validation)
    repeats = check_integer("repeats", repeats, minimum=1)
    if memory is not None:
        memory = check_integer("memory", memory, minimum=1)
    choice = choose_engine(model, engine)
    say = say or logging.getLogger("trimgrid").info
    tasks = [task for attempt in grid for task in _tasks(attempt, training, repeats)]
    opened_engine = open_engine(
        choice,
        model,
        *opened,
        training,
        tasks=tasks,
        memory=memory,
        say=say,
        fallback=engine == "auto",
    )
    first_rows = next(opened[0].epoch(None, 0))[0]
    return _run(
        model, opened_engine, training, tasks, repeats, evaluate, converter, first_rows, on_epoch
    )


def _run(
    model: Any,
    engine: Engine,
    training: Training,
    tasks: Sequence[Task],
    repeats: int,
    evaluate: Evaluate,
    converter: TFLiteConverter | None,
    first_rows: Any,
    on_epoch: OnEpoch | None,
) -> Iterator[AttemptInfo]:
    with tempfile.TemporaryDirectory(prefix="trimgrid-") as folder:
        measurer = Measurer(model, evaluate, converter, first_rows, Path(folder))
        ((_, original),) = engine.train([Task(ORIGINAL, None, training)], on_epoch=on_epoch)
        if original.failure is not None:
            raise RunError(f"The original model could not be trained: {original.failure}.")
        weights = original.model.get_weights()
        unfinished = {-1: measurer.measure(ORIGINAL, [measurer.evaluate(original)])}
        waiting: dict[int, Repeats] = {}
        following = -1  # the attempt whose turn it is
        for place, trained in engine.train(tasks, weights, on_epoch):
            attempt = place // repeats
            found = waiting.setdefault(attempt, {})
            found[place] = measurer.evaluate(trained)
            if len(found) == repeats:
                ordered = [found[each] for each in sorted(found)]
                unfinished[attempt] = measurer.measure(tasks[place].name, ordered)
                del waiting[attempt]
            while following in unfinished and unfinished[following].done():
                yield unfinished.pop(following).result()
                following += 1
        while unfinished:
            yield unfinished.pop(following).result()
            following += 1


def _checked(
    model: Any,
    grid: Sequence[AttemptConfig],
    data: Data,
    training: Training,
    validation: Data | None,
) -> tuple[ArrayData | StreamData, ArrayData | StreamData | None]:
    """Check a run; return its data as the engines read it."""
    train = _opened(model, data, training, "training data", weighted=True)
    watched = None
    if validation is not None:
        watched = _opened(model, validation, training, "validation data", weighted=False)
    check_grid(grid, len(train.sizes) * training.epochs)
    if any(attempt.name == ORIGINAL for attempt in grid):
        raise InputError(
            "Names in a grid must differ from the original's. "
            f"Received: name={ORIGINAL!r}. Rename the attempt."
        )
    for attempt in grid:
        _tasks(attempt, training, 1)
    check_prunable(model.trainable_variables)
    return train, watched


def _opened(
    model: Any, data: Data, training: Training, name: str, weighted: bool
) -> ArrayData | StreamData:
    """Open data and check it: arrays as a whole, of a stream the first batch."""
    if isinstance(data, tuple):
        check_data(model, data, training.loss, name)
    opened = open_data(data, training, name, class_weight=weighted)
    if isinstance(opened, StreamData):
        check_data(model, next(opened.epoch(None, 0)), training.loss, name)
    return opened


def _tasks(attempt: AttemptConfig, training: Training, repeats: int) -> list[Task]:
    """The trainings of an attempt: one for each seed.

    Raises `InputError` for settings of its own that it can't have.
    """
    try:
        if attempt.optimizer is not None:
            training = replace(training, optimizer=attempt.optimizer)
        if attempt.learning_rate is not None:
            training = training.with_learning_rate(attempt.learning_rate)
    except InputError as error:
        raise InputError(f"{attempt.name}: {error}") from error
    seed = training.seed if attempt.seed is None else attempt.seed
    return [
        Task(attempt.name, attempt.pruning_schedule, replace(training, seed=seed + repeat))
        for repeat in range(repeats)
    ]
