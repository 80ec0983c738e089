"""The benchmark of quality: its methods, its figures, its tables; and a tiny run of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import quality, quality_report, quality_worker
from benchmarks.quality_experiments import EXPERIMENTS, Experiment, digits
from benchmarks.quality_methods import METHODS, RECOMMENDED, TFMOT, UNIFORM, Goal
from trimgrid.grids.grid import check_grid
from trimgrid.grids.recommended import recommended_attempts

GOAL = Goal(0.9, steps=400, peak=0.005, original_rate=0.001)


def attempt(method: str, target: float, errors: list[float | None]) -> dict[str, Any]:
    return {"method": method, "target": target, "error": errors[0], "errors": errors}


def result(classes: bool, original: float, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "classes": classes,
        "weights": 4289,
        "epochs": 100,
        "steps": 600,
        "original_error": original,
        "attempts": attempts,
    }


def test_every_method_makes_an_attempt_of_its_own() -> None:
    grid = [method.named(GOAL) for method in METHODS]
    check_grid(grid, steps=GOAL.steps)  # also that no two have the same name
    assert all("90 %" in each.name for each in grid)


def test_the_recommended_methods_are_those_of_the_recommended_grid() -> None:
    recommended = recommended_attempts([(1000, 10)], GOAL.steps, GOAL.original_rate)
    wanted = [each for each in recommended if each.name.startswith("lamp 90 %")]
    found = [method.attempt(GOAL) for method in METHODS if "recommended" in method.name]

    def facts(attempts: list[Any]) -> set[Any]:
        return {(a.pruning_schedule, a.allocation, a.learning_rate) for a in attempts}

    assert facts(found) == facts(wanted)


def test_experiments_are_whole() -> None:
    for name, each in EXPERIMENTS.items():
        assert each.name == name
        assert list(each.targets) == sorted(each.targets)
        assert each.peak == 5 * each.learning_rate


def test_digits_are_shared_out_by_class() -> None:
    (x, y), (x_test, y_test) = digits()
    assert x.shape == (4000, 28, 28, 1)
    assert x_test.shape == (1000, 28, 28, 1)
    assert np.bincount(y).tolist() == [400] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert x.max() == 1
    images = {each.tobytes() for each in x_test}
    assert sum(each.tobytes() in images for each in x) <= 2  # MNIST has a few digits twice


def test_rows_count_what_failed() -> None:
    experiment = Experiment("made up", lambda: None, (0.5,), epochs=1, batch_size=1)  # type: ignore[arg-type, return-value]
    found = result(False, 0.1, [attempt("a", 0.5, [0.3, None, 0.1]), attempt("b", 0.5, [None])])
    first, second = quality.rows_of(experiment, found)
    assert (first["median_error"], first["lowest"], first["failed"]) == (0.2, 0.1, 1)
    assert (second["median_error"], second["highest"], second["failed"]) == (None, None, 1)


def made_up(recommended: float, uniform: float) -> dict[str, dict[str, Any]]:
    errors = {RECOMMENDED: recommended, UNIFORM: uniform, TFMOT: uniform}
    mlp = [attempt(name, at, [error]) for name, error in errors.items() for at in (0.5, 0.9)]
    lenet = [attempt(RECOMMENDED, at, [0.05]) for at in (0.95, 0.98, 0.99)]
    return {
        "example 1": result(False, 0.1, mlp),
        "LeNet-300-100": result(True, 0.055, lenet),
        "LeNet-5": result(True, 0.02, lenet),
    }


def test_requirements_are_measured() -> None:
    required = {each.what: each for each in quality.requirements(made_up(0.25, 1.0))}
    half = required[f"example 1, 50 % zeros: error to that of {UNIFORM}"]
    assert (half.measured, half.met) == (0.25, True)
    assert not required[f"example 1, 90 % zeros: error to that of {TFMOT}"].met
    close = required["LeNet-300-100, 95 % zeros: accuracy, %"]
    assert math.isclose(close.limit, 94.0)
    assert close.met
    assert not required["LeNet-5, 95 % zeros: accuracy, %"].met  # 95 % where dense has 98 %
    assert not required["LeNet-5, 98 % zeros: accuracy, %"].met
    assert len(required) == 4 + 6


def test_what_diverged_meets_nothing() -> None:
    found = made_up(0.25, 1.0)
    for each in found["LeNet-5"]["attempts"]:
        each |= {"error": None, "errors": []}
    required = [each for each in quality.requirements(found) if each.what.startswith("LeNet-5")]
    assert not any(each.met for each in required)


def test_a_table_of_errors() -> None:
    attempts = [
        attempt(RECOMMENDED, 0.5, [2e-5, 1e-5, 3e-5]),
        attempt(RECOMMENDED, 0.9, [2e-4]),
        attempt(TFMOT, 0.5, [4e-4, 4e-4]),
        attempt(TFMOT, 0.9, [None]),
    ]
    assert quality_report.table("example 1", result(False, 1.5e-4, attempts)) == (
        "**example 1**, mean squared error: 4,289 weights, 100 epochs of 6 steps; "
        "the original: 1.5e-04.\n"
        "\n"
        "| method | 50 % zeros | 90 % zeros |\n"
        "|---|---|---|\n"
        f"| {TFMOT} | 4.0e-04 | failed |\n"
        f"| {RECOMMENDED} | **2.0e-05** (1.0e-05-3.0e-05) | **2.0e-04** |"
    )


def test_a_table_of_accuracies() -> None:
    attempts = [attempt(RECOMMENDED, 0.98, [0.07, 0.065, 0.08]), attempt(TFMOT, 0.98, [0.2])]
    text = quality_report.table("LeNet", result(True, 0.06, attempts))
    assert "accuracy in %" in text
    assert "the original: 94.0." in text
    assert text.splitlines()[-1] == f"| {RECOMMENDED} | **93.0** (92.0-93.5) |"


def test_the_page_gets_tables_and_picture(tmp_path: Path) -> None:
    page = tmp_path / "methods.md"
    marks = f"{quality_report.BEGIN}\nold\n{quality_report.END}"
    page.write_text(f"# Before\n{marks}\nAfter\n", encoding="utf-8")
    (tmp_path / "images").mkdir()
    for _ in range(2):  # writing again changes nothing
        quality_report.write({"settings": {"experiments": made_up(0.1, 1.0)}}, tmp_path)
        text = page.read_text(encoding="utf-8")
        assert text.startswith("# Before\n<!--")
        assert text.endswith("-->\nAfter\n")
        assert text.count("**LeNet-5**") == 1
        assert "old" not in text
    assert (tmp_path / "images" / "quality.png").read_bytes()[1:4] == b"PNG"


def test_a_tiny_run() -> None:
    unpruned = METHODS[-1].name
    found = quality_worker.compare(
        "diabetes",
        methods=[TFMOT, RECOMMENDED, unpruned],
        targets=[0.5, 0.8],
        epochs=1,
        original_epochs=1,
        repeats=2,
    )
    assert found["steps"] == 11
    cases = [(each["method"], each["target"]) for each in found["attempts"]]
    assert cases == [
        *((name, at) for name in (TFMOT, RECOMMENDED) for at in (0.5, 0.8)),
        (unpruned, 0.5),
    ]
    for each in found["attempts"]:
        assert each["status"] == "ok"
        assert len(quality.finite_errors(each)) == 2
    kernels = 10 * 64 + 64 * 32 + 32
    zeros = {(each["method"], each["target"]): each["zero_weights"] for each in found["attempts"]}
    assert zeros[RECOMMENDED, 0.8] - round(0.8 * kernels) in range(97)  # biases may be 0, too
    assert zeros[unpruned, 0.5] < 97
