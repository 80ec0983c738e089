"""Units of work in processes of this machine.

Own code, because no library does what is needed. A pool of `concurrent.futures` or loky breaks as
a whole when a worker dies, and `multiprocessing.Pool` waits forever for what it did. Pebble's goes
on, but a task can't send messages, workers run the user's script once more and get their
environment from the driver's own, and the end of the driver does not end a task. What is left to do
is to start a program, wait for messages and count deaths.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from trimgrid.arguments import check_integer
from trimgrid.errors import InputError, RunError
from trimgrid.executors.capture import last_of
from trimgrid.executors.core_shares import core_shares
from trimgrid.executors.messages import Ended, NotOpened, Opened, Said
from trimgrid.executors.shared_file import write_shared
from trimgrid.executors.travel import pickled
from trimgrid.executors.work import MOST_DEATHS, Again, Done, Event, Failed, Told, Unit, Work
from trimgrid.executors.worker_process import WorkerProcess, end_all, listen
from trimgrid.scratch import remove_stale_scratch, scratch_folder


class ProcessExecutor:
    """Runs units in so many processes of this machine; see `Executor` for what it promises.

    Each process has its share of the cores, from its start on, so that libraries count no others.
    `Work.resources` say nothing here. What workers share is written to a file once and mapped by
    all of them. A worker does one unit after the other and ends when there are no more.

    A worker that is asked to end has `seconds_to_save` for it. Workers ask themselves when this
    process dies, in whatever way.

    Raises `InputError` for less than one worker, no time, and on systems that are not POSIX.

    >>> from tempfile import TemporaryDirectory
    >>> def open_worker(shared):
    ...     return lambda number, tell: tell(shared + number)
    >>> with TemporaryDirectory() as logs:
    ...     for event in ProcessExecutor(2).run(Work(open_worker, 10), [Unit("a", 1)], Path(logs)):
    ...         print(event)
    Told(unit=Unit(id='a', arguments=1), message=11)
    Done(unit=Unit(id='a', arguments=1))
    """

    def __init__(self, workers: int, seconds_to_save: float = 20.0) -> None:
        self._workers = check_integer("workers", workers, minimum=1)
        if not 0 < seconds_to_save < math.inf:
            raise InputError(
                "Workers need a number of seconds above 0 to save what they have. "
                f"Received: seconds_to_save={seconds_to_save!r}. Give for example 20."
            )
        self._seconds = float(seconds_to_save)
        if os.name != "posix":
            raise InputError(
                "Workers need a POSIX system, such as Linux or macOS. "
                f"Received: workers={workers} on {os.name!r}. Run without workers."
            )

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._workers

    def run(
        self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
    ) -> Generator[Event, None, None]:
        """Run the units; see `Executor.run`. While one does the `first`, the other workers start.

        Raises `InputError` for what can't be pickled, before anything runs, and for what a worker
        can't import; `RunError` if workers can't be opened: `open` raises, or the first unit's
        workers die before they are ready. The trace is in the log of that unit.
        """
        if first is not None:
            units = [first, *units]
        if not units:
            return
        remove_stale_scratch()
        logs.mkdir(parents=True, exist_ok=True)
        with scratch_folder() as folder:
            run = _Run(work, units, logs.absolute(), folder / "shared", self._seconds, first)
            try:
                # One unit alone has all cores.
                for cores in core_shares(min(self._workers, len(units))):
                    run.start(cores)
                while run.busy:
                    for worker in listen(list(run.busy)):
                        yield from run.hear(worker)
            finally:
                run.end()


class _Run:
    """What is to be done, who does what, and how workers ended."""

    def __init__(
        self,
        work: Work,
        units: Sequence[Unit],
        logs: Path,
        shared: Path,
        seconds: float,
        first: Unit | None,
    ) -> None:
        self._arguments = {each.id: pickled(each.arguments, f"unit {each.id}") for each in units}
        write_shared(work, shared, "work")
        self._environment = work.environment
        self._shared = shared
        self._seconds = seconds
        self._logs = logs
        self._waiting = deque(units)
        self._ends: defaultdict[str, list[str]] = defaultdict(list)  # how a unit's workers ended
        self._any_opened = False
        self._first = first  # None once it is done: until then other workers have units, and wait
        self._ending: list[WorkerProcess] = []
        self.busy: dict[WorkerProcess, Unit] = {}

    def start(self, cores: Sequence[int]) -> None:
        """Start a worker and let it do the next unit."""
        unit = self._next()
        worker = WorkerProcess(
            self._shared, self._environment, self._seconds, cores, self._log(unit)
        )
        self._give(worker, unit)

    def hear(self, worker: WorkerProcess) -> Iterator[Event]:
        """Hear a worker, see to it that it does what is next, and say what the driver is to know.

        The driver is told last, so that the worker need not wait for it.
        """
        unit = self.busy[worker]
        match worker.hear():
            case Opened():
                self._any_opened = True
            case Said(message):
                yield Told(unit, message)
            case Ended(reason):
                if unit is self._first:
                    self._first_ended(done=reason is None)
                if self._waiting:
                    self._give(worker, self._next())
                else:
                    self._let_end(worker)
                yield Done(unit) if reason is None else self._failed(unit, reason)
            case NotOpened(reason, bad_input):
                self._let_end(worker)
                if bad_input:
                    raise InputError(reason)
                raise RunError(f"Workers can't be opened: {reason} See {self._log(unit)}")
            case None:
                how = worker.how_it_ended()
                del self.busy[worker]
                event = self._lost(unit, how)
                if unit is self._first and isinstance(event, Failed):
                    self._first_ended(done=False)
                remove_stale_scratch()
                if self._waiting:
                    self.start(worker.cores)
                yield event

    def end(self) -> None:
        """Let all workers save what they have, and end them."""
        try:
            end_all([*self.busy, *self._ending], self._seconds)
        finally:
            remove_stale_scratch()  # of workers that could not do it
            for unit in self.busy.values():
                self._log(unit).unlink(missing_ok=True)

    def _next(self) -> Unit:
        unit = self._waiting.popleft()
        if unit.id not in self._ends:
            self._log(unit).unlink(missing_ok=True)  # an earlier run's
        return unit

    def _give(self, worker: WorkerProcess, unit: Unit) -> None:
        self.busy[worker] = unit
        if self._first is None or unit is self._first:
            worker.give(self._arguments[unit.id], self._log(unit))

    def _first_ended(self, done: bool) -> None:
        """Let the others do their units, or end."""
        others = [(worker, unit) for worker, unit in self.busy.items() if unit is not self._first]
        self._first = None
        if not done:
            self._waiting.clear()
        for worker, unit in others:
            if done:
                self._give(worker, unit)
            else:
                self._let_end(worker)
                self._log(unit).unlink(missing_ok=True)  # of a unit that never begins

    def _let_end(self, worker: WorkerProcess) -> None:
        del self.busy[worker]
        self._ending.append(worker)
        worker.ask_to_end()

    def _lost(self, unit: Unit, how: str) -> Again | Failed:
        ends = self._ends[unit.id]
        ends.append(how)
        if len(ends) < MOST_DEATHS:
            self._waiting.appendleft(unit)
            return Again(unit, f"its worker {how}")
        reason = f"{how}, twice" if how == ends[0] else ", then ".join(ends)
        if not self._any_opened:  # not the unit's fault: no other one would fare better
            raise RunError(
                f"Workers end before they are ready: one {reason}. See {self._log(unit)}"
            )
        return self._failed(unit, f"its worker {reason}")

    def _failed(self, unit: Unit, reason: str) -> Failed:
        return Failed(unit, reason, last_of(self._log(unit)))

    def _log(self, unit: Unit) -> Path:
        return self._logs / f"{unit.id}.log"
