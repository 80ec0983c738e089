"""What a grid of 11, 100 and 1,000 attempts of example 1 costs: seconds and peak memory.

Trained alone, and trained, evaluated and measured (.h5, .keras, .tflite). Each run is a fresh
process without a cache on disk, so compilation counts; its imports do not.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.child import Child
from benchmarks.grid_training import FRESH
from benchmarks.memory import SAMPLE_SECONDS, PeakMemory
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study

_TRAINED, _MEASURED = "trained", "trained and measured"


def measure(quick: bool, peer_cache: Path) -> Study:
    """Run every grid several times in turns."""
    sizes = (11, 22) if quick else (11, 100, 1000)
    epochs = 2 if quick else None
    turns = 1 if quick else 3
    quiet = Quiet(patience=0 if quick else 2400, tries=1 if quick else 2)
    cases = [(size, work) for size in sizes for work in (_TRAINED, _MEASURED)]
    found: dict[tuple[int, str], list[dict[str, Any]]] = {case: [] for case in cases}
    for _ in range(turns):
        for case in cases:
            found[case].append(quiet.measure(partial(_run, *case, epochs)))
    rows = [_row(*case, runs) for case, runs in found.items()]
    settings = {
        "example": "mlp",
        "sampled_every_s": SAMPLE_SECONDS,
        "memory": "sum of resident sizes",
        "quiet": quiet.note(),
    }
    return Study(
        "A grid of many attempts", settings, rows, _requirements(found, sizes[0], sizes[-1])
    )


def _run(attempts: int, work: str, epochs: int | None) -> dict[str, Any]:
    """Train a grid, or train and measure it, in a fresh process; return seconds and peak bytes."""
    with (
        Child("benchmarks.training_worker", "jax", environment=FRESH) as child,
        PeakMemory(child.pid) as memory,
    ):
        child.ask("prepare", example="mlp", epochs=epochs, all_devices=True)
        if work == _TRAINED:
            seconds = child.ask("train", engine="vectorized", attempts=attempts)["seconds"]
        else:
            seconds = child.ask("run", attempts=attempts)["seconds"]
    return {"seconds": seconds, "bytes": memory.bytes}


def _row(attempts: int, work: str, runs: list[dict[str, Any]]) -> Row:
    times = [run["seconds"] for run in runs]
    return {
        "attempts": attempts,
        "work": work,
        "runs": len(runs),
        "median_s": median(times),
        "fastest_s": min(times),
        "slowest_s": max(times),
        "an_attempt_ms": 1e3 * median(times) / attempts,
        "peak_gb": max(run["bytes"] for run in runs) / 1e9,
    }


def _requirements(
    found: dict[tuple[int, str], list[dict[str, Any]]], few: int, many: int
) -> list[Requirement]:
    def seconds(attempts: int, work: str) -> float:
        return float(median(run["seconds"] for run in found[attempts, work]))

    name = f"{many:,} attempts {{}}"
    memory = max(run["bytes"] for run in found[many, _TRAINED]) / 1e9
    share = (seconds(many, _TRAINED) / many) / (seconds(few, _TRAINED) / few)
    return [
        Requirement(name.format("trained: seconds"), seconds(many, _TRAINED), 40),
        Requirement(name.format("trained: peak GB"), memory, 4),
        Requirement(name.format("trained and measured: seconds"), seconds(many, _MEASURED), 180),
        Requirement(f"time of an attempt, {many:,} in a grid to {few}", share, 0.25),
    ]
