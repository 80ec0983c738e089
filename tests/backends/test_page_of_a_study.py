"""The page that a study writes at its end, and the settings of real studies on it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, losses, optimizers

from trimgrid.grids.grid import AttemptConfig
from trimgrid.report.page.facts import facts
from trimgrid.report.page.predictions import read_predictions
from trimgrid.run_directory.json_files import as_json
from trimgrid.run_directory.manifest import Manifest
from trimgrid.runs.results import Results
from trimgrid.runs.settings import training_settings
from trimgrid.runs.study import Study
from trimgrid.schedules import ConstantSparsity
from trimgrid.stored.results import StoredResults
from trimgrid.training import Training

X = np.random.default_rng(0).random((48, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True)
LABELS = np.arange(48)[:, None] % 3
HALF = AttemptConfig("half", ConstantSparsity(0.5, frequency=2))


def run(folder: Path, outputs: Any, targets: Any, loss: Any, **options: Any) -> Results:
    """Run a study of one attempt on a network whose last layers are these, by their names."""
    keras.utils.set_random_seed(2)
    given = keras.Input((5,), name="in")
    inner = layers.Dense(8, activation="relu", name="inner")(given)
    if isinstance(outputs, dict):
        ends: Any = {key: layer(inner) for key, layer in outputs.items()}
        train, test = ({k: v[s] for k, v in targets.items()} for s in (slice(32), slice(32, 48)))
    else:
        ends, train, test = outputs(inner), targets[:32], targets[32:]
    study = Study(
        keras.Model(given, ends, name="small"),
        (X[:32], train),
        **{"test": (X[32:], test), "loss": loss, "epochs": 1, "batch_size": 8} | options,
    )
    return study.run([HALF], folder, engine="sequential", tflite=False, progress=False)


def data_of(results: Results) -> Any:
    """What the page of a run, which was written at its end, knows."""
    page = (results.folder / "report.html").read_text("utf-8")
    packed = re.search('id="packed-data">([^<]*)<', page)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_a_study_of_two_outputs(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        {"total": layers.Dense(1, name="total"), "kind": layers.Dense(3, name="kind")},
        {"total": Y, "kind": LABELS},
        {"total": "mse", "kind": losses.SparseCategoricalCrossentropy(from_logits=True)},
    )
    data = data_of(results)
    (told,) = data["runs"]
    views = told["test"]["views"]
    kinds = {view["name"]: view["kind"] for view in views}
    assert kinds == {"kind": "classes", "total": "scatter"}
    half = data["attempts"][1]["details"]
    assert half["problems"] == {}
    # JAX sorts the outputs, TensorFlow leaves them in their order.
    of = {view["name"]: each for view, each in zip(views, half["predictions"], strict=True)}
    classes, points = of["kind"], of["total"]
    predicted = results["half"].y_pred
    np.testing.assert_allclose(points, predicted["total"][:, 0], rtol=1e-4)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (LABELS[32:, 0], predicted["kind"].argmax(-1)), 1)
    found = np.zeros((3, 3), int)
    for true, answer, count in classes["counts"]:
        found[true, answer] = count
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("loss", ["bce", "binary_crossentropy", losses.BinaryCrossentropy()])
def test_a_study_of_bits(tmp_path: Path, loss: Any) -> None:
    results = run(tmp_path, layers.Dense(1, "sigmoid", name="out"), LABELS % 2, loss)
    (view,) = read_predictions(results).views
    np.testing.assert_array_equal(
        view.of(results["half"].y_pred), results["half"].y_pred[:, 0] > 0.5
    )


def test_a_study_without_test_data(tmp_path: Path) -> None:
    results = run(
        *(tmp_path, layers.Dense(1, name="out"), Y, "mse"),
        test=None,
        error=lambda model: float(model.count_params()),
    )
    (told,) = data_of(results)["runs"]
    assert told["test"]["problem"] == "The run directory holds no test data."


def own_loss(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


DECAY = optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ({"loss": "MSE"}, "Loss", r"(?i)mse"),
        ({"loss": losses.Huber(2.0)}, "Loss", r"Huber\(.*\)"),
        ({"loss": {"a": "mse", "b": losses.Huber()}}, "Loss", r"a: mse, b: Huber\(.*\)"),
        ({"loss": ["mse", None]}, "Loss", "mse, none"),
        ({"loss": own_loss}, "Loss", "own_loss"),
        ({"loss": losses.mean_squared_error}, "Loss", "mean_squared_error"),
        ({"optimizer": "Adam"}, "Optimizer", "adam"),
        ({"optimizer": optimizers.SGD(0.5)}, "Optimizer", r"SGD\(learning_rate=0\.5.*\)"),
        (
            {"optimizer": optimizers.SGD(DECAY)},
            "Optimizer",
            r"SGD\(learning_rate=ExponentialDecay\(initial_learning_rate=0\.1, .*\).*\)",
        ),
        ({"epochs": 7}, "Epochs", "7 of each attempt"),
        ({"batch_size": 5}, "Batch size", "5"),
    ],
)
def test_settings_of_a_study(tmp_path: Path, options: dict[str, Any], name: str, text: str) -> None:
    given: dict[str, Any] = {"loss": "mse", "epochs": 1} | options
    training = training_settings(Training(**given))
    manifest = Manifest(tmp_path, {"training": as_json(training)}, {}, ())
    assert re.fullmatch(text, dict(facts(StoredResults(manifest, [])))[name])


def test_a_page_that_fails_costs_no_run(tmp_path: Path) -> None:
    said: list[str] = []
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    study = Study(model, (X[:32], Y[:32]), test=(X[32:], Y[32:]), loss="mse", epochs=1)
    done = study.run([HALF], tmp_path, engine="sequential", tflite=False, progress=False)
    (done.folder / "report.html").unlink()
    (done.folder / "report.html").mkdir()
    resumed = study.run(
        [HALF], tmp_path, engine="sequential", tflite=False, progress=False, say=said.append
    )
    assert [each.error for each in resumed] == [each.error for each in done]
    (told,) = [line for line in said if "page" in line]
    assert told.startswith("The page could not be written: IsADirectoryError: ")
    with pytest.raises(OSError, match=r"report\.html"):
        resumed.report()
