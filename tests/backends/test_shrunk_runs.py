"""Runs that measure each model without its idle units too, at once and later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import shrink_model
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError
from trimgrid.export.files import measure_model
from trimgrid.grids.grid import AttemptConfig
from trimgrid.models import count_weights
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.results import Results, load_results
from trimgrid.runs.running import run_grid
from trimgrid.runs.study import Study
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
FEW = AttemptConfig("few", ConstantSparsity(0.01, frequency=2))
MOST = AttemptConfig("most", PolynomialDecay(0.1, 0.9, frequency=2))


def build() -> Any:
    keras.utils.set_random_seed(2)
    hidden = layers.Dense(12, activation="relu", name="a")
    parts = [keras.Input((5,), name="in"), hidden, layers.Dense(1, name="b")]
    return keras.Sequential(parts, name="small")


def run(folder: Path, of: Study | None = None, **options: Any) -> Results:
    study = of or Study(build(), (X[:32], Y[:32]), test=(X[32:], Y[32:]), loss="mse", epochs=2)
    settings: dict[str, Any] = {"engine": "sequential", "tflite": False, "progress": False}
    return study.run([FEW, MOST], folder, **(settings | options))


def told(folder: Path) -> dict[str, Any]:
    paths = folder.glob("attempts/*/result.json")
    read = [json.loads(path.read_text()) for path in paths]
    return {each["name"]: each for each in read}


@pytest.fixture(scope="module")
def shrunk_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "small"
    run(folder, shrink=True, on_result=lambda info: check_told(info.shrunk))
    return folder


def check_told(shrunk: Any) -> None:
    assert shrunk is not None


def test_what_is_measured_of_a_shrunk_model(shrunk_run: Path) -> None:
    most = load_results(shrunk_run)["most"]
    assert most.shrunk is not None
    oracle = shrink_model(most.load())
    sizes = measure_model(oracle.model)
    predicted = oracle.model.predict(X[32:], verbose=0)
    assert oracle.removed.keys() == {"a"}
    assert most.shrunk.removed == oracle.removed
    assert most.shrunk.units == oracle.removed["a"] >= 3
    counts = (most.shrunk.total_weights, most.shrunk.nonzero_weights)
    assert counts == count_weights(oracle.model)
    assert (most.shrunk.h5_size, most.shrunk.zipped_h5_size) == (sizes.h5.plain, sizes.h5.zipped)
    assert most.zipped_shrunk_keras_size == sizes.keras.zipped
    assert most.shrunk.error == pytest.approx(float(np.mean((predicted - Y[32:]) ** 2)), rel=1e-5)
    assert most.shrunk.error == pytest.approx(most.error, rel=1e-5)
    assert most.shrunk.reason is None
    assert most.shrunk.tflite_size is None
    assert {path.name for path in most.folder.iterdir()} == {
        *("attempt.json", "details.json", "history.csv"),
        *("model.keras", "predictions.npz", "result.json"),
    }
    assert not [*(shrunk_run / "work").glob("*")]


def test_where_nothing_leaves_the_whole_model_counts(shrunk_run: Path) -> None:
    results = load_results(shrunk_run)
    for name in (ORIGINAL, "few"):
        shrunk = results[name].shrunk
        assert shrunk is not None
        assert (shrunk.removed, shrunk.reason) == ({}, "No unit could be left out.")
        assert (shrunk.h5_size, np.isnan(shrunk.error)) == (None, True)
        assert shrunk.total_weights == results[name].total_weights
        assert results[name].zipped_shrunk_h5_size == results[name].zipped_h5_size
    size = "zipped_shrunk_h5_size"
    assert results.best(max_error=1e9, size=size).name == "most"
    assert results.sorted_by(size)[0].name == "most"
    (row,) = results.to_pandas().query("name == 'most'").to_dict("records")
    most = results["most"].shrunk
    assert most is not None
    assert (row["shrunk_weights"], row["shrunk_error"]) == (most.total_weights, most.error)
    assert row[size] == most.zipped_h5_size
    (row,) = results.to_pandas().query("name == 'few'").to_dict("records")
    assert (row["shrunk_error"], row[size]) == (results["few"].error, results["few"].zipped_h5_size)


def test_it_is_measured_later_without_training(
    shrunk_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "small"
    plain = run(folder)
    assert [each.shrunk for each in plain] == [None] * 3
    assert plain["most"].zipped_shrunk_h5_size is None
    before = {each.name: each.model_file.read_bytes() for each in plain}

    def no_training(*_: Any, **__: Any) -> Any:
        pytest.fail("It trains.")

    monkeypatch.setattr(SequentialEngine, "train", no_training)
    seen: list[Any] = []
    later = run(folder, shrink=True, on_result=seen.append)
    assert [each.name for each in seen] == [ORIGINAL, "few", "most"]
    assert {each.name: each.model_file.read_bytes() for each in later} == before
    first, second = told(shrunk_run), told(folder)
    assert [each.shrunk for each in seen] == [each.shrunk for each in later]
    for name, result in first.items():
        assert second[name]["id"] == result["id"]
        assert second[name]["shrunk"] == result["shrunk"]
    # Once it is measured it stays, with and without the option.
    monkeypatch.setattr("trimgrid.runs.shrinking.shrink_model", no_training)
    assert [each.shrunk for each in run(folder, shrink=True)] == [each.shrunk for each in later]
    assert [each.shrunk for each in run(folder)] == [each.shrunk for each in later]


def test_a_damaged_model_is_told_of(tmp_path: Path) -> None:
    few = run(tmp_path)["few"]
    few.model_file.write_bytes(b"no model")
    said: list[str] = []
    results = run(tmp_path, shrink=True, say=said.append)
    assert [each.shrunk is None for each in results] == [False, True, False]
    assert any(each.startswith("Not shrunk: ") and "'few'" in each for each in said)


def test_an_error_that_fails_on_the_smaller_model(tmp_path: Path) -> None:
    def error(model: Any) -> float:
        if model.count_params() < 85:
            raise LookupError("no such layer")
        return 0.5

    data = (X[:32], Y[:32])
    study = Study(build(), data, test=data, loss="mse", epochs=1, error=error)
    most = run(tmp_path, study, shrink=True)["most"]
    assert (most.status, most.error) == ("ok", 0.5)
    assert most.shrunk is not None
    assert most.shrunk.reason == "evaluation failed: LookupError: no such layer."
    assert most.shrunk.h5_size is not None
    assert most.shrunk.to_dict()["error"] is None


@pytest.mark.parametrize("shrink", ["yes", 1, None])
def test_a_flag_is_true_or_false(shrink: Any, tmp_path: Path) -> None:
    message = "shrink must be True or False. Received: shrink="
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", shrink=shrink)
    with pytest.raises(InputError, match=message):
        run_grid(build(), [FEW], (X, Y), Training("mse"), lambda model: 0.5, None, shrink=shrink)
    assert not (tmp_path / "run").exists()


def test_converted_with_any_engine_and_as_exported(shrunk_run: Path, tmp_path: Path) -> None:
    results = run(tmp_path / "run", engine="auto", tflite=True, shrink=True)
    most = results["most"]
    assert most.shrunk is not None
    assert most.shrunk.removed
    assert most.shrunk.reason is None
    exported = most.export(tmp_path / "small.tflite", shrink=True)
    assert (exported.size.plain, exported.size.zipped) == (
        most.shrunk.tflite_size,
        most.shrunk.zipped_tflite_size,
    )
    assert exported.size.plain < (most.tflite_size or 0)
    assert results.original.zipped_shrunk_tflite_size == results.original.zipped_tflite_size


def test_without_a_run_directory(shrunk_run: Path) -> None:
    def error(model: Any) -> float:
        return float(np.mean((model.predict(X[32:], verbose=0) - Y[32:]) ** 2))

    training = Training("mse", epochs=2, batch_size=32)
    *_, most = run_grid(
        *(build(), [MOST], (X[:32], Y[:32]), training, error, None),
        pretrain_epochs=0,
        engine="sequential",
        shrink=True,
    )
    known = load_results(shrunk_run)["most"].shrunk
    assert known is not None
    assert most.shrunk is not None
    assert most.shrunk.removed == known.removed
    assert most.shrunk.error == pytest.approx(known.error, rel=1e-5)
