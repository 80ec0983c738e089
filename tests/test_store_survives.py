"""Kills at any moment, full disks and disks that can't be written leave a readable run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.atomic import is_temporary
from trimgrid.errors import InputError
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import (
    add_export,
    read_history,
    read_predictions,
    result_dict,
)
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import load_results

PLANNED = [Planned(f"{place:02x}", f"attempt {place}", {"place": place}) for place in range(6)]
COLUMNS: dict[str, list[float]] = {
    "epoch": list(range(200)),
    "loss": [1 / (epoch + 3) for epoch in range(200)],
}
PREDICTIONS = np.random.default_rng(0).random((500, 4))

# Plans, finishes, exports, removes and plans again, for ever, and tells what is finished for sure.
WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store_survives import *
with RunDirectory(sys.argv[1], {"epochs": 3}, {}) as run:
    print("open", flush=True)
    while True:
        run.plan(PLANNED)
        for planned in PLANNED:
            if not run.is_finished(planned.id):
                write(run, planned)
            add_export(run.attempt_folder(planned.id), {"file": "model.tflite"})
        for planned in PLANNED[1:]:
            run.rm(planned.name)
"""


def write(run: RunDirectory, planned: Planned) -> None:
    run.write_attempt(planned)
    run.write_history(planned.id, COLUMNS)
    run.write_predictions(planned.id, PREDICTIONS)
    info = AttemptInfo(planned.name, 10, 5, 5, 400, 300, None, None, None, 0.02)
    folder = run.attempt_folder(planned.id)
    run.finish(planned.id, result_dict(folder, planned.id, info, seeds=[0]))


def check_readable(folder: Path) -> int:
    """Check that each file is whole and each finished attempt complete; count the finished."""
    for path in folder.rglob("*.json"):
        if not is_temporary(path.name):
            json.loads(path.read_text(encoding="utf-8"))
    results = load_results(folder)
    for attempt in results:
        assert attempt.status == "ok"
        assert attempt.history == COLUMNS
        np.testing.assert_array_equal(attempt.y_pred, PREDICTIONS)
    return len(results)


def check_whole_files(folder: Path) -> None:
    """Check the files that are in place, also those of attempts that are not finished."""
    for path in folder.glob("attempts/*/history.csv"):
        assert read_history(path) == COLUMNS
    for path in folder.glob("attempts/*/predictions.npz"):
        np.testing.assert_array_equal(read_predictions(path), PREDICTIONS)


def test_a_kill_at_any_moment_is_harmless(tmp_path: Path) -> None:
    moments = random.Random(0)
    seen = set()
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
        seen.add(check_readable(tmp_path))
        check_whole_files(tmp_path)
        with RunDirectory(tmp_path, {"epochs": 3}, {}):
            left = [path for path in tmp_path.rglob("*") if is_temporary(path.name)]
            assert left == []
        check_readable(tmp_path)
    assert len(seen) > 1  # the kills came at different moments
    with RunDirectory(tmp_path, {"epochs": 3}, {}) as run:
        run.plan(PLANNED)
        for planned in PLANNED:
            if not run.is_finished(planned.id):
                write(run, planned)
    assert check_readable(tmp_path) == len(PLANNED)
    assert not (tmp_path / "lock").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WRITES: dict[str, Callable[[RunDirectory], Any]] = {
    "manifest.json": lambda run: run.plan([Planned("aa", "another", {"text": "x" * 10000})]),
    "attempt.json": lambda run: run.write_attempt(Planned("00", "x" * 10000, {})),
    "history.csv": lambda run: run.write_history("00", {"loss": [0.1] * 10000}),
    "predictions.npz": lambda run: run.write_predictions("00", np.random.random(10000)),
    "result.json": lambda run: add_export(run.attempt_folder("00"), {"file": "x" * 10000}),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_device_without_room_is_told_with_the_file(tmp_path: Path, name: str) -> None:
    with RunDirectory(tmp_path, {}, {}) as run:
        run.plan(PLANNED)
        write(run, PLANNED[0])
        before = contents(tmp_path)
        (path,) = (Path(each) for each in before if Path(each).name == name)
        # Writing to this device gives the error of a full disk.
        path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}").symlink_to("/dev/full")
        with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
            WRITES[name](run)
        assert contents(tmp_path) == before
    assert check_readable(tmp_path) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB of its own, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system takes the rights of an administrator")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_becomes_full_keeps_what_it_holds(small_disk: Path) -> None:
    finished = []

    def fill() -> None:
        with RunDirectory(small_disk / "run", {}, {}) as run:
            run.plan(PLANNED)
            for planned in PLANNED:
                write(run, planned)
                finished.append(planned)

    with pytest.raises(OSError, match=rf"No space left on device: '{small_disk}/run/attempts/"):
        fill()
    assert check_readable(small_disk / "run") == len(finished) > 1
    assert not [path for path in small_disk.rglob("*") if is_temporary(path.name)]


def test_a_disk_that_can_not_be_written(small_disk: Path) -> None:
    folder = small_disk / "run"
    with RunDirectory(folder, {}, {}) as run:
        run.plan(PLANNED)
        write(run, PLANNED[0])
    before = contents(folder)
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    assert check_readable(folder) == 1
    for again, message in ((folder, "can be written"), (small_disk / "new", "can be made")):
        with pytest.raises(InputError, match=rf"{message}.*'{again}' \(Read-only file system\)"):
            RunDirectory(again, {}, {}).__enter__()
    with pytest.raises(
        OSError, match=rf"Read-only file system: '{folder}/attempts/00/result.json'"
    ):
        add_export(folder / "attempts/00", {"file": ""})
    assert contents(folder) == before
