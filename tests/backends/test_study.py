"""A study: what it takes, what it keeps, how it goes on, what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError, RunError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig
from trimgrid.run_directory.progress_file import Work, read_progress
from trimgrid.run_directory.store import remove_attempt
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.results import Results, load_results
from trimgrid.runs.study import Study
from trimgrid.schedules import ConstantSparsity, PolynomialDecay

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
HALF = AttemptConfig("half", ConstantSparsity(0.5, frequency=2))
MOST = AttemptConfig("most", PolynomialDecay(0.1, 0.9, frequency=2))


def build(optimizer: Any = None, loss: Any = None, units: int = 1) -> Any:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((5,), name="in"),
            layers.Dense(12, activation="relu", name="a"),
            layers.Dense(units, name="b"),
        ],
        name="small",
    )
    if loss is not None:
        model.compile(optimizer=optimizer or "adam", loss=loss, metrics=["mae"])
    return model


def study(model: Any = None, **options: Any) -> Study:
    settings: dict[str, Any] = {
        "train": (X[:32], Y[:32]),
        "validation": (X[32:40], Y[32:40]),
        "test": (X[40:], Y[40:]),
        "loss": "mse",
        "epochs": 2,
        "batch_size": 8,
        "seed": 1,
    } | options
    return Study(build() if model is None else model, **settings)


def run(folder: Path, grid: Any = (HALF, MOST), of: Study | None = None, **options: Any) -> Results:
    settings: dict[str, Any] = {"engine": "sequential", "tflite": False, "progress": False}
    settings |= options
    return (of or study()).run(grid, folder, **settings)


def written(folder: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("attempts/*/result.json")}


def test_what_a_run_gives_and_keeps(tmp_path: Path) -> None:
    model = build()
    before = [np.array(array) for array in model.get_weights()]
    seen: list[str] = []
    results = run(
        tmp_path / "run",
        of=study(model, pretrain_epochs=3),
        on_result=lambda info: seen.append(info.name),
    )
    assert seen == [info.name for info in results] == [ORIGINAL, "half", "most"]
    assert {info.status for info in results} == {"ok"}
    for mine, its in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert not model.compiled
    half = results["half"]
    assert half.zero_weights >= 36
    assert half.y_pred.shape == (8, 1)
    assert half.error == pytest.approx(float(np.mean((half.y_pred - Y[40:]) ** 2)), rel=1e-5)
    assert list(half.history) == ["seed", "epoch", "loss", "val_loss"]
    assert len(results.original.history["loss"]) == 3
    assert len(half.history["loss"]) == 2
    loaded = half.load()
    assert (loaded.get_weights()[0] == 0).sum() >= 30
    np.testing.assert_allclose(loaded.predict(X[40:], verbose=0), half.y_pred, rtol=1e-5)
    files = {path.name for path in half.folder.iterdir()}
    assert files == {
        *("attempt.json", "details.json", "history.csv"),
        *("model.keras", "predictions.npz", "result.json"),
    }
    details = half.details
    assert details is not None
    assert sum(each.zeros for each in details.tensors) == half.zero_weights
    assert {each.reason for each in details.tensors} == {None, "bias"}
    assert details.histogram is not None
    nonzero = sum(each.weights - each.zeros for each in details.tensors if each.reason is None)
    assert sum(details.histogram.counts) == nonzero
    assert details.steps == 8
    assert details.updates[-1][1] == 0.5
    assert json.loads((half.folder / "attempt.json").read_text())["config"]["seed"] is None


def test_a_trained_model_is_not_trained_again(tmp_path: Path) -> None:
    model = build()
    results = run(tmp_path, of=study(model))
    for mine, its in zip(results.original.load().get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert results.original.history == {"seed": [], "epoch": []}


def test_a_finished_run_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path)
    times = written(tmp_path)
    monkeypatch.delattr(SequentialEngine, "train")
    seen: list[str] = []
    again = run(tmp_path, on_result=lambda info: seen.append(info.name))
    assert written(tmp_path) == times
    assert again.to_dicts() == first.to_dicts()
    assert seen == [ORIGINAL, "half", "most"]


def test_attempts_are_added_and_removed(tmp_path: Path) -> None:
    both = run(tmp_path / "both").to_dicts()
    run(tmp_path / "run", [HALF])
    times = written(tmp_path / "run")
    added = run(tmp_path / "run", [MOST])
    assert [info.name for info in added] == [ORIGINAL, "half", "most"]
    assert added.to_dicts() == both
    assert written(tmp_path / "run").items() >= times.items()
    remove_attempt(tmp_path / "run", "half")
    assert [info.name for info in load_results(tmp_path / "run")] == [ORIGINAL, "most"]
    other = AttemptConfig("half", ConstantSparsity(0.4))
    assert run(tmp_path / "run", [other])["half"].status == "ok"


def test_interrupted_and_gone_on_with(tmp_path: Path) -> None:
    never = run(tmp_path / "never", of=study(pretrain_epochs=2), repeats=2)

    def stop(info: Any) -> None:
        if info.name == "half":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", of=study(pretrain_epochs=2), repeats=2, on_result=stop)
    assert load_results(tmp_path / "run").unfinished == ["most"]
    resumed = run(tmp_path / "run", of=study(pretrain_epochs=2), repeats=2)
    assert resumed.to_dicts() == never.to_dicts()
    assert resumed["most"].repeats == 2
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        p.name for p in (tmp_path / "never").iterdir()
    )


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        ({"epochs": 3}, {}, "training.epochs: 2 there, 3 here"),
        ({"batch_size": 16}, {}, "training.batch_size"),
        ({"train": (X[:32] + 1, Y[:32])}, {}, "data.train"),
        ({"model": "other weights"}, {}, "model"),
        ({"error": "mae"}, {}, "error"),
        ({}, {"repeats": 2}, "repeats: 1 there, 2 here"),
        ({}, {"tflite": True}, "tflite"),
    ],
)
def test_other_settings_are_refused(
    tmp_path_factory: pytest.TempPathFactory,
    other: dict[str, Any],
    options: dict[str, Any],
    message: str,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "other_settings"
    run(folder, [HALF])  # made once
    if other.get("model"):
        model = build()
        model.set_weights([array + 1 for array in model.get_weights()])
        other = {"model": model}
    with pytest.raises(InputError, match=message):
        run(folder, [HALF], of=study(**other), **options)
    assert [info.name for info in load_results(folder)] == [ORIGINAL, "half"]


def test_automatic_names_stay_when_a_grid_grows(tmp_path: Path) -> None:
    grid = {"target_sparsity": [0.5, 0.6], "frequency": 4}
    run(tmp_path, expand_grid(grid))
    times = written(tmp_path)
    grown = run(tmp_path, expand_grid(grid | {"frequency": [4, 3]}))
    assert [info.name for info in grown] == [
        ORIGINAL,
        "const sparsity 0.5",
        "const sparsity 0.6",
        "const sparsity 0.5, frequency 3",
        "const sparsity 0.6, frequency 3",
    ]
    assert written(tmp_path).items() >= times.items()
    with pytest.raises(InputError, match=r"'mine', which is the same as 'const sparsity 0\.5'"):
        run(tmp_path, [AttemptConfig("mine", ConstantSparsity(0.5, frequency=4))])


def test_a_name_stands_for_one_attempt(tmp_path: Path) -> None:
    run(tmp_path, [HALF])
    with pytest.raises(InputError, match=r"'half'.*0\.5.*0\.6"):
        run(tmp_path, [AttemptConfig("half", ConstantSparsity(0.6, frequency=2))])


def test_a_compiled_model_need_not_be_told_again(tmp_path: Path) -> None:
    model = build(keras.optimizers.SGD(0.05, momentum=0.9), "mae")
    model.fit(X[:32], Y[:32], verbose=0)
    iterations = int(model.optimizer.iterations)
    mine = study(model, loss=None)
    assert mine.error_name.endswith("mae")
    assert type(mine.training.optimizer).__name__ == "SGD"
    results = run(tmp_path, [HALF], of=mine)
    assert int(model.optimizer.iterations) == iterations
    assert "val_mae" in " ".join(results["half"].history)
    expected = float(np.mean(np.abs(results["half"].y_pred - Y[40:])))
    assert results["half"].error == pytest.approx(expected, rel=1e-5)


def test_a_model_and_data_from_files(tmp_path: Path) -> None:
    build("sgd", "mse").save(tmp_path / "model.keras")
    arrays: dict[str, Any] = {"x_train": X[:32], "x_val": X[32:40], "x_test": X[40:]}
    arrays |= {"y_train": Y[:32], "y_val": Y[32:40], "y_test": Y[40:]}
    np.savez(tmp_path / "data.npz", **arrays)
    from_files = Study(
        tmp_path / "model.keras", tmp_path / "data.npz", epochs=2, batch_size=8, seed=1
    )
    by_hand = study(build("sgd", "mse"), loss=None)
    assert (
        run(tmp_path / "files", of=from_files).to_dicts()
        == run(tmp_path / "hand", of=by_hand).to_dicts()
    )


def test_the_default_directory_has_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build().save("mine.keras")
    mine = study("mine.keras")
    mine.run([HALF], progress=False, tflite=False)
    assert [path.name for path in Path("runs").iterdir()] == ["mine"]


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    inner = layers.Dense(8, activation="relu", name="inner")(
        layers.Concatenate(name="both")([left, right])
    )
    outputs = {
        "total": layers.Dense(1, name="total")(inner),
        "kind": layers.Dense(3, activation="softmax", name="kind")(inner),
    }
    model = keras.Model({"left": left, "right": right}, outputs, name="two")
    x = {"left": X[:, :2], "right": X[:, 2:]}
    y = {"total": Y, "kind": np.arange(48)[:, None] % 3}

    def part(where: slice) -> Any:
        return ({k: v[where] for k, v in x.items()}, {k: v[where] for k, v in y.items()})

    two = Study(
        model,
        part(slice(32)),
        test=part(slice(32, 48)),
        loss={"total": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"total": 1.0, "kind": 0.5},
        epochs=2,
        batch_size=8,
    )
    results = run(tmp_path, [HALF], of=two)
    assert results["half"].status == "ok"
    predicted = results["half"].y_pred
    assert predicted["kind"].shape == (16, 3)
    picked = np.take_along_axis(predicted["kind"], y["kind"][32:], axis=1)
    expected = np.mean((predicted["total"] - Y[32:]) ** 2) - 0.5 * np.mean(np.log(picked))
    assert results["half"].error == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("error", ["mae", lambda y, p: float(np.mean(np.abs(y - p)))])
def test_errors_of_ones_own(tmp_path: Path, error: Any) -> None:
    results = run(tmp_path, [HALF], of=study(error=error))
    expected = float(np.mean(np.abs(results["half"].y_pred - Y[40:])))
    assert results["half"].error == pytest.approx(expected, rel=1e-5)


def test_an_error_of_the_model_needs_no_test_data(tmp_path: Path) -> None:
    mine = study(error=lambda model: float(model.count_params()), test=None, validation=None)
    assert run(tmp_path, [HALF], of=mine)["half"].error == 85


def test_what_failed_stays_failed(tmp_path: Path) -> None:
    wild = AttemptConfig("wild", ConstantSparsity(0.5), optimizer=keras.optimizers.SGD(1e18))
    results = run(tmp_path, [wild, HALF])
    assert results["wild"].status.startswith("training failed: ")
    assert math.isnan(results["wild"].error)
    assert run(tmp_path, [wild, HALF]).to_dicts() == results.to_dicts()


def test_damaged_files_are_named_and_left_alone(tmp_path: Path) -> None:
    results = run(tmp_path)
    damaged = results["half"].folder / "result.json"
    damaged.write_text(damaged.read_text()[:40])
    content = damaged.read_bytes()
    again = run(tmp_path)
    assert again["half"].status.startswith("damaged: result.json")
    assert again["most"].to_dict() == results["most"].to_dict()
    assert damaged.read_bytes() == content
    model = results.original.folder / "model.keras"
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(RunError, match=r"model\.keras.*truncated"):
        run(tmp_path, [HALF, MOST, AttemptConfig("new", ConstantSparsity(0.3))])
    assert run(tmp_path)["most"].to_dict() == results["most"].to_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "no-such-file.keras"}, "must exist"),
        ({"train": "no-such-file.npz"}, "no-such-file.npz"),
        ({"loss": None}, "needs the loss"),
        ({"loss": "mzee"}, "mzee"),
        ({"error": "accurracy"}, "accuracy"),
        ({"test": None, "validation": None}, "neither test nor validation"),
        ({"train": (X[:32], np.full((32, 1), np.nan))}, "NaN"),
        ({"train": (X[:32], Y[:31])}, "same number"),
        ({"train": (X[:32].astype(object), Y[:32])}, "object"),
        ({"test": (X[:, :3], Y)}, "test data must fit"),
        ({"epochs": 0}, "epochs"),
        ({"pretrain_epochs": -1}, "pretrain_epochs"),
        ({"loss": "sparse_categorical_crossentropy"}, "classes|labels|fit"),
    ],
)
def test_bad_input_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(**options)


def test_nothing_is_made_for_a_grid_that_can_not_run(tmp_path: Path) -> None:
    late = AttemptConfig("late", ConstantSparsity(0.5, begin_step=100))
    with pytest.raises(InputError, match="late: "):
        run(tmp_path / "run", [late])
    assert not (tmp_path / "run").exists()


def test_a_metric_of_several_values_has_a_column_for_each(tmp_path: Path) -> None:
    labels = np.eye(3, dtype="float32")[np.arange(48) % 3]
    model = build(units=3)
    three = Study(
        model,
        (X[:32], labels[:32]),
        test=(X[32:], labels[32:]),
        loss="mse",
        metrics=[keras.metrics.F1Score()],
        epochs=2,
    )
    history = run(tmp_path, [HALF], of=three)["half"].history
    columns = ["seed", "epoch", "f1_score_0", "f1_score_1", "f1_score_2", "loss"]
    assert sorted(history) == sorted(columns)


def test_a_mistyped_engine_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="engine must be one of"):
        run(tmp_path / "run", [HALF], engine="vectorised")
    assert not (tmp_path / "run").exists()
    assert run(tmp_path / "run", [HALF], engine="auto")["half"].status == "ok"


def test_a_run_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(info: Any) -> None:
        seen.append(read_progress(tmp_path))
        if info.name == "half" and len(seen) == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"of": study(pretrain_epochs=3), "repeats": 2, "on_result": look}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, **options)
    stopped = load_results(tmp_path).progress
    assert stopped is not None
    assert (seen[0].state, seen[0].epochs, seen[0].total_epochs) == (Work.TRAINING, 3, 3 + 8)
    assert (seen[0].names, seen[0].attempts) == ((ORIGINAL,), 1)
    assert (seen[1].epochs, seen[1].names) == (3 + 4, ("half",))
    assert (stopped.state, stopped.epochs, stopped.earlier_seconds) == (Work.STOPPED, 7, 0)
    finished = run(tmp_path, **options).progress
    assert finished is not None
    assert (finished.state, finished.epochs, finished.total_epochs) == (Work.FINISHED, 4, 4)
    assert finished.earlier_seconds == stopped.seconds > 0
    assert finished.seconds > stopped.seconds
    assert run(tmp_path, **options).progress == finished  # nothing was missing


def test_a_run_that_fails_tells_that_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise RunError("no memory")

    monkeypatch.setattr(SequentialEngine, "train", fail)
    with pytest.raises(RunError, match="no memory"):
        run(tmp_path)
    progress = read_progress(tmp_path)
    assert progress is not None
    assert (progress.state, progress.epochs, progress.total_epochs) == (Work.STOPPED, 0, 4)


def test_other_data_after_a_run_that_did_nothing(tmp_path: Path) -> None:
    def stop(info: Any) -> None:
        raise KeyboardInterrupt

    failing = study(error=lambda model: stop(model))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [HALF], of=failing)
    run(tmp_path, [HALF], of=study(train=(X[:32] + 1, Y[:32])))
    with np.load(tmp_path / "samples.npz") as samples:
        inputs = [samples[name] for name in samples.files if samples[name].shape == (32, 5)]
    np.testing.assert_array_equal(inputs[0], X[:32] + 1)


def test_batches_of_several_shapes(tmp_path: Path) -> None:
    inputs = keras.Input((None, 2), name="in")
    pooled = layers.GlobalAveragePooling1D(name="mean")(layers.Dense(8, name="a")(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="b")(pooled), name="lengths")

    def batches() -> Any:
        for length in (3, 5, 3):
            x = RANDOM.random((8, length, 2), dtype="float32")
            yield np.full_like(x, 0.5), np.ones((8, 1), "float32")

    mine = Study(model, batches, test=(X[:8, None, :2], Y[:8]), loss="mse", epochs=2)
    assert run(tmp_path, [HALF], of=mine)["half"].status == "ok"


def test_a_logger_whose_file_is_damaged_does_not_stop_the_run(tmp_path: Path) -> None:
    from trimgrid.loggers import open_logger

    half = run(tmp_path, [HALF])["half"]
    (half.folder / "history.csv").write_text("")
    said: list[str] = []
    results = run(
        tmp_path, [HALF, MOST], loggers=[open_logger("tensorboard", tmp_path)], say=said.append
    )
    assert results["most"].status == "ok"
    assert any("Not logged" in line and "history.csv" in line for line in said)
