"""A run that is killed at any moment goes on to the very results of one that never was."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.killing.killer import (
    Killer,
    check_clean,
    check_nothing_trained_twice,
    finish,
    finished,
    start,
)

ATTEMPTS = {"vectorized": 20, "sequential": 6}  # the second compiles each of them


@dataclass(frozen=True)
class NeverKilled:
    """What a run gave that was left alone, and how long it took."""

    engine: str
    attempts: int
    table: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module")
def never_killed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> NeverKilled:
    run_dir = tmp_path_factory.mktemp("never") / "run"
    began = time.monotonic()
    attempts = ATTEMPTS[request.param]
    table = finish(start(run_dir, request.param, attempts))
    check_clean(run_dir)
    assert {row["status"] for row in table} == {"ok"}
    return NeverKilled(request.param, attempts, table, time.monotonic() - began)


@pytest.mark.parametrize(
    ("never_killed", "kills"),
    [
        ("vectorized", 7),
        pytest.param("vectorized", 20, marks=pytest.mark.slow),
        pytest.param("sequential", 3, marks=pytest.mark.slow),
    ],
    indirect=["never_killed"],
)
def test_killed_at_random_moments(never_killed: NeverKilled, kills: int, tmp_path: Path) -> None:
    killer = Killer(random.Random(never_killed.engine), never_killed.seconds, never_killed.attempts)
    rounds = 0
    while killer.kills < kills:
        run_dir = tmp_path / f"round{rounds}"
        table = killer.until_done(run_dir, never_killed.engine, kills)
        assert table == never_killed.table, killer.moments
        check_clean(run_dir)
        check_nothing_trained_twice(run_dir, never_killed.attempts)
        rounds += 1


@pytest.mark.parametrize(
    "never_killed",
    ["vectorized", pytest.param("sequential", marks=pytest.mark.slow)],
    indirect=True,
)
def test_only_the_conversion_child_is_killed(never_killed: NeverKilled, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = start(run_dir, never_killed.engine, never_killed.attempts)
    killed = False
    while process.poll() is None and not killed:
        if finished(run_dir):  # a child is at work
            for child in psutil.Process(process.pid).children(recursive=True)[:1]:
                child.kill()  # once: a file whose second child dies too is given up
                killed = True
        time.sleep(0.02)
    assert killed
    assert finish(process) == never_killed.table
    check_clean(run_dir)
