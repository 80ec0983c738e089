"""Sensitivity: the errors of the model with each tensor pruned by hand, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import masks
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.models import copy_model
from trimgrid.one_shot import OneShot
from trimgrid.runs.results import load_results
from trimgrid.runs.study import Study

X = np.random.default_rng(0).random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]


def study(**options: Any) -> Study:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(9, activation="tanh", name="a"),
            layers.Dense(1, name="b"),
        ]
    )
    settings: dict[str, Any] = {"loss": "mse", "epochs": 1, "seed": 1} | options
    return Study(model, (X, Y), test=(X, Y), **settings)


def largest_mistake(model: Any) -> float:
    return float(np.abs(keras.ops.convert_to_numpy(model(X)) - Y).max())


@pytest.mark.parametrize("error", [None, largest_mistake])
def test_each_tensor_alone(error: Any) -> None:
    given = study(error=error)
    before = [np.array(each) for each in given.model.get_weights()]
    found = given.sensitivity([0.5, 0.2])
    assert list(found.weights) == ["a/kernel", "b/kernel"]
    copy = copy_model(given.model)
    for point in found:
        copy.set_weights(before)
        kernel = copy.get_layer(point.tensor.split("/")[0]).kernel
        weights = keras.ops.convert_to_numpy(kernel)
        kernel.assign(weights * masks.magnitude_mask(weights, point.sparsity))
        assert point.error == pytest.approx(given.evaluate(copy)[1], rel=1e-5)
    copy.set_weights(before)
    assert found.original_error == pytest.approx(given.evaluate(copy)[1], rel=1e-5)
    for mine, its in zip(before, given.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_it_is_kept_beside_a_run_of_the_same_study(tmp_path: Path) -> None:
    found = study().sensitivity([0.5], run_dir=tmp_path / "r")
    assert list(load_results(tmp_path / "r").sensitivity or ()) == list(found)
    figure = load_results(tmp_path / "r").plot_sensitivity()
    assert len(figure.axes[0].texts) == 2
    # Nothing was trained there: the folder takes another study, of which this is not known.
    results = study(seed=2).run([AttemptConfig("half", OneShot(0.5))], tmp_path / "r", tflite=False)
    assert results.sensitivity is None
    with pytest.raises(InputError, match="once it was found"):
        results.plot_sensitivity()
    with pytest.raises(InputError, match="settings that it was begun with"):
        study().sensitivity([0.5], run_dir=tmp_path / "r")


@pytest.mark.parametrize(
    ("sparsities", "message"),
    [([], "list of fractions"), (3, "list of fractions"), ([0.0], "above 0"), ([1.0], "sparsit")],
)
def test_what_are_no_sparsities(sparsities: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study().sensitivity(sparsities)
