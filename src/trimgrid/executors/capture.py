"""What a process prints, also from native code, into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Inside the block standard output and standard error of this process go to the end of a file.

    The file descriptors do, so that what native code prints before it crashes is there, too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with printed_to(Path(folder, "unit.log")):
    ...         _ = os.write(2, b"out of memory")
    ...     Path(folder, "unit.log").read_text()
    'out of memory'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        with path.open("ab") as file:
            _flush()
            for number, _ in kept:
                os.dup2(file.fileno(), number)
        yield
    finally:
        _flush()
        for number, before in kept:
            os.dup2(before, number)
            os.close(before)


def last_of(path: Path, most: int = 20_000) -> str:
    """Return the last bytes of a text file, at most so many; empty for one that is not there.

    >>> last_of(Path("logs/none.log"))
    ''
    """
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
