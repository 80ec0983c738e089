"""The program of a worker process: `python -m trimgrid.executors.child`.

`trimgrid.executors.worker_process` starts it, and says with which arguments. It is a program of its
own so that the script that runs the study is not run again in each worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from trimgrid.errors import InputError, first_line
from trimgrid.executors.capture import printed_to
from trimgrid.executors.driver_link import DriverLink
from trimgrid.executors.messages import Ended, NotOpened, Opened, Said
from trimgrid.executors.shared_file import read_shared
from trimgrid.executors.travel import not_there
from trimgrid.executors.work import Do, Tell, Work


def main() -> None:
    """Do units until the driver has no more of them, or is gone."""
    descriptor, driver, seconds, cores, shared = sys.argv[1:]
    if cores:  # before libraries count them
        os.sched_setaffinity(0, map(int, cores.split(",")))
    os.set_inheritable(int(descriptor), False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    link = DriverLink(Connection(int(descriptor)), int(driver), float(seconds))
    try:
        _work(link, Path(shared))
    except KeyboardInterrupt:
        if not link.gone:  # asked by someone else: the driver is to see how this ended
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)


def _work(link: DriverLink, shared: Path) -> None:
    do = _opened(link, shared)
    if do is None:
        return
    # Up to here standard output was the log of the first unit, from the start of Python on.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    link.send(Opened())

    def tell(message: object) -> None:
        link.send(Said(message))

    while (unit := link.next()) is not None:
        content, log = unit
        try:
            arguments = pickle.loads(content)
        except (ImportError, AttributeError) as error:
            link.send(NotOpened(not_there(error), bad_input=True))
            return
        reason = _done(do, arguments, tell, log)
        if reason is None:
            log.unlink(missing_ok=True)
        link.send(Ended(reason))
        del arguments


def _opened(link: DriverLink, shared: Path) -> Do | None:
    try:
        try:
            work: Work = read_shared(shared)
        except (ImportError, AttributeError) as error:
            raise InputError(not_there(error)) from error
        do = work.open(work.shared)
    except Exception as error:  # whatever it is, no worker will do better
        traceback.print_exc()
        bad_input = isinstance(error, InputError)
        reason = str(error) if bad_input else f"{type(error).__name__}: {first_line(error)}"
        link.send(NotOpened(reason, bad_input))
        return None
    return do


def _done(do: Do, arguments: object, tell: Tell, log: Path) -> str | None:
    """Do a unit; return what went wrong, or None."""
    try:
        with printed_to(log):
            try:
                do(arguments, tell)
            except Exception:
                traceback.print_exc()
                raise
    except Exception as error:  # whatever it is, also of the log: the next unit is done
        return f"{type(error).__name__}: {first_line(error)}"
    return None


if __name__ == "__main__":
    main()
