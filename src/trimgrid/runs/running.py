"""A run: train the original and every attempt of a grid, evaluate and measure each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from trimgrid.arguments import check_integer
from trimgrid.data.sources import Data
from trimgrid.engines.choice import EngineChoice, choose_engine
from trimgrid.engines.engine import Engine, open_engine
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.errors import RunError
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.models import copy_model
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.runs.checking import (
    ORIGINAL,
    Lengths,
    Opened,
    Say,
    check_amounts,
    check_attempts,
    open_checked,
    tasks_of,
)
from trimgrid.runs.measuring import Evaluate, Measured, Measurer, Repeats
from trimgrid.schedule_kinds import is_trained
from trimgrid.scratch import scratch_folder
from trimgrid.training import Task, Training


class Keeper(Protocol):
    """Keeps what a run has finished, so that the next run need not do it again."""

    @property
    def work(self) -> Path:
        """The folder for files that are not finished; on the disk of what is kept."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The trainings under way."""

    @property
    def choices(self) -> Path:
        """The folder for what the engine's choices were made by; it need not exist."""

    def training_id(self, name: str, repeat: int) -> str:
        """Return the id of one training of an attempt; repeats count from 0."""

    def finished(self, name: str) -> AttemptInfo | None:
        """Return the result of an attempt that was finished before, else None."""

    def load_original(self, model: Any) -> None:
        """Put the weights of the finished original into a copy of it."""

    def keep(self, measured: Measured, info: AttemptInfo) -> AttemptInfo:
        """Keep a result and its files for good; return the result as it is kept."""


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
) -> Iterator[AttemptInfo]:
    """Do what `run_grid` does, with what is checked already.

    `keeper`: what it has finished is not done again, and trainings go on from its checkpoints.
    """
    choice = choose_engine(model, engine)
    known = {name: None if keeper is None else keeper.finished(name) for name in _names(grid)}
    lengths = Lengths.of(model, train, training, pretrain_epochs)
    tasks = [
        task if keeper is None else replace(task, id=keeper.training_id(task.name, repeat))
        for attempt in grid
        for repeat, task in enumerate(tasks_of(attempt, training, repeats, lengths))
    ]
    missing = [task for task in tasks if known[task.name] is None]
    opened = None
    trained = [task for task in missing if is_trained(task.schedule)]
    pretrained = known[ORIGINAL] is None and pretrain_epochs > 0
    if missing and not trained and not pretrained:
        choice = EngineChoice("sequential", "no attempt is trained")
    if missing or pretrained:
        opened = open_engine(
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
        )
    first_rows = next(train.epoch(None, 0))[0]
    original = None
    if pretrain_epochs > 0:
        original = Task(ORIGINAL, None, replace(training, epochs=pretrain_epochs))
        if keeper is not None:
            original = replace(original, id=keeper.training_id(ORIGINAL, 0))
    run = _Run(model, opened, original, missing, repeats, on_epoch, keeper)
    return run.results(_names(grid), known, evaluate, converter, first_rows)


def _names(grid: Sequence[AttemptConfig]) -> list[str]:
    return [ORIGINAL, *(attempt.name for attempt in grid)]


@dataclass
class _Run:
    """A run whose input is checked: `tasks` are the trainings of the attempts not yet finished.

    `engine` is None where nothing is left to train, `original` where the model is trained already.
    """

    model: Any
    engine: Engine | None
    original: Task | None
    tasks: Sequence[Task]
    repeats: int
    on_epoch: OnEpoch | None
    keeper: Keeper | None

    def results(
        self,
        names: Sequence[str],
        known: Mapping[str, AttemptInfo | None],
        evaluate: Evaluate,
        converter: TFLiteConverter | None,
        first_rows: Any,
    ) -> Iterator[AttemptInfo]:
        """Yield the results in the order of `names`: those known, and the others as they come."""
        done = {name: info for name, info in known.items() if info is not None}
        unfinished: list[Measured] = []
        following = iter(names)
        wanted = next(following)

        def ready(wait: bool) -> Iterator[AttemptInfo]:
            """Keep what is finished, whatever its turn, and yield those whose turn it is."""
            nonlocal wanted
            if wait:
                _wait_for_one(unfinished)
            for each in [each for each in unfinished if each.done()]:
                unfinished.remove(each)
                info = each.result()
                done[info.name] = info if self.keeper is None else self.keeper.keep(each, info)
            while wanted in done:
                yield done.pop(wanted)
                wanted = next(following, "")

        yield from ready(wait=False)
        if wanted == "":
            return
        work = None if self.keeper is None else self.keeper.work
        with scratch_folder(work) as folder:
            measurer = Measurer(self.model, evaluate, converter, first_rows, folder)
            for measured in self._measured(measurer, known[ORIGINAL]):
                unfinished.append(measured)
                yield from ready(wait=False)
            while unfinished:
                yield from ready(wait=True)

    def _measured(self, measurer: Measurer, original: AttemptInfo | None) -> Iterator[Measured]:
        """Train and measure what is missing."""
        if original is None:
            trained = self._train_original()
            weights = trained.model.get_weights()
            yield measurer.measure(ORIGINAL, [measurer.evaluate(trained)])
        elif self.tasks:
            assert self.keeper is not None
            if original.keras_size is None:
                raise RunError(
                    "Attempts begin from the original, whose result can't be read. Received: "
                    f"{original.status.rstrip('.')}. Take another run directory."
                )
            copy = copy_model(self.model)
            self.keeper.load_original(copy)
            weights = copy.get_weights()
        if not self.tasks:
            return
        assert self.engine is not None
        waiting: dict[int, Repeats] = {}
        for place, trained in self.engine.train(
            self.tasks, weights, self.on_epoch, self._checkpoints()
        ):
            attempt = place // self.repeats
            found = waiting.setdefault(attempt, {})
            found[place] = measurer.evaluate(trained)
            if len(found) == self.repeats:
                ordered = [found[each] for each in sorted(found)]
                yield measurer.measure(self.tasks[place].name, ordered)
                del waiting[attempt]

    def _train_original(self) -> Trained:
        if self.original is None:
            return Trained(copy_model(self.model), {}, None)
        assert self.engine is not None
        ((_, trained),) = self.engine.train(
            [self.original], None, self.on_epoch, self._checkpoints()
        )
        if trained.failure is not None:
            raise RunError(f"The original model could not be trained: {trained.failure}.")
        return trained

    def _checkpoints(self) -> Checkpoints | None:
        return None if self.keeper is None else self.keeper.checkpoints


def _wait_for_one(unfinished: Sequence[Measured]) -> None:
    conversions = [each.conversion for each in unfinished if each.conversion is not None]
    if len(conversions) == len(unfinished):
        wait(conversions, return_when=FIRST_COMPLETED)
