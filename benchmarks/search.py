"""What a search of 64 attempts finds, beside the article's grid and a search at random.

Sizes are bytes of the zipped .h5 of the smallest model within the tolerance: 5 % of the original's
error on example 1, half a percentage point on LeNet-300-100. Seeds are those of the search; the
original is the same for all. The time of a search is that of 64 attempts of example 1, trained and
measured, in batches of 16, one at a time, and one after the other by the sequential engine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality_experiments import EXPERIMENTS, LENETS
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid.errors import RunError
from trimgrid.grids.grid import article_grid
from trimgrid.jax_startup import use_all_cores
from trimgrid.randomness import isolated_randomness
from trimgrid.runs.study import Study as PruningStudy

BUDGET, SEEDS = 64, 5
SIZE = "zipped_h5_size"
SAMPLERS = ("tpe", "random")
# Of the best of the article's grid, for the median of the seeds.
LIMITS = {"example 1": 0.8, LENETS[0]: 0.6}


def measure(quick: bool, peer_cache: Path) -> Study:
    """Search for the smallest models of two experiments, with five seeds and two samplers."""
    use_all_cores()
    # One try: the ratios of minutes bear what other processes take.
    quiet, rows = Quiet(patience=120, tries=1), list[Row]()
    for name in LIMITS:
        study = _study(name, quick)
        rows += _found(name, study, quick)
        if name == "example 1":
            rows += quiet.measure(lambda study=study: _times(study, quick))  # type: ignore[misc]
    return Study(
        title=f"{6 if quick else BUDGET} attempts of a search",
        settings={"budget": BUDGET, "seeds": SEEDS, "batch": 16, "quiet": quiet.note()},
        rows=rows,
        requirements=requirements(rows),
    )


def requirements(rows: Sequence[Row]) -> list[Requirement]:
    """Return the bounds on the medians of the sizes, and on the time of a batch."""
    found = []
    sizes = {(row["experiment"], row["what"]): float(row["bytes"] or 0) for row in rows}
    for name, limit in LIMITS.items():
        grid, tpe, random = (
            sizes[name, each] for each in ("article's grid", "search, tpe", "search, random")
        )
        found.append(Requirement(f"{name}: search, share of the grid's best", tpe / grid, limit))
        found.append(Requirement(f"{name}: search, share of random search", tpe / random, 1.0))
    seconds = {row["what"]: float(row["seconds"] or 0) for row in rows}
    share = seconds["in batches of 16"] / seconds["one by one, sequential engine"]
    found.append(Requirement("example 1: batches, share of one by one", share, 1 / 3))
    return found


def _study(name: str, quick: bool) -> PruningStudy:
    """The experiment with its original trained."""
    experiment = EXPERIMENTS[name]
    with isolated_randomness(1):
        task = experiment.load()
    # Half of what the quality of methods is compared with: there are 640 attempts to train.
    epochs = 4 if quick else experiment.epochs // (2 if experiment.classes else 1)
    how: dict[str, Any] = {"loss": task.loss, "batch_size": experiment.batch_size, "seed": 1}
    first = PruningStudy(
        task.model, task.train, test=task.test, epochs=1, pretrain_epochs=epochs, **how
    )
    with tempfile.TemporaryDirectory(prefix="trimgrid-search-") as folder:
        results = first.run(article_grid(0)[:1], folder, tflite=False, progress=False)
        model = results.original.load()
    return PruningStudy(model, task.train, test=task.test, epochs=epochs, error=task.error, **how)


def _limits(name: str, error: float) -> dict[str, float]:
    return {"max_error": error + 0.005} if EXPERIMENTS[name].classes else {"max_increase": 0.05}


def _found(name: str, study: PruningStudy, quick: bool) -> list[Row]:
    error = study.evaluate(study.model)[1]
    limits = _limits(name, error)
    with tempfile.TemporaryDirectory(prefix="trimgrid-search-") as folder:
        results = study.run(article_grid(), folder, tflite=False, progress=False)
        best = results.best(size=SIZE, **limits)
    rows = [_row(name, "article's grid", [best.zipped_h5_size or 0], error)]
    for sampler in SAMPLERS:
        sizes = []
        for seed in range(1 if quick else SEEDS):
            with tempfile.TemporaryDirectory(prefix="trimgrid-search-") as folder:
                found = _search(study, folder, quick, sampler=sampler, seed=seed, **limits)
                try:
                    sizes.append(found.best.zipped_h5_size or 0)
                except RunError:  # none within the tolerance: the original is what there is
                    sizes.append(found.results.original.zipped_h5_size or 0)
        rows.append(_row(name, f"search, {sampler}", sizes, error))
    return rows


def _search(study: PruningStudy, folder: str, quick: bool, **options: Any) -> Any:
    budget = 6 if quick else BUDGET
    return study.search(
        size=SIZE, budget=budget, run_dir=folder, tflite=False, progress=False, **options
    )


def _times(study: PruningStudy, quick: bool) -> list[Row]:
    ways: dict[str, dict[str, Any]] = {
        "in batches of 16": {"batch": 16},
        "one by one": {"batch": 1},
        "one by one, sequential engine": {"batch": 16, "engine": "sequential"},
    }
    rows = []
    for name, options in ways.items():
        with tempfile.TemporaryDirectory(prefix="trimgrid-search-") as folder:
            seconds = _timed(lambda o=options, f=folder: _search(study, f, quick, **o))  # type: ignore[misc]
        rows.append(_row("example 1", name, [], None, seconds))
    return rows


def _timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _row(
    name: str,
    what: str,
    sizes: Sequence[int],
    error: float | None,
    seconds: float | None = None,
) -> Row:
    return {
        "experiment": name,
        "what": what,
        "bytes": statistics.median(sizes) if sizes else None,
        "least": min(sizes, default=None),
        "most": max(sizes, default=None),
        "original's error": error,
        "seconds": seconds,
    }
