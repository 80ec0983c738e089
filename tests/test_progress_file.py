"""What a running process tells of itself: whole at any moment, forgiven if it is damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from trimgrid.atomic import is_temporary
from trimgrid.run_directory.progress_file import (
    PROGRESS,
    RunProgress,
    Work,
    read_progress,
    write_progress,
)
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import load_results

NOW = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
PROGRESSES = {
    "training": RunProgress(
        Work.TRAINING, NOW, NOW, 30, 400, ("half", "most"), 11, 0.5, 0.25, 61.5, 1.5
    ),
    "nothing yet": RunProgress(Work.MEASURING, NOW, NOW, 0, 0, (), 0, None, None, 0.0, 0.0),
    "odd names": RunProgress(
        Work.STOPPED, NOW, NOW, 1, 2, ("\x1b[31m", "\ud800", "Größe"), 3, -0.5, 0.0, 1.0, 1.0
    ),
}
# Writes for ever, as fast as it can.
WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
from test_progress_file import *
print("begun", flush=True)
while True:
    for each in PROGRESSES.values():
        write_progress(Path(sys.argv[1]), each)
"""


@pytest.mark.parametrize("name", PROGRESSES)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write_progress(tmp_path, PROGRESSES[name])
    assert read_progress(tmp_path) == PROGRESSES[name]
    assert [path.name for path in tmp_path.iterdir()] == [PROGRESS]


def test_the_keys(tmp_path: Path) -> None:
    write_progress(tmp_path, PROGRESSES["training"])
    assert json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8")) == {
        "state": "training",
        "began": "2026-03-01T12:30:15.250000+00:00",
        "told": "2026-03-01T12:30:15.250000+00:00",
        "epochs": 30,
        "total_epochs": 400,
        "names": ["half", "most"],
        "attempts": 11,
        "loss": 0.5,
        "seconds_per_epoch": 0.25,
        "seconds": 61.5,
        "earlier_seconds": 1.5,
    }


def test_a_time_of_another_zone_is_the_same_time(tmp_path: Path) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    write_progress(tmp_path, replace(PROGRESSES["training"], told=east))
    assert read_progress(tmp_path) == PROGRESSES["training"]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "\0\0\0"),
        {"state": "resting"},
        {"state": None},
        *({"began": each} for each in ("2026-01-01T00:00:00", "yesterday", 3, None)),
        *({"epochs": each} for each in (-1, 1.5, True, None, "3")),
        *({"seconds": each} for each in (-1, float("nan"), float("inf"), 10**400, 1e300, "3")),
        {"loss": "low"},
        {"loss": float("inf")},
        {"seconds_per_epoch": -0.1},
    ],
)
def test_a_damaged_file_is_none(tmp_path: Path, content: Any) -> None:
    write_progress(tmp_path, PROGRESSES["training"])
    path = tmp_path / PROGRESS
    if isinstance(content, dict):
        content = json.dumps({**json.loads(path.read_text(encoding="utf-8")), **content})
    path.write_text(content, encoding="utf-8")
    assert read_progress(tmp_path) is None


def test_a_missing_key_or_file_is_none(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    write_progress(tmp_path, PROGRESSES["training"])
    whole = json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8"))
    for key in whole:
        rest = {other: value for other, value in whole.items() if other != key}
        (tmp_path / PROGRESS).write_text(json.dumps(rest), encoding="utf-8")
        assert read_progress(tmp_path) is None, key
    (tmp_path / PROGRESS).unlink()
    (tmp_path / PROGRESS).mkdir()
    assert read_progress(tmp_path) is None


def test_nothing_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr("os.fsync", fsync)
    write_progress(tmp_path, PROGRESSES["training"])
    assert read_progress(tmp_path) == PROGRESSES["training"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    write_progress(tmp_path, PROGRESSES["training"])
    # Writing to this device gives the error of a full disk.
    (tmp_path / f".progress.{os.getpid()}.json").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/progress.json'") as caught:
        write_progress(tmp_path, PROGRESSES["nothing yet"])
    assert caught.value.errno == errno.ENOSPC
    assert read_progress(tmp_path) == PROGRESSES["training"]
    assert [path.name for path in tmp_path.iterdir()] == [PROGRESS]


def test_it_is_whole_at_any_moment_and_a_kill_leaves_nothing_for_long(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, {}, {}):
        pass
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            seen: set[RunProgress | None] = set()
            reads, end = 0, time.monotonic() + 60
            # The writer may get its turn late; who reads meanwhile sees nothing, or one state.
            while (reads < 400 or len(seen - {None}) < 2) and time.monotonic() < end:
                seen.add(read_progress(tmp_path))
                reads += 1
            process.send_signal(signal.SIGKILL)
        seen.add(read_progress(tmp_path))
        assert seen - {None} <= set(PROGRESSES.values())
        assert len(seen - {None}) > 1
        assert read_progress(tmp_path) in PROGRESSES.values()
    with RunDirectory(tmp_path, {}, {}):
        assert not [path for path in tmp_path.iterdir() if is_temporary(path.name)]


def test_results_tell_it(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, {}, {}) as run:
        run.plan([Planned("a", "original", {})])
    results = load_results(tmp_path)
    assert results.progress is None
    write_progress(tmp_path, PROGRESSES["training"])
    assert results.progress == PROGRESSES["training"]


def test_that_of_other_settings_goes_with_them(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, {"epochs": 3}, {}) as run:
        run.plan([Planned("a", "original", {})])
        write_progress(tmp_path, PROGRESSES["training"])
    with RunDirectory(tmp_path, {"epochs": 3}, {}):
        assert read_progress(tmp_path) == PROGRESSES["training"]
    with RunDirectory(tmp_path, {"epochs": 4}, {}):
        assert read_progress(tmp_path) is None
