"""What workers gain and cost: an example by one and by two processes, and many units of nothing.

The example is the article's third on patches of two photos that scikit-learn ships, as a program of
its own, from its start to its page. Beside its time stands how many cores it used on average, with
all processes that it started: where one process uses all cores, a second has none to use.

An empty unit does nothing: what it takes is what an executor takes for each group of a run.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid.executors.processes import ProcessExecutor
from trimgrid.executors.ray_cluster import RayExecutor
from trimgrid.executors.work import Do, Done, Executor, Unit, Work

REPEATS = 3
_FASTER, _OVERHEAD_MS = 1.6, 20.0


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time the example with one and two workers, and empty units by both executors."""
    quiet = Quiet(patience=120, tries=1)
    epochs, units = (1, 200) if quick else (2, 10_000)
    rows: list[Row] = []
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(1 if quick else REPEATS):
        for workers, times in found.items():  # in turn, so that both meet the same machine
            times.append(quiet.measure(lambda n=workers: _example(n, epochs)))  # type: ignore[misc]
    for workers, times in found.items():
        seconds, cores = (statistics.median(each) for each in zip(*times, strict=True))
        rows.append(_row(f"example 3, {workers} process{'es' * (workers > 1)}", seconds, cores))
    executors: list[tuple[str, Executor]] = [
        ("2 processes", ProcessExecutor(2)),
        ("a Ray of this machine", RayExecutor()),
    ]
    for name, executor in executors:
        seconds = quiet.measure(lambda e=executor: _empty(e, units))  # type: ignore[misc]
        rows.append(_row(f"{units} empty units, {name}", seconds, None, 1e3 * seconds / units))
    return Study(
        title="Workers",
        settings={
            "epochs": epochs,
            "repeats": REPEATS,
            "cores": os.cpu_count(),
            "quiet": quiet.note(),
        },
        rows=rows,
        requirements=requirements(rows),
    )


def requirements(rows: Sequence[Row]) -> list[Requirement]:
    """Return the bounds: the gain, as far as one process leaves cores to use, and the overhead."""
    one, two, *empty = rows
    gain = float(one["seconds"] or 0) / float(two["seconds"] or 1)
    free = (os.cpu_count() or 1) / float(one["cores used"] or 1)
    found = [Requirement("example 3: times faster with two", gain, min(_FASTER, 0.8 * free), True)]
    return found + [
        Requirement(f"{each['what']}: ms each", float(each["ms each"] or 0), _OVERHEAD_MS)
        for each in empty
    ]


def _example(workers: int, epochs: int) -> tuple[float, float]:
    """Return the seconds that the example took, and the cores that it used on average."""
    with tempfile.TemporaryDirectory(prefix="trimgrid-workers-") as folder:
        command = [sys.executable, "-m", "trimgrid", "example", "cnn", "--data", "photos"]
        options = ["--epochs", str(epochs), "--out", f"{folder}/run", "--workers", str(workers)]
        before, start = _processor_seconds(), time.perf_counter()
        subprocess.run([*command, *options], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        return seconds, (_processor_seconds() - before) / seconds


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _nothing(shared: None) -> Do:
    return lambda arguments, tell: None


def _empty(executor: Executor, count: int) -> float:
    """Return the seconds for so many units, without the start of the workers."""
    units = [Unit(f"unit-{number}", number) for number in range(count + 1)]
    with tempfile.TemporaryDirectory(prefix="trimgrid-workers-") as folder:
        start = 0.0
        for event in executor.run(Work(_nothing, None), units, Path(folder)):
            if start == 0.0 and isinstance(event, Done):
                start = time.perf_counter()
        return time.perf_counter() - start


def _row(what: str, seconds: float, cores: float | None, each: float | None = None) -> Row:
    row: dict[str, Any] = {"what": what, "seconds": seconds, "cores used": cores, "ms each": each}
    return row
