"""A run directory that is open: grids are trained into it, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from trimgrid.engines.engine import Engine
from trimgrid.errors import first_line
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.halving import Halving
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.checking import ORIGINAL, Say, check_attempts
from trimgrid.runs.groups import GroupedRun
from trimgrid.runs.measuring import first_samples
from trimgrid.runs.planning import plan_attempts, with_known_names
from trimgrid.runs.progress import Progress
from trimgrid.runs.results import Results, load_results
from trimgrid.runs.run_options import (
    RunOptions,
    Subject,
    keeper_of,
    open_with_room,
    train_and_measure,
)
from trimgrid.runs.settings import about
from trimgrid.runs.shrinking import Shrinker
from trimgrid.runs.shrinking_later import lacks_shrunk, with_shrunk
from trimgrid.runs.structure_notes import structure_notes
from trimgrid.schedule_kinds import is_trained
from trimgrid.scratch import scratch_folder
from trimgrid.sensitivity import Sensitivity
from trimgrid.stored.attempt import StoredAttempt


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
        self._bar: Progress | None = None
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

    @contextmanager
    def together(self, attempts: int) -> Iterator[None]:
        """Inside the block tell how far all its grids are, of which so many attempts are missing.

        Elsewhere each grid tells of itself alone.
        """
        planned = {each.name: each.id for each in self._store.planned}
        original = ORIGINAL not in planned or not self._store.is_finished(planned[ORIGINAL])
        with self._progress(attempts, original, told=original or attempts > 0):
            yield

    @contextmanager
    def _progress(self, attempts: int, original: bool, told: bool) -> Iterator[Progress]:
        subject, options = self._subject, self._options
        self._bar = Progress(
            attempts * options.repeats,
            subject.training.epochs,
            subject.pretrain_epochs if original else 0,
            shown=options.progress,
        )
        try:
            with self._bar.told(self.folder) if told else nullcontext():
                yield self._bar
        finally:
            self._bar = None

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
        self._take_back(planned.values())
        missing = [each for each in planned.values() if not self._store.is_finished(each.id)]
        unshrunk = options.shrink and any(
            lacks_shrunk(StoredAttempt.read(self.folder, each)) for each in planned.values()
        )
        names = {each.name for each in missing}
        here = unshrunk or (missing and options.placing is None)
        if here and options.tflite and self._converter is None:
            self._converter = self._stack.enter_context(TFLiteConverter())
        trained = [e for e in grid if e.name in names and is_trained(e.pruning_schedule)]
        with ExitStack() as stack:
            bar = self._bar or stack.enter_context(
                self._progress(len(trained), ORIGINAL in names, told=bool(missing))
            )
            self.say = say = self._once(options.say or bar.say)
            for note in [*subject.notes, *structure_notes(grid, subject.model)]:
                say(note)
            keeper = keeper_of(self._store, subject, options, grid, planned, say)
            if options.placing is not None:
                results = GroupedRun(
                    subject,
                    options,
                    options.placing,
                    self.folder,
                    self._store.planned,
                    grid,
                    keeper,
                    bar,
                    say,
                ).results()
            else:
                results = train_and_measure(
                    subject,
                    options,
                    grid,
                    self._converter if options.tflite else None,
                    bar.on_epoch,
                    say=say,
                    keeper=keeper,
                    open=self._open,
                    halving=halving,
                )
            # An error below must end workers before the run directory is let go.
            stack.enter_context(closing(results))
            shown: Iterator[AttemptInfo] = results
            if unshrunk:
                samples = first_samples(next(subject.data.train.epoch(None, 0))[0])
                converter = self._converter if options.tflite else None
                shrinker = Shrinker(subject.model, subject.evaluate, converter, samples)
                work = stack.enter_context(scratch_folder(self._store.work))
                shown = with_shrunk(results, subject.model, shrinker, work, say)
            stack.enter_context(bar)
            for info in shown:
                if options.on_result is not None and info.name not in self._shown:
                    with bar.stopped():
                        options.on_result(info)
                self._shown.add(info.name)

    def _open(self, *arguments: Any, **more: Any) -> Engine:
        """Open the engine, with room for what is expected too, or give that which is open."""
        if self._engine is None:
            subject, options, expected = self._subject, self._options, self._expected
            room = len(expected) * options.repeats
            self._engine = open_with_room(subject, options, expected, room, *arguments, **more)
        return self._engine

    def _take_back(self, planned: Iterable[Planned]) -> None:
        """Let attempts be tried again whose workers died."""
        for each in planned:
            found = StoredAttempt.read(self.folder, each)
            if found is not None and found.given_up:
                self._store.take_back(each.id)

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
