"""Attempts that are not trained, in runs: kept, measured, repeated, drawn and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import masks
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.grids.grid import AttemptConfig
from trimgrid.iterative import IterativePruning
from trimgrid.loggers.facts import curves, parameters
from trimgrid.one_shot import OneShot
from trimgrid.report.prediction_panels import save_predictions
from trimgrid.report.tradeoff import save_tradeoff
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.running import run_grid
from trimgrid.runs.study import Study
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
CUT = AttemptConfig("cut", OneShot(0.5))
SLASHED = AttemptConfig("slashed", OneShot(0.9), seed=7)
HALF = AttemptConfig("half", ConstantSparsity(0.5, frequency=2))
ROUNDS = AttemptConfig("rounds", IterativePruning(0.5, 0.3, rewind="weights"))


def build() -> Any:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(12, activation="relu"), layers.Dense(1)], name="small"
    )


def study(model: Any, **options: Any) -> Study:
    test = X[40:], Y[40:]
    options |= {"epochs": 2, "batch_size": 8, "seed": 1}
    return Study(model, (X[:32], Y[:32]), test=test, loss="mse", **options)


def run(of: Study, grid: Any, folder: Path, **options: Any) -> Any:
    return of.run(grid, folder, progress=False, tflite=False, **options)


def cut(model: Any, sparsity: float) -> list[Any]:
    return [
        np.where(masks.magnitude_mask(each, sparsity), each, 0) if each.ndim == 2 else each
        for each in model.get_weights()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_beside_others(tmp_path: Path, repeats: int) -> None:
    model = build()
    reported: list[str] = []
    results = run(
        study(model), [CUT, HALF, SLASHED, ROUNDS], tmp_path, repeats=repeats,
        on_result=lambda info: reported.append(info.name),
    )  # fmt: skip
    assert reported == [ORIGINAL, "cut", "half", "slashed", "rounds"]
    for name, sparsity in (("cut", 0.5), ("slashed", 0.9)):
        found = results[name]
        assert (found.status, found.history) == ("ok", {"seed": [], "epoch": []})
        assert len(found.seeds) == repeats
        loaded = keras.saving.load_model(found.model_file, compile=False)
        for mine, its in zip(loaded.get_weights(), cut(model, sparsity), strict=True):
            np.testing.assert_array_equal(mine, its)
        assert found.error == pytest.approx(float(np.mean((loaded(X[40:]) - Y[40:]) ** 2)))
        low, high = found.error_range or (found.error, found.error)
        assert low == high == found.error
        assert curves(found) == []
    assert parameters(results["cut"])["schedule.target_sparsity"] == 0.5
    assert len(results["half"].history["loss"]) == 2 * repeats
    assert results["cut"].zero_weights < results["slashed"].zero_weights
    assert not list((tmp_path / "checkpoints").glob("*"))
    save_predictions(results, X[40:, 0], Y[40:], tmp_path / "predictions.png")
    save_tradeoff(results, tmp_path / "tradeoff.png", "zipped_keras_size")


def test_nothing_is_trained_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    of = study(build())
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", None)
        results = run(of, [CUT, SLASHED], tmp_path, engine="sequential", say=said.append)
    assert [each.name for each in results] == [ORIGINAL, "cut", "slashed"]
    assert said[-1].startswith("Engine: sequential on")
    assert said[-1].endswith("no attempt is trained.")
    # The run goes on with attempts that are trained, and does the others no second time.
    asked: list[str] = []
    train = SequentialEngine.train

    def watched(self: Any, tasks: Any, *rest: Any) -> Any:
        asked.extend(task.name for task in tasks)
        return train(self, tasks, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(SequentialEngine, "train", watched)
        results = run(of, [CUT, HALF, SLASHED], tmp_path, engine="sequential")
    assert asked == ["half"]
    assert len(results) == 4


def test_from_an_original_that_is_trained_first(tmp_path: Path) -> None:
    results = run(study(build(), pretrain_epochs=2), [CUT], tmp_path)
    original = keras.saving.load_model(results[ORIGINAL].model_file, compile=False)
    loaded = keras.saving.load_model(results["cut"].model_file, compile=False)
    for mine, its in zip(loaded.get_weights(), cut(original, 0.5), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_in_run_grid() -> None:
    model = build()
    said: list[str] = []
    training = Training("mse", epochs=2)

    def error(model: Any) -> float:
        return float(np.abs(model.get_weights()[0]).sum())

    options: dict[str, Any] = {"pretrain_epochs": 0, "say": said.append}
    infos = list(run_grid(model, [CUT, SLASHED], (X, Y), training, error, None, **options))
    errors = [float(np.abs(cut(model, sparsity)[0]).sum()) for sparsity in (0.0, 0.5, 0.9)]
    assert [info.error for info in infos] == pytest.approx(errors)
    # Whatever the engine that would train: there is nothing to compile for it.
    assert [line.split(" on ")[0] for line in said] == ["Engine: sequential"]
