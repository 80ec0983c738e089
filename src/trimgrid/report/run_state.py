"""Whether a run goes on, has ended or was cut off, as its run directory tells it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import psutil

from trimgrid.run_directory.holder import Holder
from trimgrid.run_directory.progress_file import RunProgress, Work

_SILENCE = timedelta(minutes=10)
_TOLERANCE = timedelta(seconds=10)  # the system tells a process' start less precisely


class RunState(StrEnum):
    """Where a run stands."""

    STARTING = "starting"
    TRAINING = "training"
    MEASURING = "measuring"
    SILENT = "silent"
    """A process of another machine has told nothing for long: it may be gone."""
    FINISHED = "finished"
    STOPPED = "stopped"
    GONE = "gone"
    """The process was killed."""

    @property
    def ended(self) -> bool:
        """Whether no process works on it any more."""
        return self in (RunState.FINISHED, RunState.STOPPED, RunState.GONE)


def run_state(
    holder: Holder | None, lives: bool | None, progress: RunProgress | None, unfinished: int
) -> RunState:
    """Return where a run stands.

    `holder`: of its lock. `lives`: see `is_alive`. `progress`: what was told last, perhaps by an
    earlier process. `unfinished`: how many of the attempts planned have no result.

    >>> run_state(None, None, None, 0), run_state(None, None, None, 3)
    (<RunState.FINISHED: 'finished'>, <RunState.STOPPED: 'stopped'>)
    """
    if holder is not None:
        progress = _told_by(holder, progress)
    work = None if progress is None else progress.state
    ended = progress is not None and progress.ended
    if holder is not None and lives is not False and not ended:
        if lives is None:
            return RunState.SILENT if unfinished else RunState.FINISHED
        return RunState.STARTING if work is None else RunState(work.value)
    if work is Work.FINISHED or not unfinished:
        return RunState.FINISHED
    if work is Work.STOPPED or (holder is None and work is None):
        return RunState.STOPPED
    return RunState.GONE


def is_alive(holder: Holder, progress: RunProgress | None, now: datetime) -> bool | None:
    """Tell whether the process that holds a lock still runs; None where that can't be known.

    That of this machine does if there is a process of its number which began before it took the
    lock. That of another machine counts as running while it tells its progress; None if it has not
    for 10 minutes.

    >>> is_alive(Holder(2**30, socket.gethostname(), "2026-01-01T00:00:00+00:00"), None,
    ...          datetime(2026, 1, 1, tzinfo=UTC))
    False
    """
    if holder.host != socket.gethostname():
        mine = _told_by(holder, progress)
        last = _time(holder.started) if mine is None else mine.told
        return True if last is not None and now - last < _SILENCE else None
    try:
        process = psutil.Process(holder.pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, and nobody has asked how it ended
            return False
        began = datetime.fromtimestamp(process.create_time(), UTC)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    since = _time(holder.started)
    return since is None or began <= since + _TOLERANCE  # else another has its number by now


def _told_by(holder: Holder, progress: RunProgress | None) -> RunProgress | None:
    """The progress, if it is not that of an earlier process."""
    since = _time(holder.started)
    earlier = progress is not None and since is not None and progress.began < since
    return None if earlier else progress


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
