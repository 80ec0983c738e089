"""What comes out of an attempt does not depend on how, where and beside whom it is trained."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, open_data
from trimgrid.engines import windows
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((12100, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=2, batch_size=200, seed=3)
SCHEDULES = [
    PolynomialDecay(0.1, 0.9, frequency=3),
    *(ConstantSparsity(tenth / 10, begin_step=tenth, frequency=2) for tenth in range(1, 8)),
    None,
]
TASKS = [Task(f"{i}", each, TRAINING) for i, each in enumerate(SCHEDULES)]


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


def opened(data: Any = (X, Y)) -> Any:
    return open_data(data, TRAINING, "data")


def validation() -> ArrayData:
    return ArrayData((X[:90], Y[:90]), 40)


def engine(model: Any, **options: Any) -> VectorizedEngine:
    data = options.pop("data", None) or opened()
    return VectorizedEngine(model, data, TRAINING, validation(), **options)


@pytest.fixture(scope="module")
def expected(model: Any, results: Any) -> Any:
    """All in one group: nine attempts in blocks of two, three blocks on each of two devices."""
    assert jax.local_device_count() == 2
    return results(engine(model, attempts=9), TASKS)


@pytest.mark.parametrize("attempts", [3, 40])
def test_groups_of_any_size(model: Any, results: Any, expected: Any, attempts: int) -> None:
    found = results(engine(model, attempts=attempts), TASKS)
    for one, other in zip(found, expected, strict=True):
        one.check_same(other)


def test_order_of_the_grid_alone_and_beside_others(model: Any, results: Any, expected: Any) -> None:
    shared = engine(model, attempts=4)
    order = [4, 0, 8, 2, 7, 1, 5, 3, 6]
    for place, found in zip(order, results(shared, [TASKS[i] for i in order]), strict=True):
        found.check_same(expected[place])
    for place in (0, 8):
        results(shared, [TASKS[place]])[0].check_same(expected[place])


def test_beside_one_that_diverges(model: Any, results: Any, expected: Any) -> None:
    bad = Task("bad", None, TRAINING.with_learning_rate(1e38))
    tasks = [bad, *TASKS[:3], bad, *TASKS[3:]]
    found = results(engine(model, attempts=11), tasks)
    assert found.pop(4).failure == found.pop(0).failure is not None
    for one, other in zip(found, expected, strict=True):
        one.check_same(other)


def test_in_chunks(model: Any, results: Any, expected: Any) -> None:
    # So little memory that the data has no room in it twice.
    chunked = engine(model, attempts=9, memory=1_000_000)
    assert not chunked._source.resident
    assert 1 < chunked._source.capacity < chunked._source.steps
    for one, other in zip(results(chunked, TASKS), expected, strict=True):
        one.check_same(other)


def test_in_several_windows(
    model: Any, results: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "_TAKE_BYTES", 10_000)
    several = engine(model, attempts=9)
    assert several._source.epochs == 1
    for one, other in zip(results(several, TASKS), expected, strict=True):
        one.check_same(other)


@pytest.mark.slow
def test_beside_other_seeds(model: Any, results: Any, expected: Any) -> None:
    """With one order of the data, and with several of which each attempt follows its own."""
    repeats = [
        Task(task.name, task.schedule, replace(TRAINING, seed=TRAINING.seed + repeat))
        for task in TASKS[:3]
        for repeat in range(3)
    ]
    found = results(engine(model, attempts=9, seeds=3), repeats)
    for one, other in zip(found[::3], expected[:3], strict=True):
        one.check_same(other)
    # Chunks have one order at a time: seed after seed.
    chunked = engine(model, attempts=9, seeds=3, memory=1_000_000)
    assert not chunked._source.resident
    for one, other in zip(results(chunked, repeats), found, strict=True):
        one.check_same(other)
    # More seeds than were foreseen.
    for one, other in zip(results(engine(model, attempts=9), repeats), found, strict=True):
        one.check_same(other)


ON_ONE_DEVICE = """
import sys
import jax, keras, numpy as np
from trimgrid.data.sources import ArrayData
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.models import load_model
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

folder = sys.argv[1]
data = dict(np.load(f"{folder}/data.npz"))
training = Training("mse", keras.optimizers.Adam(0.01), epochs=2, batch_size=200, seed=3)
schedules = [PolynomialDecay(0.1, 0.9, frequency=3)]
schedules += [ConstantSparsity(t / 10, begin_step=t, frequency=2) for t in range(1, 8)] + [None]
engine = VectorizedEngine(
    load_model(f"{folder}/model.keras"), ArrayData((data["x"], data["y"]), 200), training,
    ArrayData((data["x"][:90], data["y"][:90]), 40), attempts=9,
)
found = {"devices": jax.local_device_count()}
for place, trained in engine.train([Task("", each, training) for each in schedules]):
    for i, weights in enumerate(trained.model.get_weights()):
        found[f"{place}/{i}"] = weights
    for key, values in trained.history.items():
        found[f"{place}/{key}"] = values
np.savez(f"{folder}/found.npz", **found)
"""


@pytest.mark.slow
def test_on_one_device(model: Any, expected: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    done = subprocess.run(
        [sys.executable, "-c", ON_ONE_DEVICE, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "found.npz"))
    assert found["devices"] == 1
    for place, each in enumerate(expected):
        for i, weights in enumerate(each.weights):
            np.testing.assert_array_equal(found[f"{place}/{i}"], weights)
        for key, values in each.history.items():
            # What is logged plays no part in the training: XLA may sum it in another order.
            np.testing.assert_allclose(found[f"{place}/{key}"], values, rtol=1e-6)
