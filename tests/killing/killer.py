"""Starts a run, kills it, and starts it again; what a run directory must look like then."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("study_to_kill.py")
ATTEMPTS = 20


def start(
    run_dir: Path | str, engine: str, attempts: int = ATTEMPTS, **environment: str
) -> subprocess.Popen[str]:
    """A run of so many attempts in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(run_dir), engine, str(attempts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def finish(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Wait for a run's end; return its table."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    table: list[dict[str, Any]] = json.loads(out.splitlines()[-1])
    return table


def finished(run_dir: Path) -> dict[str, int]:
    """The results of finished attempts, and when they were written."""
    return {str(p): p.stat().st_mtime_ns for p in run_dir.glob("attempts/*/result.json")}


def check_clean(run_dir: Path) -> None:
    """Check that nothing is there but what a finished run has."""
    files = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    of_attempt = (
        *("attempt.json", "details.json", "history.csv", "model.keras", "model.tflite"),
        *("predictions.npz", "result.json"),
    )
    wanted = {"manifest.json", "progress.json", "report.html", "samples.npz"}
    for folder in run_dir.glob("attempts/*"):
        wanted |= {f"attempts/{folder.name}/{name}" for name in of_attempt}
    assert files == wanted


def check_nothing_trained_twice(
    run_dir: Path, attempts: int = ATTEMPTS, trained: Path | None = None
) -> None:
    """Check that no run trained what an earlier one had finished; `trained`: where it is noted."""
    lines = (trained or Path(f"{run_dir}.trained")).read_text().splitlines()
    asked = [json.loads(line) for line in lines]
    for each in asked:
        assert not set(each["finished"]) & set(each["trained"]), each
    assert max(len(each["trained"]) for each in asked) == attempts


@dataclass
class Killer:
    """Kills runs at random moments; a run that is not killed takes so many `seconds`."""

    random: random.Random
    seconds: float
    attempts: int = ATTEMPTS
    kills: int = 0
    moments: list[float] = field(default_factory=list)

    def until_done(self, run_dir: Path, engine: str, limit: int) -> list[dict[str, Any]]:
        """Run, and kill while there were fewer than `limit` kills; return the table at the end."""
        while True:
            before = finished(run_dir)
            process = start(run_dir, engine, self.attempts)
            # What goes on ends sooner than what begins.
            share = self.random.uniform(0.1, 0.6 if before else 0.9)
            if self.kills == limit or not self._killed(process, share * self.seconds):
                return finish(process)
            after = finished(run_dir)
            assert {path: after.get(path) for path in before} == before, "a result was changed"

    def _killed(self, process: subprocess.Popen[str], moment: float) -> bool:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.kills += 1
            self.moments.append(moment)
            return True
        return False
