"""What an allocation costs: groups of attempts with each of them, against uniform ones.

Masks are updated every 100 steps, as by default; the groups take turns in one process.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles

from benchmarks.child import Child
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid.allocation.setting import ALLOCATIONS

LIMIT_PERCENT = 5.0
_CASES: tuple[tuple[str, list[int], int, int], ...] = (
    ("the article's MLP, 12 attempts", [], 12, 200),
    ("LeNet-300-100, 4 attempts", [784, 300, 100, 10], 4, 4),
)


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time every allocation on every case, in turns."""
    quiet = Quiet(patience=0 if quick else 1200)
    rows = [_row(*case, quiet, turns=3 if quick else 25) for case in _CASES]
    requirements = [
        Requirement(
            f"{row['case']}, {each}: % more than uniform",
            float(row[f"{each}_percent"] or 0),
            LIMIT_PERCENT,
        )
        for row in rows
        for each in ("global_magnitude", "lamp")
    ]
    settings = {"frequency": 100, "engine": "vectorized, JAX", "quiet": quiet.note()}
    return Study("A training with each allocation", settings, rows, requirements)


def _row(case: str, sizes: list[int], attempts: int, epochs: int, quiet: Quiet, turns: int) -> Row:
    seconds: dict[str, list[float]] = {allocation: [] for allocation in ALLOCATIONS}
    with Child("benchmarks.allocation_worker", "jax") as child:
        child.ask("prepare", sizes=sizes, attempts=attempts, epochs=epochs)
        for allocation in ALLOCATIONS:
            child.ask("seconds", allocation=allocation)
        for turn in range(turns):
            # Shuffled, so that none always follows the same one.
            for allocation in Random(turn).sample(ALLOCATIONS, len(ALLOCATIONS)):
                train = partial(child.ask, "seconds", allocation=allocation)
                seconds[allocation].append(quiet.measure(train))
    row: dict[str, str | float | None] = {
        "case": case,
        "uniform_seconds": median(seconds["uniform"]),
    }
    for each, times in seconds.items():
        if each != "uniform":
            # Against the uniform one of the same turn: a machine's pace changes from turn to turn.
            more = [100 * (a / b - 1) for a, b in zip(times, seconds["uniform"], strict=True)]
            row[f"{each}_percent"] = median(more)
            row[f"{each}_quartiles"] = " to ".join(f"{q:.1f}" for q in quantiles(more)[::2])
    return row
