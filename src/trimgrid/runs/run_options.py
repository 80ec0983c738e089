"""What a run is of and how it is done, and what each of its processes makes of that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimgrid.arguments import check_flag
from trimgrid.engines.distribution import Distribution
from trimgrid.engines.engine import Engine, open_engine
from trimgrid.engines.trained import OnEpoch
from trimgrid.errors import InputError
from trimgrid.executors.work import Executor, Resources
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.halving import Halving
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_store import AttemptStore
from trimgrid.run_directory.details import updates_of
from trimgrid.run_directory.manifest import Planned
from trimgrid.runs.checking import Lengths, Say, check_amounts, tasks_of
from trimgrid.runs.evaluating import Evaluate
from trimgrid.runs.keeping import Logger, RunKeeper
from trimgrid.runs.planning import seeds_of
from trimgrid.runs.running import run_attempts
from trimgrid.runs.study_data import StudyData
from trimgrid.training import Task, Training


@dataclass(frozen=True)
class Placing:
    """Where groups of attempts run: `group` is how many are in one, None for what suits.

    `resources`: what each group takes of a cluster, None where none is. `environment`:
    variables of the workers' own. `share`: among how many the memory of this machine is divided.
    """

    executor: Executor
    group: int | None = None
    resources: Resources | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    share: int = 1


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
    one to ask for. `placing`: where groups of attempts run, None: in this process.

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
    placing: Placing | None = None

    def __post_init__(self) -> None:
        check_flag("shrink", self.shrink)
        check_amounts(self.repeats, self.memory)
        if not self.checkpoint_seconds > 0:
            raise InputError(
                "The time between two checkpoints must be above 0 seconds. "
                f"Received: checkpoint_seconds={self.checkpoint_seconds!r}. Give for example 60."
            )


def keeper_of(
    store: AttemptStore,
    subject: Subject,
    options: RunOptions,
    grid: Sequence[AttemptConfig],
    planned: Mapping[str, Planned],
    say: Say,
) -> RunKeeper:
    """Return what keeps the results of a grid, planned by the names, the original first."""
    lengths = subject.lengths
    missing = [each for each in grid if not store.is_finished(planned[each.name].id)]
    return RunKeeper(
        store,
        planned,
        seeds_of(grid, subject.training, options.repeats),
        {each.name: updates_of(each.pruning_schedule.plan(lengths.steps)) for each in missing},
        lengths.steps,
        options.checkpoint_seconds,
        say,
        options.loggers,
    )


def train_and_measure(
    subject: Subject,
    options: RunOptions,
    grid: Sequence[AttemptConfig],
    converter: TFLiteConverter | None,
    on_epoch: OnEpoch | None,
    *,
    say: Say,
    keeper: RunKeeper,
    open: Callable[..., Engine],
    halving: Halving | None = None,
) -> Generator[AttemptInfo, None, None]:
    """Train and measure a grid of a run in this process: see `run_attempts`."""
    return run_attempts(
        subject.model,
        grid,
        subject.data.train,
        subject.data.validation,
        subject.training,
        subject.evaluate,
        converter,
        on_epoch,
        pretrain_epochs=subject.pretrain_epochs,
        engine=options.engine,
        repeats=options.repeats,
        memory=options.memory,
        say=say,
        keeper=keeper,
        open=open,
        halving=halving,
        shrink=options.shrink,
        distribution=subject.distribution,
    )


def open_with_room(
    subject: Subject,
    options: RunOptions,
    expected: Sequence[AttemptConfig],
    room: int,
    *arguments: Any,
    tasks: Sequence[Task],
    attempts: int,
    **more: Any,
) -> Engine:
    """Open an engine for trainings, and those of attempts that are expected later.

    `room`: how many trainings later ones ask for at once. All else is what `open_engine` takes.
    """
    later = [
        task
        for each in expected
        for task in tasks_of(each, subject.training, options.repeats, subject.lengths)
    ]
    return open_engine(*arguments, tasks=[*tasks, *later], attempts=max(attempts, room), **more)
