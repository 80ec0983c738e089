"""What workers do in the tests of executors: small acts, by their names."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from trimgrid.executors.work import Do, Tell
from trimgrid.interruption import interruptible


class StrangeError(Exception):
    """An error that no executor knows."""


def open_worker(shared: Any) -> Do:
    """Do what the arguments name: an act, and what it needs."""
    opened_by = os.getpid()

    def do(arguments: Any, tell: Tell) -> None:
        act, *rest = arguments
        assert os.getpid() == opened_by
        ACTS[act](shared, tell, *rest)

    return do


def open_noisily(shared: Any) -> Do:
    """Fail with a trace in which the shared value can be read."""
    print("opening", flush=True)
    raise StrangeError(f"no {shared}\nand more")


def open_deadly(shared: Any) -> Do:
    """End the process, as a lack of memory does: the first `shared.times` times."""
    marks, times = shared
    if len(list(Path(marks).iterdir())) < times:
        Path(marks, str(os.getpid())).touch()
        os.write(2, b"no memory")
        os.kill(os.getpid(), signal.SIGKILL)
    return open_worker(None)


def echo(shared: Any, tell: Tell, *rest: Any) -> None:
    """Tell the arguments one by one, and print them."""
    for each in rest:
        print("echo", each)
        tell(each)


def fail(shared: Any, tell: Tell, text: str) -> None:
    """Print and raise."""
    print("before it failed")
    raise StrangeError(text)


def die(shared: Any, tell: Tell, how: str, marks: str, times: int) -> None:
    """End the process the first times, then tell how often."""
    deaths = len(list(Path(marks).iterdir()))
    tell(deaths)
    if deaths < times:
        Path(marks, str(deaths)).touch()
        print("about to die")
        if how == "exit":
            sys.stdout.flush()
            os._exit(3)
        os.kill(os.getpid(), signal.Signals[how])
        time.sleep(60)


def surroundings(shared: Any, tell: Tell, variable: str) -> None:
    """Tell the value of a variable of the environment, the cores, the process."""
    tell((os.environ.get(variable), sorted(os.sched_getaffinity(0)), os.getpid(), os.getsid(0)))


def sum_and_change(shared: Any, tell: Tell) -> None:
    """Tell the sum of an array, where its memory comes from, and write to it."""
    array: np.ndarray[Any, Any] = shared["array"]
    address = array.__array_interface__["data"][0]
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [(line.split()[0].split("-"), line.split()[-1]) for line in lines]
    file = next(f for (low, high), f in spans if int(low, 16) <= address < int(high, 16))
    tell((float(array.sum()), file, address % 64))
    array[:] = 0


def wait_for(shared: Any, tell: Tell, file: str) -> None:
    """Go on when there is a file."""
    tell(os.getpid())
    until = time.monotonic() + 30
    while not Path(file).exists():
        assert time.monotonic() < until
        time.sleep(0.005)


def train(shared: Any, tell: Tell, folder: str) -> None:
    """Run until asked to end, as a training does, telling much; save, and leave a mark."""
    with interruptible() as interruption:
        Path(folder, f"{os.getpid()}.began").touch()
        until = time.monotonic() + 60
        while not interruption.requested and time.monotonic() < until:
            tell("x" * 1000)
            time.sleep(0.001)
        time.sleep(0.3)
        tell("saved")  # which may not fail where the driver is gone
        Path(folder, f"{os.getpid()}.saved").touch()


def hold_on(shared: Any, tell: Tell, folder: str) -> None:
    """Never end, whatever is asked, with a process of its own that does neither."""
    forked = os.fork()
    Path(folder, f"{os.getpid()}.began").touch()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if forked:
        tell(forked)
    threading.Event().wait(60)


def die_in_the_middle(shared: Any, tell: Tell) -> None:
    """Die while a message is half read."""
    tell("a long one comes")
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    tell(bytes(10_000_000))


def fork_and_die(shared: Any, tell: Tell) -> None:
    """Die, and leave a forked process that holds all that is open."""
    forked = os.fork()
    if not forked:
        time.sleep(60)
        os._exit(0)
    tell(forked)
    os.kill(os.getpid(), signal.SIGKILL)


ACTS = {
    each.__name__: each
    for each in (
        *(echo, fail, die, surroundings, sum_and_change, wait_for, train, hold_on, fork_and_die),
        die_in_the_middle,
    )
}
