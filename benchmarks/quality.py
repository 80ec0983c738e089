"""How good a model is after pruning: every method against TFMOT's way, at equal epochs.

TFMOT's way is what its users do: the same sparsity in every tensor, the article's schedules, and
whatever learning rate there was. It runs here in the same engine as the others, so that nothing
but the method differs. Each original is trained once; every method starts from it, with five seeds
for the order of the data. Seconds are not compared: others may use the machine meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.child import Child
from benchmarks.quality_experiments import EXPERIMENTS, LENETS, Experiment
from benchmarks.quality_methods import METHODS, RECOMMENDED, TFMOT, UNIFORM
from benchmarks.reporting import Requirement, Row, Study

SEEDS = 5
# Accuracies that must be reached at these sparsities, in percent.
_ACCURACIES = {
    LENETS[0]: {0.98: 92.0, 0.99: 89.5},
    LENETS[1]: {0.98: 95.5, 0.99: 93.5},
}
_BELOW_DENSE = 0.5
"""How many points of accuracy 95 % zeros may cost."""
_SHARES = {0.5: 1 / 3, 0.9: 1 / 10}
"""The share of uniform's error that example 1 may have left."""


def measure(quick: bool, peer_cache: Path) -> Study:
    """Train every experiment with every method, each experiment in a process of its own."""
    found = {each.name: compared(each, quick) for each in EXPERIMENTS.values()}
    rows = [row for name, result in found.items() for row in rows_of(EXPERIMENTS[name], result)]
    settings = {
        "seeds": 1 if quick else SEEDS,
        "experiments": {
            name: {
                "backend": EXPERIMENTS[name].backend,
                "batch_size": EXPERIMENTS[name].batch_size,
                "epochs": EXPERIMENTS[name].epochs,
                "original_epochs": _original_epochs(EXPERIMENTS[name]),
                "original_learning_rate": EXPERIMENTS[name].learning_rate,
                "peak": EXPERIMENTS[name].peak,
                "classes": EXPERIMENTS[name].classes,
                **result,
            }
            for name, result in found.items()
        },
    }
    return Study(
        "Quality after pruning: error on the test data, median of the seeds",
        settings,
        rows,
        [] if quick else requirements(found),
    )


def compared(experiment: Experiment, quick: bool) -> dict[str, Any]:
    """Return what each method came to: see `benchmarks.quality_worker.compare`.

    Raises `RuntimeError` if the child fails.
    """
    with Child("benchmarks.quality_worker", experiment.backend) as child:
        found: dict[str, Any] = child.ask(
            "compare",
            experiment=experiment.name,
            methods=[each.name for each in METHODS if each.core or experiment.every_method],
            targets=experiment.targets[:1] if quick else experiment.targets,
            epochs=2 if quick else experiment.epochs,
            original_epochs=2 if quick else _original_epochs(experiment),
            repeats=1 if quick else SEEDS,
        )
    return found


def _original_epochs(experiment: Experiment) -> int:
    return experiment.original_epochs or experiment.epochs


def rows_of(experiment: Experiment, found: Mapping[str, Any]) -> list[Row]:
    """Return a row for each method and target: median and range of the errors."""
    return [
        {
            "experiment": experiment.name,
            "zeros_percent": 100 * each["target"],
            "method": each["method"],
            "median_error": median(errors) if errors else None,
            "lowest": min(errors, default=None),
            "highest": max(errors, default=None),
            "failed": len(each["errors"]) - len(errors) if each["errors"] else int(not errors),
        }
        for each in found["attempts"]
        for errors in (finite_errors(each),)
    ]


def finite_errors(attempt: Mapping[str, Any]) -> list[float]:
    """Return the errors of an attempt's repeats, or of its only training, that are finite.

    >>> finite_errors({"error": 0.2, "errors": [0.1, None, 0.2]}), finite_errors({"error": None})
    ([0.1, 0.2], [])
    """
    return [each for each in attempt.get("errors") or [attempt["error"]] if each is not None]


def requirements(found: Mapping[str, Mapping[str, Any]]) -> list[Requirement]:
    """Return the bounds that the recommended method must keep."""

    def error(experiment: str, target: float, method: str) -> float:
        (attempt,) = (
            each
            for each in found[experiment]["attempts"]
            if (each["target"], each["method"]) == (target, method)
        )
        return median(finite_errors(attempt) or [float("inf")])

    required = [
        Requirement(
            f"example 1, {100 * target:g} % zeros: error to that of {other}",
            error("example 1", target, RECOMMENDED) / error("example 1", target, other),
            limit,
        )
        for target, limit in _SHARES.items()
        for other in (TFMOT, UNIFORM)
    ]
    for name, accuracies in _ACCURACIES.items():
        dense = 100 * (1 - found[name]["original_error"])
        bounds = {0.95: dense - _BELOW_DENSE} | accuracies
        required += [
            Requirement(
                f"{name}, {100 * target:g} % zeros: accuracy, %",
                100 * (1 - error(name, target, RECOMMENDED)),
                bound,
                at_least=True,
            )
            for target, bound in bounds.items()
        ]
    return required
