"""What workers gain and cost: an example by one and by two processes, and many units of nothing.

The example is the article's third on patches of two photos that scikit-learn ships, as a program of
its own, from its start to its page: in one process with all cores, in one that is bound to a single
core, and in two workers. Beside its time stands how many cores it used on average, with all
processes that it started. The engine has threads of its own, and what they use of the second core
two workers can't gain any more; against a single core it shows what they make of two.

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
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid.executors.processes import ProcessExecutor
from trimgrid.executors.ray_cluster import RayExecutor
from trimgrid.executors.work import Do, Done, Executor, Unit, Work

REPEATS = 1  # of a quarter of an hour
_FASTER, _OVERHEAD_MS = 1.6, 20.0


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time the example in one process and in two, and empty units by both executors."""
    quiet = Quiet(patience=120, tries=1)
    epochs, units = (1, 200) if quick else (8, 10_000)
    rows: list[Row] = []
    ways = {
        "one process": (1, False),
        "one process on one core": (1, True),
        "two workers": (2, False),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(1 if quick else REPEATS):
        for name, way in ways.items():  # in turn, so that all meet the same machine
            found[name].append(quiet.measure(partial(_example, *way, epochs)))
    for name, times in found.items():
        seconds, cores = (statistics.median(each) for each in zip(*times, strict=True))
        rows.append(_row(f"example 3, {name}", seconds, cores))
    executors: list[tuple[str, Executor]] = [
        ("2 processes", ProcessExecutor(2)),
        ("a Ray of this machine", RayExecutor()),
    ]
    for name, executor in executors:
        seconds = quiet.measure(partial(_empty, executor, units))
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
    one, bound, two, *empty = rows
    seconds = float(two["seconds"] or 1)
    free = (os.cpu_count() or 1) / float(one["cores used"] or 1)
    found = [
        Requirement(
            "example 3: times faster with two",
            float(one["seconds"] or 0) / seconds,
            min(_FASTER, 0.8 * free),
            True,
        ),
        Requirement(
            "example 3: times faster with two, each on one core, than with one on one core",
            float(bound["seconds"] or 0) / seconds,
            _FASTER,
            True,
        ),
    ]
    return found + [
        Requirement(f"{each['what']}: ms each", float(each["ms each"] or 0), _OVERHEAD_MS)
        for each in empty
    ]


def _example(workers: int, bound: bool, epochs: int) -> tuple[float, float]:
    """Return the seconds that the example took, and the cores that it used on average."""

    def bind() -> None:
        if bound:
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

    with tempfile.TemporaryDirectory(prefix="trimgrid-workers-") as folder:
        command = [sys.executable, "-m", "trimgrid", "example", "cnn", "--data", "photos"]
        options = ["--epochs", str(epochs), "--out", f"{folder}/run", "--workers", str(workers)]
        before, start = _processor_seconds(), time.perf_counter()
        subprocess.run([*command, *options], check=True, capture_output=True, preexec_fn=bind)
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
