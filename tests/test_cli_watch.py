"""`trimgrid watch` as a user runs it: beside a run, after a kill, in a pipe and in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabricated import stored
from tests.test_run_table import INFOS
from trimgrid.cli import main
from trimgrid.report import run_state
from trimgrid.run_directory.progress_file import RunProgress, Work, read_progress, write_progress

# A run of 20 epochs that takes as long as the test lets it: it waits for a file after each.
RUN = """
import sys, time
from pathlib import Path
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.progress import Progress

folder = Path(sys.argv[1])
with RunDirectory(folder, {"error_name": "loss: mse"}, {"command": "trimgrid run study.py"}) as run:
    run.plan([Planned("a", "original", {}), Planned("b", "half", {})])
    bar = Progress(trainings=1, epochs=20, original_epochs=0, shown=False)
    with bar.told(folder), bar:
        for epoch in range(1, 21):
            bar.on_epoch(["half"], epoch, [0.5])
            while epoch > 3 and not Path(f"{folder}.go").exists():
                time.sleep(0.01)
            time.sleep(0.2)
"""
COMMAND = [sys.executable, "-m", "trimgrid", "watch"]


def watch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Watch in a process of its own, in a pipe."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that trains and goes on for as long as it is needed."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(folder)]) as process:
        while (told := read_progress(folder)) is None or told.seconds_per_epoch is None:
            assert process.poll() is None
            time.sleep(0.01)
        try:
            yield process
        finally:
            process.kill()


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(("watch", *arguments))
    return int(ended.value.code or 0)


def test_a_run_beside_it_and_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder) as process:
        lines = watch(folder).stdout.splitlines()
        assert lines[0] == str(folder)
        here = f"process {process.pid} on {socket.gethostname()}"
        assert re.fullmatch(rf"Training since \d\d:\d\d:\d\d, {here}\.", lines[1])
        assert re.fullmatch(r"Epochs +━+ +[34] of 20", lines[2])
        assert re.fullmatch(r"Time .* left, trained by \d\d:\d\d:\d\d", lines[3])
        assert lines[4:6] == [
            "Trains    1 attempt (loss 5.00e-01): half",
            "Attempts  0 of 2 finished",
        ]
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = watch(folder, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:4] == [
        f"Stopped: {here} is gone, killed or crashed.",
        "To go on, run it again.",
        "Begun by  trimgrid run study.py",
    ]
    told = read_progress(folder)
    assert told is not None
    assert told.state is Work.TRAINING  # nobody was left to tell the end


def test_in_a_terminal_it_follows_the_run_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder) as process:
        watcher, terminal = terminal_with(folder, "--interval", "0.1")
        screen = read_until(terminal, rb"Training since")
        Path(f"{folder}.go").touch()
        process.send_signal(signal.SIGINT)
        screen += read_until(terminal, rb"Stopped at")
        assert watcher.wait(30) == 0
        os.close(terminal)
    assert b"\x1b[?25l" in screen  # it was drawn over and over


def test_ctrl_c_ends_it_quietly_and_not_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(folder) as process:
        watcher, terminal = terminal_with(folder)
        read_until(terminal, rb"Training since")
        os.write(terminal, b"\x03")
        assert watcher.wait(30) == 0
        left = read_until(terminal, rb"\x1b\[\?25h")  # the cursor is back
        os.close(terminal)
        assert b"Traceback" not in left
        assert b"Interrupted" not in left
        assert process.poll() is None


def terminal_with(*arguments: object) -> tuple[subprocess.Popen[bytes], int]:
    """Watch in a terminal of 24 lines of 80 columns; return the process and the other end."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: os.environ[key] for key in os.environ if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, *map(str, arguments)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(inside)
    return process, terminal


def read_until(terminal: int, pattern: bytes) -> bytes:
    """What comes from a terminal, until the pattern is in it."""
    seen = b""
    while not re.search(pattern, seen):
        seen += os.read(terminal, 4096)
    return seen


