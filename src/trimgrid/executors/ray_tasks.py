"""The tasks of Ray that do units: how many it is given, what they tell, what their ends mean."""

from __future__ import annotations

import pickle
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError, RunError, first_line
from trimgrid.executors.messages import NotOpened, Opened
from trimgrid.executors.ray_calls import RayCalls
from trimgrid.executors.ray_checks import slots_of
from trimgrid.executors.ray_messages import Began, End, News, OtherCards, Telling
from trimgrid.executors.travel import pickled
from trimgrid.executors.work import (
    MOST_DEATHS,
    MOST_LOSSES,
    Again,
    Done,
    Event,
    Failed,
    Told,
    Unit,
    Work,
)

SECONDS_TO_SAVE = 20.0
"""What workers have, once they are asked to end."""
_SECONDS_TO_COUNT_NODES = 1.0
_SECONDS_TO_LOOK_FOR_NEWS = 0.1
_MOST_AHEAD = 1000  # Ray looks at each task in each call of `wait`


@dataclass
class _Task:
    """A unit that was given to Ray; `told`: how many of its messages the driver knows."""

    unit: Unit
    number: int
    told: int = 0
    began: Began | None = None
    makes_way: bool = False


class RayTasks:
    """All units of a run: waiting, given to Ray, or looked at after the death of a worker.

    Raises `InputError` if something can't be pickled.
    """

    def __init__(
        self, ray: Any, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None
    ) -> None:
        if first is not None:
            units = [first, *units]
        self._ray = ray
        self._logs = logs
        self._resources = work.resources
        self._arguments = {each.id: pickled(each.arguments, f"unit {each.id}") for each in units}
        self._calls = RayCalls(ray, work)
        self._waiting = deque(units)
        self._first = first  # None once it is done: until then no other one begins
        self._tasks: dict[Any, _Task] = {}  # by Ray's references
        self._numbered: dict[int, _Task] = {}
        self._numbers = count()
        self._dead: dict[Any, tuple[_Task, str]] = {}  # by tasks that read logs; how
        self._deaths: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)  # how, and log
        self._losses: Counter[str] = Counter()
        self._any_opened = False
        self._most = 0  # tasks that Ray has at a time
        self._nodes_counted = self._looked_for_news = float("-inf")

    def events(self) -> Iterator[Event]:
        """Do all units."""
        for unit in self._waiting:
            self._log(unit).unlink(missing_ok=True)  # an earlier run's
        while self._waiting or self._tasks or self._dead:
            self._begin()
            tasks = [*self._tasks, *self._dead]
            ended = self._calls.wait(tasks, _SECONDS_TO_LOOK_FOR_NEWS)
            if time.monotonic() - self._looked_for_news > _SECONDS_TO_LOOK_FOR_NEWS:
                yield from self._news()
            for each in ended:
                if each in self._tasks:
                    yield from self._ended(each)
                else:
                    yield self._read(each)

    def end(self) -> None:
        """End what runs, as `Executor` promises."""
        self._calls.end(list(self._tasks), SECONDS_TO_SAVE)

    def _begin(self) -> None:
        """Give Ray what the nodes can do at present, and some more, so that none waits for us."""
        if time.monotonic() - self._nodes_counted > _SECONDS_TO_COUNT_NODES:
            slots = slots_of(self._ray, self._resources)
            self._most = slots + min(slots, _MOST_AHEAD) + 8
            self._nodes_counted = time.monotonic()
        most = self._most if self._first is None else min(1 - len(self._dead), self._most)
        while self._waiting and len(self._tasks) < most:
            unit = self._waiting.popleft()
            task = _Task(unit, next(self._numbers))
            reference = self._calls.begin(task.number, self._arguments[unit.id])
            self._tasks[reference] = self._numbered[task.number] = task

    def _news(self) -> Iterator[Told]:
        for number, news in self._calls.news():
            if number in self._numbered:  # else it has ended
                yield from self._heard(self._numbered[number], news)
        self._looked_for_news = time.monotonic()

    def _heard(self, task: _Task, news: News) -> Iterator[Told]:
        match news:
            case Began():
                task.began = news
            case Opened():
                self._any_opened = True
            case OtherCards():
                task.makes_way = True
            case Telling(number, message):
                if number == task.told:  # else one before it was lost: the end has them all
                    task.told += 1
                    yield Told(task.unit, pickle.loads(message))

    def _ended(self, reference: Any) -> Iterator[Event]:
        errors = self._ray.exceptions
        task = self._tasks.pop(reference)
        try:
            end: End = self._ray.get(reference)
        except errors.OutOfMemoryError:
            yield from self._died(task, "was killed, because its node ran out of memory")
        except errors.WorkerCrashedError:
            yield from self._died(task, "was killed, or crashed")
        except errors.TaskCancelledError:
            yield from self._died(task, "was interrupted")
        except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
            del self._numbered[task.number]
            yield self._lost(task.unit)
        except errors.RayError as error:  # no unit's fault
            raise RunError(f"Ray can't run units: {first_line(error)}") from error
        else:
            del self._numbered[task.number]
            for message in end.told[task.told :]:
                yield Told(task.unit, pickle.loads(message))
            yield self._event(task.unit, end)

    def _event(self, unit: Unit, end: End) -> Event:
        if isinstance(end.end, NotOpened):
            if self._any_opened:  # the work is right: it is this node that can't do it
                return self._lost(unit, f"a node could not begin: {end.end.reason.splitlines()[0]}")
            self._keep(unit, end.log)
            if end.end.bad_input:
                raise InputError(end.end.reason)
            raise RunError(f"Workers can't be opened: {end.end.reason} See {self._log(unit)}")
        self._any_opened = True
        if end.end.reason is None:
            if unit is self._first:
                self._first = None
            return Done(unit)
        return self._failed(unit, end.end.reason, end.log)

    def _died(self, task: _Task, how: str) -> Iterator[Event]:
        """Read the log, on its node; that also shows whether the node is lost."""
        yield from self._news()
        del self._numbered[task.number]
        if task.makes_way:
            self._waiting.appendleft(task.unit)
        elif task.began is None:
            yield self._again(task.unit, how, "")
        else:
            self._dead[self._calls.begin_to_read(task.began)] = task, how

    def _read(self, reference: Any) -> Event:
        errors = self._ray.exceptions
        task, how = self._dead.pop(reference)
        try:
            return self._again(task.unit, how, self._ray.get(reference))
        except (errors.NodeDiedError, errors.TaskUnschedulableError, errors.ObjectLostError):
            return self._lost(task.unit)
        except errors.RayError:
            return self._again(task.unit, how, "")

    def _again(self, unit: Unit, how: str, log: str) -> Again | Failed:
        deaths = self._deaths[unit.id]
        deaths.append((how, log))
        if len(deaths) < MOST_DEATHS:
            self._waiting.appendleft(unit)
            return Again(unit, f"its worker {how}")
        hows, logs = zip(*deaths, strict=True)
        reason = f"{how}, twice" if how == hows[0] else ", then ".join(hows)
        failed = self._failed(unit, f"its worker {reason}", "".join(logs))
        if not self._any_opened:  # not the unit's fault: no other one would fare better
            raise RunError(
                f"Workers end before they are ready: one {reason}. See {self._log(unit)}"
            )
        return failed

    def _lost(self, unit: Unit, why: str = "its node was lost") -> Again | Failed:
        self._losses[unit.id] += 1
        if self._losses[unit.id] < MOST_LOSSES:
            self._waiting.appendleft(unit)
            return Again(unit, why)
        return self._failed(unit, f"{why}, {MOST_LOSSES} times", "")

    def _failed(self, unit: Unit, reason: str, log: str) -> Failed:
        if unit is self._first:
            self._waiting.clear()
        self._keep(unit, log)
        return Failed(unit, reason, log)

    def _keep(self, unit: Unit, log: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._log(unit).write_text(log, encoding="utf-8")

    def _log(self, unit: Unit) -> Path:
        return self._logs / f"{unit.id}.log"
