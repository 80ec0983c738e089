"""Who holds the lock of a run directory, as anyone may read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

LOCK = "lock"


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock: its number, its machine, and when it began, as ISO 8601."""

    pid: int
    host: str
    started: str


def read_holder(folder: str | Path) -> Holder | None:
    """Read who holds the lock of a folder, without taking it.

    A process that was killed leaves its lock, so the holder may be gone. None if there is no lock,
    or one that is damaged.

    >>> read_holder("runs/none")
    """
    try:
        return parse_holder(Path(folder, LOCK).read_bytes())
    except OSError:
        return None


def parse_holder(content: bytes) -> Holder | None:
    """Return the holder that a lock file tells; None for a file that is empty or damaged.

    >>> parse_holder(b'{"pid": 4711, "host": "box", "started": "2026-01-01T00:00:00+00:00"}')
    Holder(pid=4711, host='box', started='2026-01-01T00:00:00+00:00')
    >>> parse_holder(b""), parse_holder(b'{"pid": -1, "host": "box", "started": ""}')
    (None, None)
    """
    try:
        found = json.loads(content)
        pid = int(found["pid"])
        return Holder(pid, str(found["host"]), str(found["started"])) if pid > 0 else None
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
