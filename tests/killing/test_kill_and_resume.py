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

KILLS = {"vectorized": 14, "sequential": 6}  # each run of the second takes three times as long


@dataclass(frozen=True)
class NeverKilled:
    """What a run gave that was left alone, and how long it took."""

    engine: str
    table: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module", params=["vectorized", "sequential"])
def never_killed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> NeverKilled:
    run_dir = tmp_path_factory.mktemp("never") / "run"
    began = time.monotonic()
    table = finish(start(run_dir, request.param))
    check_clean(run_dir)
    assert {row["status"] for row in table} == {"ok"}
    return NeverKilled(request.param, table, time.monotonic() - began)


def test_killed_at_random_moments(never_killed: NeverKilled, tmp_path: Path) -> None:
    killer = Killer(random.Random(never_killed.engine), never_killed.seconds)
    kills, rounds = KILLS[never_killed.engine], 0
    while killer.kills < kills:
        run_dir = tmp_path / f"round{rounds}"
        table = killer.until_done(run_dir, never_killed.engine, kills)
        assert table == never_killed.table, killer.moments
        check_clean(run_dir)
        check_nothing_trained_twice(run_dir)
        rounds += 1


def test_only_the_conversion_child_is_killed(never_killed: NeverKilled, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = start(run_dir, never_killed.engine)
    killed: set[int] = set()
    while process.poll() is None and len(killed) < 2:
        if len(finished(run_dir)) > len(killed):  # a child is at work
            children = psutil.Process(process.pid).children(recursive=True)
            for child in [each for each in children if each.pid not in killed][:1]:
                child.kill()
                killed.add(child.pid)
        time.sleep(0.02)
    assert finish(process) == never_killed.table
    assert killed
    check_clean(run_dir)
