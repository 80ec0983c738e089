"""A worker process, seen from the driver: started, given units, heard, asked to end, ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path

from trimgrid.executors.messages import Message


class WorkerProcess:
    """One running `python -m trimgrid.executors.child`, which is given one unit after the other.

    It leads a session of its own: Ctrl-C at a terminal reaches only the driver, and what the worker
    started can be ended with it. `cores`: those it may use; none where processes can't be bound to
    cores. What it prints before it is open goes to the end of `log`.
    """

    def __init__(
        self,
        shared: Path,
        environment: Mapping[str, str],
        seconds_to_save: float,
        cores: Sequence[int],
        log: Path,
    ) -> None:
        self.cores = cores
        self.connection, its_end = Pipe()
        with its_end, log.open("ab") as printed:
            end = its_end.fileno()
            program = [sys.executable, "-u", "-P", "-X", "faulthandler"]
            arguments = [end, os.getpid(), seconds_to_save, ",".join(map(str, cores)), shared]
            self._process = subprocess.Popen(
                [*program, "-m", "trimgrid.executors.child", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env={**os.environ, **environment, "PYTHONPATH": _python_path()},
                pass_fds=[end],
                start_new_session=True,
            )

    def give(self, arguments: bytes, log: Path) -> None:
        """Let it do a unit next: its arguments, pickled, and the file for what it prints."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead: `hear` says so
            self.connection.send((arguments, log))

    def alive(self) -> bool:
        """Tell whether the process runs. If not, what it started is ended, too."""
        if self._process.returncode is None and self._process.poll() is not None:
            self._kill_group()  # at once: later its number may be another's
        return self._process.returncode is None

    def hear(self) -> Message | None:
        """Return its next message; None once it has ended, and waits for nothing then.

        To be called when there is something to read, or when it is not alive.
        """
        try:
            # What the worker forked may live on, and hold a connection on which nothing comes.
            if not self.connection.poll():
                return None
            content = self.connection.recv_bytes()
        except (EOFError, OSError):  # OSError: it died in the middle of a message
            return None
        message: Message = pickle.loads(content)
        return message

    def ask_to_end(self) -> None:
        """Let it save what it has, and end, without waiting for it."""
        self.connection.close()

    def how_it_ended(self) -> str:
        """Wait for a worker that is about to end by itself, and say how, as in "its worker ..."."""
        _wait_for([self], seconds=5.0)
        self.end()
        code = self._process.returncode
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:  # one of the many without a name
            return f"was killed by signal {-code}"

    def end(self) -> None:
        """End the process and all that it started, at once. May be called twice."""
        self.connection.close()
        if self.alive():
            self._kill_group()
            self._process.wait()

    def _kill_group(self) -> None:
        # Not permitted: on macOS, of processes that have ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def listen(workers: Sequence[WorkerProcess]) -> list[WorkerProcess]:
    """Wait for news of one or more workers, of which each is to be heard; at most a second."""
    ready = set(wait([each.connection for each in workers], timeout=1.0))
    return [each for each in workers if each.connection in ready or not each.alive()]


def end_all(workers: Sequence[WorkerProcess], seconds: float) -> None:
    """Ask workers to end, give them the seconds in which they save what they have, and end them."""
    try:
        for each in workers:
            each.ask_to_end()
        _wait_for(workers, seconds)
    finally:  # also at a second Ctrl-C
        for each in workers:
            each.end()


def _wait_for(workers: Sequence[WorkerProcess], seconds: float) -> None:
    until = time.monotonic() + seconds
    while [each for each in workers if each.alive()] and time.monotonic() < until:
        time.sleep(0.005)


def _python_path() -> str:
    """Return where the driver looks for modules, as PYTHONPATH: scripts add to that."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
