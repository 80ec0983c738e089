"""Processes of this machine that use one local copy take turns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(place: Path) -> Iterator[None]:
    """Inside the block no other process of this machine fetches into the copy; waits for it."""
    import fcntl  # here: of POSIX only, where results can be read anywhere

    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(place / "turn", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether some process holds a system's lock on a file, which need not be there.

    >>> is_locked(Path("runs/none/lock"))
    False
    """
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
