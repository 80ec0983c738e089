"""Training the grid of the article's examples 1 and 2: ours, TFMOT's and plain `model.fit`.

All methods take turns, each run in a fresh process, and only the training counts: no imports, no
files, no predictions. "First" is the grid's first training in its process: it places the data and
compiles, with no cache on disk. "Again" is the same once more with the same engine. For TFMOT it is
the same `fit` once more on each wrapped model, which Keras has traced then, mask updates included.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.child import Child
from benchmarks.peers.environment import TFMOT_ENVIRONMENT, tfmot_article, tfmot_python
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study

ATTEMPTS = 11
FRESH = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
"""For a child's environment: what it compiles it compiles itself."""


@dataclass(frozen=True)
class Method:
    """Who trains the grid, on what, on how many cores (None: all), and how often in all."""

    name: str
    engine: str
    backend: str
    runs: int
    cores: int | None = None


_TFMOT = Method("TFMOT", "tfmot", "tensorflow", 3)
_OURS = Method("vectorized, JAX", "vectorized", "jax", 5)
_ONE_CORE = Method("vectorized, JAX, 1 core", "vectorized", "jax", 3, cores=1)
_SEQUENTIAL = Method("sequential, JAX", "sequential", "jax", 3)
_METHODS = (
    _TFMOT,
    _OURS,
    _ONE_CORE,
    _SEQUENTIAL,
    Method("sequential, TensorFlow", "sequential", "tensorflow", 1),
    Method("model.fit without pruning, JAX", "plain", "jax", 1),
    Method("model.fit without pruning, TensorFlow", "plain", "tensorflow", 1),
)
# Times faster than TFMOT, compilation counted and without.
_LIMITS = {"mlp": (30, 150), "lstm": (10, 15)}


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time every method on both examples, in turns, and the machine's rate before each example.

    Raises `RuntimeError` if ours pruned other numbers of weights on the two engines.
    """
    python = tfmot_python(peer_cache)
    quiet = Quiet(patience=0 if quick else 2400, tries=1 if quick else 2)
    rows: list[Row] = []
    requirements: list[Requirement] = []
    settings: dict[str, Any] = {"attempts": ATTEMPTS}
    for example in ("mlp", "lstm"):
        epochs = 2 if quick else None
        limit = _arithmetic_limit(example, epochs, quiet)
        found = _runs(example, epochs, python, 1 if quick else None, limit["platform"], quiet)
        rows += [
            _row(example, name, runs, found[_TFMOT.name], limit) for name, runs in found.items()
        ]
        requirements += _requirements(example, found, limit)
        settings[example] = limit
    settings["quiet"] = quiet.note()
    return Study("Training the grid of 11 attempts", settings, rows, requirements)


def _arithmetic_limit(example: str, epochs: int | None, quiet: Quiet) -> dict[str, Any]:
    """Return the grid's operations, the machine's rate, and the seconds that follow from both."""
    with Child("benchmarks.training_worker", "jax") as child:
        rates = quiet.measure(partial(child.ask, "rates"))
    with Child("benchmarks.training_worker", "jax") as child:
        platform = child.ask("prepare", example=example, epochs=epochs)["platform"]
        flops = child.ask("flops", attempts=ATTEMPTS)
    best = max(rates, key=rates.__getitem__)
    return {
        "gflop": flops / 1e9,
        "gflop_a_second": rates[best] / 1e9,
        "rate_of": best,
        "limit_s": flops / rates[best],
        "platform": platform,
    }


def _runs(
    example: str,
    epochs: int | None,
    python: Path,
    most: int | None,
    platform: str,
    quiet: Quiet,
) -> dict[str, list[dict[str, Any]]]:
    """Return what each run of each method gave. On a GPU the number of cores decides nothing."""
    methods = [each for each in _METHODS if each.cores is None or platform == "cpu"]
    found: dict[str, list[dict[str, Any]]] = {each.name: [] for each in methods}
    for turn in range(max(each.runs for each in methods)):
        for method in methods:
            if turn < min(method.runs, most or method.runs):
                if method is _TFMOT:
                    run = partial(run_tfmot, python, example, epochs)
                else:
                    run = partial(run_ours, method, example, epochs)
                found[method.name].append(quiet.measure(run))
    zeros = {name: runs[0]["zeros"] for name, runs in found.items() if "zeros" in runs[0]}
    if zeros[_OURS.name] != zeros[_SEQUENTIAL.name]:
        raise RuntimeError(f"{example}: the engines differ in their zeros: {zeros}.")
    return found


def run_ours(
    method: Method, example: str, epochs: int | None, attempts: int = ATTEMPTS
) -> dict[str, Any]:
    """Train the grid in a fresh process, the vectorized one twice; return the seconds and more."""
    twice = method.engine == "vectorized"
    with Child(
        "benchmarks.training_worker", method.backend, cores=method.cores, environment=FRESH
    ) as child:
        found = child.ask("prepare", example=example, epochs=epochs, all_devices=twice)
        first = child.ask("train", engine=method.engine, attempts=attempts)
        again = None
        if twice:
            again = child.ask("train", engine=method.engine, attempts=attempts)["seconds"]
    return {
        "first": first["seconds"],
        "again": again,
        "devices": found["devices"],
        "zeros": first["zeros"],
        "loss": median(first["losses"]),
    }


def run_tfmot(python: Path, example: str, epochs: int | None) -> dict[str, Any]:
    """Train the grid by the article's method, and each attempt once more.

    Raises `RuntimeError` if the script fails.
    """
    arguments = [example, "--training-alone", *(["--epochs", str(epochs)] if epochs else [])]
    done = subprocess.run(
        tfmot_article(python, *arguments),
        env={**os.environ, **TFMOT_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"TFMOT's script ended with {done.returncode}: {done.stderr[-2000:]}")
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return {
        "first": seconds["grid_training"],
        "again": seconds["grid_training_again"],
        "original": seconds["original_training"],
    }


def _median(runs: Iterable[dict[str, Any]], key: str) -> float | None:
    values = [run[key] for run in runs if run.get(key) is not None]
    return median(values) if values else None


def _row(
    example: str,
    name: str,
    runs: list[dict[str, Any]],
    tfmot: list[dict[str, Any]],
    limit: dict[str, Any],
) -> Row:
    first, again = _median(runs, "first"), _median(runs, "again")
    peer_first, peer_again = _median(tfmot, "first"), _median(tfmot, "again")
    assert first is not None
    assert peer_first is not None
    assert peer_again is not None
    best = first if again is None else again
    return {
        "example": example,
        "method": name,
        "runs": len(runs),
        "devices": runs[0].get("devices"),
        "first_s": first,
        "first_fastest_s": min(run["first"] for run in runs),
        "first_slowest_s": max(run["first"] for run in runs),
        "again_s": again,
        "tfmot_first_to_first": peer_first / first,
        "tfmot_first_to_again": None if again is None else peer_first / again,
        "tfmot_again_to_again": None if again is None else peer_again / again,
        "this_to_limit": best / limit["limit_s"],
        "median_loss": _median(runs, "loss"),
    }


def _requirements(
    example: str, found: dict[str, list[dict[str, Any]]], limit: dict[str, Any]
) -> list[Requirement]:
    def seconds(method: Method, key: str) -> float:
        return float(median(run[key] for run in found[method.name]))

    peer, first, again = seconds(_TFMOT, "first"), seconds(_OURS, "first"), seconds(_OURS, "again")
    counted, without = _LIMITS[example]
    required = [
        Requirement(f"{example}: times faster than TFMOT, compiled", peer / first, counted, True),
        Requirement(f"{example}: times faster, no compilation", peer / again, without, True),
        Requirement(
            f"{example}: vectorized to sequential on JAX",
            first / seconds(_SEQUENTIAL, "first"),
            1,
        ),
    ]
    if example == "mlp":
        ratio = again / limit["limit_s"]
        required.append(Requirement(f"{example}: times the arithmetic limit", ratio, 4))
    if _ONE_CORE.name in found:
        ratio = seconds(_ONE_CORE, "again") / again
        required.append(Requirement(f"{example}: two cores against one", ratio, 1.6, True))
    return required
