"""A run that is killed 200 times at random moments, against one that never was.

In `tests/killing` the same is done with 20 kills.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.reporting import Requirement, Row, Study
from tests.killing.killer import (
    ATTEMPTS,
    Killer,
    check_clean,
    check_nothing_trained_twice,
    finish,
    start,
)

# 200 in all. The sequential engine compiles each attempt anew, so that a run takes minutes.
KILLS = {"vectorized": 160, "sequential": 40}


def measure(quick: bool, peer_cache: Path) -> Study:
    """Kill the runs of both engines; count what is not as in a run that was left alone."""
    rows = [_of_engine(engine, 2 if quick else kills) for engine, kills in KILLS.items()]
    different = sum(int(row["different tables"] or 0) for row in rows)
    return Study(
        title=f"A study of {ATTEMPTS} attempts, killed (SIGKILL of the process group) and resumed",
        settings={"attempts": ATTEMPTS, "checkpoint_seconds": 0.2},
        rows=rows,
        requirements=[Requirement("tables that differ", different, 0)],
    )


def _of_engine(engine: str, kills: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="trimgrid-kills-") as folder:
        began = time.perf_counter()
        table = finish(start(Path(folder, "never"), engine))
        seconds = time.perf_counter() - began
        killer = Killer(random.Random(f"benchmark {engine}"), seconds)
        different = rounds = 0
        while killer.kills < kills:
            run_dir = Path(folder, f"round{rounds}")
            different += killer.until_done(run_dir, engine, kills) != table
            check_clean(run_dir)
            check_nothing_trained_twice(run_dir)
            shutil.rmtree(run_dir)
            rounds += 1
        return {
            "engine": engine,
            "kills": killer.kills,
            "runs to the end": rounds,
            "different tables": different,
            "seconds of a run left alone": seconds,
            "median moment of a kill, s": statistics.median(killer.moments),
        }
