"""A run directory that is open: grids are trained into it, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trimgrid.arguments import check_flag
from trimgrid.engines.distribution import Distribution
from trimgrid.engines.engine import Engine, open_engine
from trimgrid.errors import InputError, first_line
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.halving import Halving
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.details import updates_of
from trimgrid.run_directory.store import RunDirectory
from trimgrid.runs.checking import ORIGINAL, Lengths, Say, check_amounts, check_attempts, tasks_of
from trimgrid.runs.evaluating import Evaluate
from trimgrid.runs.keeping import Logger, RunKeeper
from trimgrid.runs.measuring import first_samples
from trimgrid.runs.planning import plan_attempts, seeds_of, with_known_names
from trimgrid.runs.progress import Progress
from trimgrid.runs.results import Results, load_results
from trimgrid.runs.running import run_attempts
from trimgrid.runs.settings import about
from trimgrid.runs.shrinking import Shrinker
from trimgrid.runs.shrinking_later import lacks_shrunk, with_shrunk
from trimgrid.runs.structure_notes import structure_notes
from trimgrid.runs.study_data import StudyData
from trimgrid.schedule_kinds import is_trained
from trimgrid.scratch import scratch_folder
from trimgrid.sensitivity import Sensitivity
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.training import Task, Training


@dataclass(frozen=True)
class Subject:
    """What all attempts of a study share: the model, its data, how it is trained and evaluated.

    `notes`: what there is to say of it before a run. `distribution`: that of Keras under which each
    model is trained.
    """

    model: Any
    data: StudyData
    training: Training
    pretrain_epochs: int
    evaluate: Evaluate
    notes: Sequence[str]
    distribution: Distribution | None = None

    @property
    def lengths(self) -> Lengths:
        """The batches of the trainings."""
        return Lengths.of(self.model, self.data.train, self.training, self.pretrain_epochs)


@dataclass(frozen=True)
class RunOptions:
    """How a run is done: see `trimgrid.Study.run`.

    `settings`: what all attempts share, and what must be the same when a run goes on. `engine`: the
    one to ask for.

    Raises `InputError` for amounts that are none.
    """

    settings: Mapping[str, Any]
    engine: str
    repeats: int
    memory: int | None
    tflite: bool
    checkpoint_seconds: float
    progress: bool | None
    on_result: Callable[[AttemptInfo], None] | None
    say: Say | None
    loggers: Sequence[Logger]
    converter: TFLiteConverter | None
    shrink: bool = False

    def __post_init__(self) -> None:
        check_flag("shrink", self.shrink)
        check_amounts(self.repeats, self.memory)
        if not self.checkpoint_seconds > 0:
            raise InputError(
                "The time between two checkpoints must be above 0 seconds. "
                f"Received: checkpoint_seconds={self.checkpoint_seconds!r}. Give for example 60."
            )


class StoredRun:
    """Trains grids into a run directory that is open inside a `with` block.

    The converter, and the engine once there is something to train, serve all grids. `expected`:
    attempts like those of later grids, as many as the largest of them has. `say`: tells what there
    is to say, above a bar where there is one.

    Entering raises `InputError` for a directory that another process uses, and one whose settings
    differ.
    """

    def __init__(
        self,
        subject: Subject,
        folder: Path,
        options: RunOptions,
        expected: Sequence[AttemptConfig] = (),
    ) -> None:
        self._subject = subject
        self._options = options
        self._expected = expected
        self._stack = ExitStack()
        self._store = RunDirectory(folder, options.settings, about())
        self._converter = options.converter
        self._engine: Engine | None = None
        self._told: set[str] = set()
        self._shown: set[str] = set()
        self.say = options.say or Progress(0, 0, 0, shown=False).say

    def __enter__(self) -> Self:
        self._stack.enter_context(self._store)
        for logger in self._options.loggers:
            self._stack.callback(logger.close)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self._store.folder

    @property
    def names(self) -> list[str]:
        """The names of all attempts planned so far, the original's first."""
        return [each.name for each in self._store.planned]

    def named(self, grid: Sequence[AttemptConfig]) -> list[AttemptConfig]:
        """Return a grid with the names that the directory has for attempts it knows already.

        Raises `InputError` for attempts that can't be trained.
        """
        subject = self._subject
        check_attempts(grid, subject.training, subject.lengths, subject.model)
        planned = plan_attempts(grid, self._subject.lengths, self._options.settings)
        known = self._store.planned
        return with_known_names(grid, planned, known, automatic=lambda attempt: True)[0]

    def write_sensitivity(self, found: Sensitivity) -> None:
        """Keep how sensitive the original's tensors are."""
        self._store.write_sensitivity(found)

    def train(self, grid: Sequence[AttemptConfig], halving: Halving | None = None) -> None:
        """Train and measure what is missing of the original and the grid, which is checked.

        Attempts that are there keep their names, where those of the grid are automatic ones.
        `halving`: stops attempts that are hopeless.

        Raises `InputError` for attempts that can't be planned, `RunError` if the original can't be
        trained, `OSError` for a full disk.
        """
        subject, options, lengths = self._subject, self._options, self._subject.lengths
        planned = plan_attempts(grid, lengths, options.settings)
        grid, planned = with_known_names(grid, planned, self._store.planned)
        self._store.plan(list(planned.values()))
        if not self._store.samples.exists():
            subject.data.write_samples(self._store.samples)
        missing = [each for each in planned.values() if not self._store.is_finished(each.id)]
        unshrunk = options.shrink and any(
            lacks_shrunk(StoredAttempt.read(self.folder, each)) for each in planned.values()
        )
        names = {each.name for each in missing}
        if (missing or unshrunk) and options.tflite and self._converter is None:
            self._converter = self._stack.enter_context(TFLiteConverter())
        trained = [e for e in grid if e.name in names and is_trained(e.pruning_schedule)]
        bar = Progress(
            len(trained) * options.repeats,
            subject.training.epochs,
            subject.pretrain_epochs if ORIGINAL in names else 0,
            shown=options.progress,
        )
        self.say = say = self._once(options.say or bar.say)
        with ExitStack() as stack:
            if missing:
                stack.enter_context(bar.told(self.folder))
            for note in [*subject.notes, *structure_notes(grid, subject.model)]:
                say(note)
            results = run_attempts(
                subject.model,
                grid,
                subject.data.train,
                subject.data.validation,
                subject.training,
                subject.evaluate,
                self._converter if options.tflite else None,
                bar.on_epoch,
                pretrain_epochs=subject.pretrain_epochs,
                engine=options.engine,
                repeats=options.repeats,
                memory=options.memory,
                say=say,
                keeper=RunKeeper(
                    self._store,
                    planned,
                    seeds_of(grid, subject.training, options.repeats),
                    {
                        each.name: updates_of(each.pruning_schedule.plan(lengths.steps))
                        for each in grid
                        if each.name in names
                    },
                    lengths.steps,
                    options.checkpoint_seconds,
                    say,
                    options.loggers,
                ),
                open=self._open,
                halving=halving,
                shrink=options.shrink,
                distribution=subject.distribution,
            )
            if unshrunk:
                samples = first_samples(next(subject.data.train.epoch(None, 0))[0])
                converter = self._converter if options.tflite else None
                shrinker = Shrinker(subject.model, subject.evaluate, converter, samples)
                work = stack.enter_context(scratch_folder(self._store.work))
                results = with_shrunk(results, subject.model, shrinker, work, say)
            stack.enter_context(bar)
            for info in results:
                if options.on_result is not None and info.name not in self._shown:
                    with bar.stopped():
                        options.on_result(info)
                self._shown.add(info.name)

    def _open(self, *arguments: Any, tasks: Sequence[Task], attempts: int, **more: Any) -> Engine:
        """Open the engine, with room for what is expected too, or give that which is open."""
        if self._engine is None:
            subject, repeats = self._subject, self._options.repeats
            expected = [
                task
                for each in self._expected
                for task in tasks_of(each, subject.training, repeats, subject.lengths)
            ]
            room = max(attempts, len(expected))
            self._engine = open_engine(*arguments, tasks=[*tasks, *expected], attempts=room, **more)
        return self._engine

    def _once(self, say: Say) -> Say:
        """Say each line once for all grids."""

        def told(line: str) -> None:
            if line not in self._told:
                self._told.add(line)
                say(line)

        return told


def reported(folder: Path, say: Say) -> Results:
    """Return the results of a run that is done, with its page written.

    Why a page could not be written `say` is told.
    """
    found = load_results(folder)
    try:
        found.report()
    except Exception as error:  # the run is done: its results do not depend on a page
        say(f"The page could not be written: {type(error).__name__}: {first_line(error)}")
    return found
