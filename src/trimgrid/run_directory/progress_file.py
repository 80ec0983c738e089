"""How far the process that runs is, told in a file for whoever watches."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.run_directory.json_files import read_json
from trimgrid.run_directory.paths import PROGRESS as PROGRESS

_LONGEST = 1e10  # seconds: centuries, and yet a time that Python can reckon with


class Work(StrEnum):
    """What a process does: it trains, measures what is trained, is done or was stopped."""

    TRAINING = "training"
    MEASURING = "measuring"
    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RunProgress:
    """How far the process is, or was, that last worked on a run directory.

    `began`, `told`: when it began and last told, in UTC. `epochs` of `total_epochs`: those done of
    all trainings that were missing when it began; those that ended early count whole. `names`: the
    first few of the `attempts` that train at the moment. `loss`: their median, None if there is
    none. `seconds_per_epoch`: what an epoch of one training takes at the present rate, None if that
    is not known yet. `seconds`: of work on this run directory by this process and all before it,
    `earlier_seconds` by those before.
    """

    state: Work
    began: datetime
    told: datetime
    epochs: int
    total_epochs: int
    names: tuple[str, ...]
    attempts: int
    loss: float | None
    seconds_per_epoch: float | None
    seconds: float
    earlier_seconds: float

    @property
    def ended(self) -> bool:
        """Whether the process has told that it ended."""
        return self.state in (Work.FINISHED, Work.STOPPED)


def write_progress(folder: Path, progress: RunProgress) -> None:
    """Write the progress file of a run directory; it appears whole or not at all.

    It is not waited for until it is on the disk: a power failure may take it. Raises `OSError`.

    >>> import tempfile
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> progress = RunProgress(
    ...     Work.TRAINING, now, now, 3, 40, ("half",), 1, 0.5, None, 2.5, earlier_seconds=0.0
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_progress(Path(folder), progress)
    ...     read_progress(folder) == progress
    True
    """
    told = {"began": progress.began.isoformat(), "told": progress.told.isoformat()}
    text = json.dumps({**asdict(progress), **told}, indent=2)
    with replacing(folder / PROGRESS, durable=False) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_progress(folder: str | Path) -> RunProgress | None:
    """Read the progress file of a run directory; None for one that is missing or damaged.

    >>> read_progress("runs/none")
    """
    try:
        found = read_json(Path(folder, PROGRESS))
        names = found["names"]
        return RunProgress(
            Work(found["state"]),
            _time(found["began"]),
            _time(found["told"]),
            _count(found["epochs"]),
            _count(found["total_epochs"]),
            tuple(map(str, names if isinstance(names, list) else ())),
            _count(found["attempts"]),
            None if found["loss"] is None else _finite(found["loss"]),
            None if found["seconds_per_epoch"] is None else _seconds(found["seconds_per_epoch"]),
            _seconds(found["seconds"]),
            _seconds(found["earlier_seconds"]),
        )
    except (InputError, OSError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _time(text: Any) -> datetime:
    """A time in UTC; one that does not tell its zone is none."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(number)
    return number


def _finite(number: Any) -> float:
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueError(number)
    return float(number)


def _seconds(number: Any) -> float:
    if not 0 <= _finite(number) < _LONGEST:
        raise ValueError(number)
    return float(number)
