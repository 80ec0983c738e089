"""Whether a run goes on, has ended or was cut off: from the lock and what was told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from trimgrid.report.estimated_end import estimated_end
from trimgrid.report.run_state import RunState, is_alive, run_state
from trimgrid.run_directory.holder import Holder
from trimgrid.run_directory.progress_file import RunProgress, Work

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOLDER = Holder(4711, "box", (NOW - timedelta(hours=1)).isoformat())
PROGRESS = RunProgress(
    state=Work.TRAINING,
    began=NOW - timedelta(minutes=59),
    told=NOW,
    epochs=30,
    total_epochs=400,
    names=("half",),
    attempts=11,
    loss=0.5,
    seconds_per_epoch=2.0,
    seconds=61.5,
    earlier_seconds=1.5,
)


def told(state: Work, hours_ago: float = 0.9) -> RunProgress:
    return replace(PROGRESS, state=state, began=NOW - timedelta(hours=hours_ago))


@pytest.mark.parametrize(
    ("holder", "lives", "progress", "unfinished", "state"),
    [
        (HOLDER, True, None, 3, "starting"),
        (HOLDER, True, told(Work.TRAINING), 3, "training"),
        (HOLDER, True, told(Work.TRAINING), 0, "training"),
        (HOLDER, True, told(Work.MEASURING), 3, "measuring"),
        (HOLDER, True, told(Work.FINISHED), 0, "finished"),  # it has not let go of the lock yet
        (HOLDER, True, told(Work.STOPPED), 3, "stopped"),
        (replace(HOLDER, started="?"), True, told(Work.TRAINING), 3, "training"),
        # What an earlier process told says nothing of this one.
        (HOLDER, True, told(Work.TRAINING, 2), 3, "starting"),
        (HOLDER, True, told(Work.FINISHED, 2), 0, "starting"),
        (HOLDER, False, told(Work.STOPPED, 2), 3, "gone"),
        (HOLDER, False, told(Work.FINISHED, 2), 3, "gone"),
        # Killed.
        (HOLDER, False, None, 3, "gone"),
        (HOLDER, False, told(Work.TRAINING), 3, "gone"),
        (HOLDER, False, told(Work.MEASURING), 0, "finished"),
        (HOLDER, False, told(Work.STOPPED), 3, "stopped"),
        # On another machine.
        (HOLDER, None, told(Work.TRAINING), 3, "silent"),
        (HOLDER, None, None, 3, "silent"),
        (HOLDER, None, told(Work.TRAINING), 0, "finished"),
        (HOLDER, None, told(Work.STOPPED), 3, "stopped"),
        # Nobody holds the lock.
        (None, None, None, 0, "finished"),
        (None, None, None, 3, "stopped"),
        (None, None, told(Work.STOPPED), 3, "stopped"),
        (None, None, told(Work.FINISHED), 0, "finished"),
        (None, None, told(Work.FINISHED), 3, "finished"),  # of another grid
        (None, None, told(Work.TRAINING), 3, "gone"),  # the lock was removed by hand
        (None, None, told(Work.TRAINING), 0, "finished"),
    ],
)
def test_where_a_run_stands(
    holder: Holder | None,
    lives: bool | None,
    progress: RunProgress | None,
    unfinished: int,
    state: str,
) -> None:
    found = run_state(holder, lives, progress, unfinished)
    assert found == state
    assert found.ended == (state in ("finished", "stopped", "gone"))


def test_every_work_that_goes_on_is_a_state() -> None:
    assert {work.value for work in Work} <= {state.value for state in RunState}


def holder_of(pid: int, seconds: float) -> Holder:
    """Who took the lock so many seconds after the process of this number began."""
    began = datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)
    started = began + timedelta(seconds=seconds)
    return Holder(pid, socket.gethostname(), started.isoformat())


def test_a_process_of_this_machine() -> None:
    me = os.getpid()
    now = datetime.now(UTC)
    assert is_alive(holder_of(me, 0), None, now)
    assert is_alive(holder_of(me, 5000), None, now)
    # It took the lock before the process of this number began: it was another one.
    assert is_alive(holder_of(me, -60), None, now) is False
    assert is_alive(Holder(2**30, socket.gethostname(), HOLDER.started), None, now) is False
    assert is_alive(Holder(me, socket.gethostname(), "?"), None, now)


def test_a_dead_process_whose_parent_has_not_asked() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True
    ) as process:
        holder = holder_of(process.pid, 1)
        assert is_alive(holder, None, datetime.now(UTC))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert Path(f"/proc/{process.pid}").exists()
        assert is_alive(holder, None, datetime.now(UTC)) is False
    assert is_alive(holder, None, datetime.now(UTC)) is False


@pytest.mark.parametrize(
    ("minutes", "progress", "alive"),
    [
        (9, PROGRESS, True),
        (11, PROGRESS, None),
        (-3, PROGRESS, True),  # its clock is ahead of ours
        (9, None, None),  # it took the lock an hour before
        (9, told(Work.TRAINING, 2), None),
        (-55, None, True),
    ],
)
def test_a_process_of_another_machine(
    minutes: float, progress: RunProgress | None, alive: bool | None
) -> None:
    assert is_alive(HOLDER, progress, NOW + timedelta(minutes=minutes)) is alive


@pytest.mark.parametrize(
    ("changes", "later", "left"),
    [
        ({}, 0, 740),  # 370 epochs of 2 s
        ({}, 40, 700),
        ({"epochs": 400}, 0, 0),
        ({"epochs": 399, "seconds_per_epoch": 0.5}, 0, 0.5),
        ({}, 1000, 0),  # overdue
        ({"seconds_per_epoch": 0.0}, 0, 0),
        ({"seconds_per_epoch": None}, 0, None),
        ({"state": Work.MEASURING}, 0, None),
        ({"state": Work.STOPPED}, 0, None),
        ({"state": Work.FINISHED}, 0, None),
        ({"total_epochs": 10**15, "seconds_per_epoch": 1e9}, 0, None),
    ],
)
def test_the_estimated_end(changes: dict[str, object], later: float, left: float | None) -> None:
    now = NOW + timedelta(seconds=later)
    end = estimated_end(replace(PROGRESS, **changes), now)  # type: ignore[arg-type]
    assert end == (None if left is None else now + timedelta(seconds=left))
