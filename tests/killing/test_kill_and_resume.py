"""A run that is killed at any moment goes on to the very results of one that never was."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
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


@dataclass(frozen=True)
class NeverKilled:
    """What a run gave that was left alone, and how long it took."""

    table: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], NeverKilled]:
    """A run by its engine and its number of attempts, made when it is first asked for."""
    made: dict[tuple[str, int], NeverKilled] = {}

    def run(engine: str, attempts: int) -> NeverKilled:
        if (engine, attempts) not in made:
            run_dir = tmp_path_factory.mktemp("never") / "run"
            began = time.monotonic()
            table = finish(start(run_dir, engine, attempts))
            check_clean(run_dir)
            assert {row["status"] for row in table} == {"ok"}
            made[engine, attempts] = NeverKilled(table, time.monotonic() - began)
        return made[engine, attempts]

    return run


@pytest.mark.parametrize(
    ("engine", "attempts", "kills"),
    [
        ("vectorized", 10, 6),
        pytest.param("vectorized", 20, 20, marks=pytest.mark.slow),
        # It compiles each attempt.
        pytest.param("sequential", 6, 3, marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments(
    engine: str,
    attempts: int,
    kills: int,
    never_killed: Callable[[str, int], NeverKilled],
    tmp_path: Path,
) -> None:
    expected = never_killed(engine, attempts)
    killer = Killer(random.Random(engine), expected.seconds, attempts)
    rounds = 0
    while killer.kills < kills:
        run_dir = tmp_path / f"round{rounds}"
        table = killer.until_done(run_dir, engine, kills)
        assert table == expected.table, killer.moments
        check_clean(run_dir)
        check_nothing_trained_twice(run_dir, attempts)
        rounds += 1


@pytest.mark.parametrize(
    ("engine", "attempts"),
    [("vectorized", 10), pytest.param("sequential", 6, marks=pytest.mark.slow)],
)
def test_only_the_conversion_child_is_killed(
    engine: str,
    attempts: int,
    never_killed: Callable[[str, int], NeverKilled],
    tmp_path: Path,
) -> None:
    expected, run_dir = never_killed(engine, attempts), tmp_path / "run"
    process = start(run_dir, engine, attempts)
    killed = False
    while process.poll() is None and not killed:
        if finished(run_dir):  # a child is at work
            for child in psutil.Process(process.pid).children(recursive=True)[:1]:
                child.kill()  # once: a file whose second child dies too is given up
                killed = True
        time.sleep(0.02)
    assert killed
    assert finish(process) == expected.table
    check_clean(run_dir)
