"""The tasks of Ray that do units: how many it is given, what they tell, what their ends mean."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError, RunError, first_line
from trimgrid.executors.messages import NotOpened
from trimgrid.executors.node_versions import versions
from trimgrid.executors.ray_checks import slots_of
from trimgrid.executors.ray_messages import Began, End, Mailbox, News, Telling
from trimgrid.executors.ray_worker import do_unit, tail_of
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
_SECONDS_FOR_NEWS = 5.0  # after which a mailbox is taken for lost, until the next look
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

    Ray's own retries are off, because it does not tell them, and counts lost nodes as deaths.
    """

    def __init__(self, ray: Any, work: Work, units: Sequence[Unit], logs: Path) -> None:
        self._ray = ray
        self._logs = logs
        self._resources = work.resources
        self._arguments = {each.id: pickled(each.arguments, f"unit {each.id}") for each in units}
        arrays: list[pickle.PickleBuffer] = []
        content = pickled(work, "work", arrays.append)
        self._work = ray.put((content, tuple(arrays), versions()))
        self._waiting = deque(units)
        self._tasks: dict[Any, _Task] = {}  # by what Ray calls them
        self._numbered: dict[int, _Task] = {}
        self._tails: dict[Any, tuple[_Task, str]] = {}  # logs of workers that died, and how
        self._numbers = count()
        self._deaths: dict[str, list[str]] = {}
        self._losses: dict[str, int] = {}
        self._any_opened = False
        self._most = 0
        self._nodes_counted = self._looked_for_news = float("-inf")

        self._affinity = import_module(
            "ray.util.scheduling_strategies"
        ).NodeAffinitySchedulingStrategy
        # Not with the workers: the mailbox is to live as long as the driver.
        here = self._affinity(ray.get_runtime_context().get_node_id(), soft=True)
        mailbox = ray.remote(num_cpus=0, max_restarts=-1)(Mailbox)
        self._mailbox = mailbox.options(scheduling_strategy=here).remote()
        settings: dict[str, Any] = {
            "num_cpus": work.resources.cpus,
            "num_gpus": work.resources.gpus,
            "memory": work.resources.memory,
            "max_retries": 0,
            "max_calls": 0,  # also with graphics cards a process does more than one unit
        }
        if work.environment:
            settings["runtime_env"] = {"env_vars": dict(work.environment)}
        self._do_unit = ray.remote(**settings)(do_unit)
        self._tail_of = ray.remote(num_cpus=0, max_retries=0)(tail_of)

    def events(self) -> Iterator[Event]:
        """Do all units."""
        for unit in self._waiting:
            self._log(unit).unlink(missing_ok=True)  # an earlier run's
        while self._waiting or self._tasks or self._tails:
            self._submit()
            references = [*self._tasks, *self._tails]
            ready, _ = self._ray.wait(references, timeout=_SECONDS_TO_LOOK_FOR_NEWS)
            if ready:  # all that are
                ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
            if time.monotonic() - self._looked_for_news > _SECONDS_TO_LOOK_FOR_NEWS:
                yield from self._news()
            for reference in ready:
                if reference in self._tasks:
                    yield from self._ended(reference)
                else:
                    yield self._looked_at(reference)

    def end(self) -> None:
        """Ask what runs to end, wait while it saves what it has, and end it."""
        ray = self._ray
        left = list(self._tasks)
        try:
            for reference in left:
                ray.cancel(reference, force=False)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=SECONDS_TO_SAVE)
        finally:  # also at a second Ctrl-C
            for reference in left:
                ray.cancel(reference, force=True)
            ray.kill(self._mailbox)

    def _submit(self) -> None:
        """Give Ray what the nodes can do at present, and some more, so that none waits for us."""
        if time.monotonic() - self._nodes_counted > _SECONDS_TO_COUNT_NODES:
            slots = slots_of(self._ray, self._resources)
            self._most = slots + min(slots, _MOST_AHEAD) + 8
            self._nodes_counted = time.monotonic()
        while self._waiting and len(self._tasks) < self._most:
            unit = self._waiting.popleft()
            task = _Task(unit, next(self._numbers))
            reference = self._do_unit.remote(
                task.number, [self._work], self._arguments[unit.id], self._mailbox
            )
            self._tasks[reference] = self._numbered[task.number] = task

    def _news(self) -> Iterator[Told]:
        try:
            news = self._ray.get(self._mailbox.take.remote(), timeout=_SECONDS_FOR_NEWS)
        except self._ray.exceptions.RayError:  # lost: it comes again, and ends have all messages
            news = []
        self._looked_for_news = time.monotonic()
        for number, each in news:
            task = self._numbered.get(number)  # None: it has ended
            if task is not None:
                yield from self._heard(task, each)

    def _heard(self, task: _Task, news: News) -> Iterator[Told]:
        match news:
            case Began():
                task.began = news
            case Telling(number, message):
                if number == task.told:  # else one before it was lost, and the end has all
                    task.told += 1
                    yield Told(task.unit, pickle.loads(message))
            case _:
                task.makes_way = True

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
            yield self._lost(task)
        except errors.RayError as error:  # no unit's fault, as when a node can't import trimgrid
            raise RunError(f"Ray can't run units: {first_line(error)}") from error
        else:
            del self._numbered[task.number]
            for message in end.told[task.told :]:
                yield Told(task.unit, pickle.loads(message))
            yield self._event(task.unit, end)

    def _event(self, unit: Unit, end: End) -> Event:
        if isinstance(end.end, NotOpened):
            self._keep(unit, end.log)
            if end.end.bad_input and not self._any_opened:
                raise InputError(end.end.reason)
            raise RunError(f"Workers can't be opened: {end.end.reason} See {self._log(unit)}")
        self._any_opened = True
        if end.end.reason is None:
            return Done(unit)
        return self._failed(unit, end.end.reason, end.log)

    def _died(self, task: _Task, how: str) -> Iterator[Event]:
        """Look what the worker printed, on its node; that also shows whether the node is lost."""
        yield from self._news()
        del self._numbered[task.number]
        if task.makes_way:
            self._waiting.appendleft(task.unit)
        elif task.began is None:
            yield self._again(task.unit, how, "")
        else:
            there = self._affinity(task.began.node, soft=False)
            tail = self._tail_of.options(scheduling_strategy=there).remote(task.began.log)
            self._tails[tail] = task, how

    def _looked_at(self, reference: Any) -> Event:
        errors = self._ray.exceptions
        task, how = self._tails.pop(reference)
        try:
            return self._again(task.unit, how, self._ray.get(reference))
        except (errors.NodeDiedError, errors.TaskUnschedulableError, errors.ObjectLostError):
            return self._lost(task)
        except errors.RayError:
            return self._again(task.unit, how, "")

    def _again(self, unit: Unit, how: str, log: str) -> Again | Failed:
        deaths = self._deaths.setdefault(unit.id, [])
        deaths.append(how)
        if len(deaths) < MOST_DEATHS:
            self._waiting.appendleft(unit)
            return Again(unit, f"its worker {how}")
        reason = f"{how}, twice" if how == deaths[0] else ", then ".join(deaths)
        return self._failed(unit, f"its worker {reason}", log)

    def _lost(self, task: _Task) -> Again | Failed:
        unit = task.unit
        self._losses[unit.id] = self._losses.get(unit.id, 0) + 1
        if self._losses[unit.id] < MOST_LOSSES:
            self._waiting.appendleft(unit)
            return Again(unit, "its node was lost")
        return self._failed(unit, f"its node was lost {MOST_LOSSES} times", "")

    def _failed(self, unit: Unit, reason: str, log: str) -> Failed:
        self._keep(unit, log)
        return Failed(unit, reason, log)

    def _keep(self, unit: Unit, log: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._log(unit).write_text(log, encoding="utf-8")

    def _log(self, unit: Unit) -> Path:
        return self._logs / f"{unit.id}.log"
