"""The driver of a run whose groups of attempts are trained by workers."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from trimgrid.engines.choice import choose_engine
from trimgrid.errors import InputError, RunError
from trimgrid.executors.work import Again, Done, Event, Failed, Resources, Told, Unit, Work
from trimgrid.grids.grid import AttemptConfig
from trimgrid.interruption import ended_by_signals
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.manifest import Planned
from trimgrid.run_directory.paths import WORKER_LOGS
from trimgrid.runs.checking import ORIGINAL, Say
from trimgrid.runs.group_messages import Finished, Refused, Said, Trained
from trimgrid.runs.group_run import GroupWork
from trimgrid.runs.group_worker import open_groups
from trimgrid.runs.keeping import RunKeeper
from trimgrid.runs.needing import bytes_needed
from trimgrid.runs.progress import Progress
from trimgrid.runs.run_options import Placing, RunOptions, Subject
from trimgrid.storage.copies import shown

_LARGEST = 16
"""More attempts in a group save little of the compiler's time, and more is lost with a worker."""


@dataclass(frozen=True)
class GroupedRun:
    """A run whose attempts are trained in groups, wherever `placing` has workers.

    `planned`: all attempts of the run directory `folder`, the original first. `grid`: those wanted.
    `keeper` reads what workers have finished. `bar` and `say` tell of it.
    """

    subject: Subject
    options: RunOptions
    placing: Placing
    folder: Path
    planned: Sequence[Planned]
    grid: Sequence[AttemptConfig]
    keeper: RunKeeper
    bar: Progress
    say: Say

    def results(self) -> Generator[AttemptInfo, None, None]:
        """Yield the results in the order of the grid, the original first, as they come.

        Attempts whose group failed have a `status` that says so. Raises `InputError` for what can't
        travel to workers and what they refuse, and `RunError` if the original can't be trained.
        """
        names = [ORIGINAL, *(each.name for each in self.grid)]
        done = {name: info for name in names if (info := self.keeper.finished(name)) is not None}
        missing = [name for name in names if name not in done]
        waiting = deque(names)

        def ready() -> Iterator[AttemptInfo]:
            while waiting and waiting[0] in done:
                yield done.pop(waiting.popleft())

        yield from ready()
        for name in self._worked_on(missing):
            done[name] = self.keeper.kept(name)
            yield from ready()

    def _groups(self, attempts: Sequence[str]) -> list[Unit]:
        """Attempts that begin from the original, in groups that each train at once."""
        ids = {each.name: each.id for each in self.planned}
        size = self._size(len(attempts))
        groups = [attempts[start : start + size] for start in range(0, len(attempts), size)]
        return [Unit(f"group-{ids[group[0]][:12]}", tuple(group)) for group in groups]

    def _size(self, attempts: int) -> int:
        """How many attempts are in a group."""
        if self.placing.group is not None:
            return self.placing.group
        subject = self.subject
        choice = choose_engine(subject.model, self.options.engine, subject.distribution)
        if choice.engine != "vectorized":
            return 1
        return max(1, min(_LARGEST, math.ceil(attempts / self.placing.executor.slots)))

    def _worked_on(self, missing: Sequence[str]) -> Iterator[str]:
        """Give attempts as they are finished, or given up."""
        first = Unit("original", ()) if ORIGINAL in missing else None
        units = self._groups([name for name in missing if name != ORIGINAL])
        if first is None and not units:
            return
        told: set[str] = set()
        logs = self.folder / WORKER_LOGS
        with ended_by_signals(), closing(self._events(units, logs, first)) as events:
            if units:
                self._tell_of(units)
            for event in events:
                members = event.unit.arguments or (ORIGINAL,)
                ended: Sequence[str] = ()
                match event:
                    case Told(message=Trained() as epoch):
                        self.bar.on_epoch(epoch.names, epoch.epoch, epoch.losses, event.unit.id)
                    case Told(message=Said(line)):
                        self.say(line)
                    case Told(message=Refused(why)):
                        raise InputError(why)
                    case Told(message=Finished(name)):
                        ended = [name] if name in members else ()
                    case Again(why=why):
                        self.bar.again(event.unit.id)
                        self.say(f"{_names(members)}: once more, {why}.")
                    case Failed(reason=reason):
                        self.bar.again(event.unit.id)
                        self._give_up(members, reason, logs / f"{event.unit.id}.log")
                        ended = members
                    case Done():  # what a lost message would have told
                        ended = members
                for name in ended:
                    if name not in told:
                        told.add(name)
                        yield name

    def _tell_of(self, units: Sequence[Unit]) -> None:
        groups = f"{len(units)} group{'s' * (len(units) != 1)}"
        largest = max(len(unit.arguments) for unit in units)
        attempts = f"{largest} attempt{'s' * (largest != 1)}"
        slots = self.placing.executor.slots
        self.say(f"Workers train {groups} of up to {attempts}, {slots} at a time. Each says:")

    def _events(
        self, units: Sequence[Unit], logs: Path, first: Unit | None
    ) -> Generator[Event, None, None]:
        size = max((len(each.arguments) for each in units), default=1)
        packed = GroupWork.of(
            self.subject, self.options, self.folder, self.planned, self.grid, size
        ).packed()
        environment = {"KERAS_BACKEND": keras.config.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ:
            # Several processes may share a graphics card, of which JAX would take most at once.
            environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        resources = self.placing.resources or Resources()
        if resources.memory is None:
            resources = replace(resources, memory=bytes_needed(self.subject, size))
        work = Work(open_groups, packed, {**environment, **self.placing.environment}, resources)
        return self.placing.executor.run(work, units, logs, first)

    def _give_up(self, names: Sequence[str], reason: str, log: Path) -> None:
        if ORIGINAL in names:
            raise RunError(f"The original model could not be trained: {reason}. See {shown(log)}.")
        for name in names:
            if self.keeper.fetched(name) is None:
                self.keeper.give_up(name, f"{reason} ({log.parent.name}/{log.name})")
        self.say(
            f"{_names(names)}: given up, {reason}. See {shown(log)}. The next run tries again."
        )


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