def test_a_finished_run_is_shown_and_that_is_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = replace(INFOS[2], name="n" * 200)
    stored(tmp_path, [*INFOS[:2], long])
    now = datetime.now(UTC)
    write_progress(
        tmp_path, RunProgress(Work.FINISHED, now, now, 9, 9, (), 0, None, None, 75.0, 0.0)
    )
    assert run_main(str(tmp_path)) == 0
    piped = capsys.readouterr().out
    assert "n" * 200 in piped  # in a pipe no name is cut
    lines = piped.splitlines()
    assert lines[1].startswith("Finished at ")
    assert "Time      0:01:15 of work" in lines
    assert "Attempts  3 of 3 finished" in lines
    assert run_main(str(tmp_path), "--size", "h5_size", "--once") == 0
    assert "Original  h5 37,080 bytes" in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    assert run_main(str(tmp_path)) == 0  # ends by itself
    assert "…" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{folder}/none",), "A run directory must exist."),
        (("{folder}",), "A run directory has a manifest.json."),
        (("{folder}/run", "--size", "weight"), "size must be one of"),
        (("{folder}/run", "--interval", "0"), "must be from 0.1 to 3600 seconds. Received: 0."),
        (("{folder}/run", "--interval", "nan"), "Received: nan."),
        (("{folder}/run", "--interval", "1e9"), "Received: 1e+09."),
        (("{folder}/damaged",), "It is no JSON"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    stored(tmp_path / "run", INFOS)
    stored(tmp_path / "damaged", INFOS)
    (tmp_path / "damaged" / "manifest.json").write_text("{", encoding="utf-8")
    assert run_main(*(each.format(folder=tmp_path) for each in arguments)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_the_lock_of_another_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path, INFOS, unfinished=("late",))
    holder = {"pid": 12, "host": "elsewhere", "started": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "lock").write_text(json.dumps(holder), encoding="utf-8")
    now = datetime.now(UTC)
    for told, line in [
        (now, r"Training since .*, process 12 on elsewhere\."),
        (
            datetime(2026, 1, 2, tzinfo=UTC),
            r"No word from process 12 on elsewhere, last at .* gone\.",
        ),
    ]:
        progress = RunProgress(
            *(Work.TRAINING, min(told, now), told, 3, 9, (), 0, None, None, 75.0, 0.0)
        )
        write_progress(tmp_path, progress)
        assert run_main(str(tmp_path), "--once") == 0
        assert re.fullmatch(line, capsys.readouterr().out.splitlines()[1])


def test_a_run_that_ends_while_it_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process lives no more when that is asked, and told its end just before."""
    stored(tmp_path, INFOS)
    result = tmp_path / "attempts" / "0004" / "result.json"
    result.rename(tmp_path / "late.json")
    now = datetime.now(UTC)
    progress = RunProgress(Work.MEASURING, now, now, 9, 9, (), 0, None, None, 75.0, 0.0)
    write_progress(tmp_path, progress)
    holder = {"pid": 2**30, "host": socket.gethostname(), "started": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "lock").write_text(json.dumps(holder), encoding="utf-8")

    def is_alive(*arguments: object) -> bool:
        (tmp_path / "late.json").rename(result)
        write_progress(tmp_path, replace(progress, state=Work.FINISHED))
        (tmp_path / "lock").unlink()
        return False

    monkeypatch.setattr(run_state, "is_alive", is_alive)
    assert run_main(str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Finished at ")
    assert any(line.startswith("Attempts  5 of 5 finished") for line in lines)


def test_it_loads_no_framework(tmp_path: Path) -> None:
    stored(tmp_path, INFOS)
    code = """
import sys
for name in ("keras", "jax", "tensorflow", "torch", "matplotlib", "plotly"):
    sys.modules[name] = None  # importing it fails
from trimgrid.cli import main
from trimgrid.report import run_state
main(["watch", sys.argv[1]])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
