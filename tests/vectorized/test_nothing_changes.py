"""Nothing of the caller's changes, and the same call gives the same bits."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import open_data
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]


def test_nothing_of_the_callers_changes(results: Any) -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(1)]
    )
    own = keras.optimizers.SGD(0.3, momentum=0.9)
    model.compile(own, "mae", metrics=["mse"])
    model.fit(X, Y, epochs=1, verbose=0)
    optimizer = keras.optimizers.Adam(0.25)
    training = Training("mse", optimizer, epochs=2, batch_size=16, seed=3)
    tasks = [Task(name, ConstantSparsity(0.5), training) for name in ("a", "b")]
    x, y = X.copy(), Y.copy()
    variables = [*model.variables, *own.variables, *model.metrics_variables]
    before = [np.array(variable) for variable in variables]
    random.seed(11)
    np.random.seed(11)
    python_state, numpy_state = random.getstate(), str(np.random.get_state())
    live = {id(device) for device in jax.local_devices()}

    def train() -> Any:
        engine = VectorizedEngine(model, open_data((x, y), training, "data"), training, attempts=2)
        return results(engine, tasks)

    first, second = train(), train()
    for one, other in zip(first, second, strict=True):
        one.check_same(other)
    first[0].check_same(first[1])
    assert random.getstate() == python_state
    assert str(np.random.get_state()) == numpy_state
    for array, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(array, np.array(variable))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert not optimizer.built
    assert model.optimizer is own
    assert model.loss == "mae"
    assert {id(device) for device in jax.local_devices()} == live
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()


WITH_64_BITS = """
import jax, keras, numpy as np
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import PolynomialDecay
from trimgrid.training import Task, Training

assert jax.config.jax_enable_x64
x = np.random.default_rng(0).random((50, 6))
data = x, (x[:, :1] * 3).astype("int64")
keras.utils.set_random_seed(5)
model = keras.Sequential([
    keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dropout(0.3),
    keras.layers.BatchNormalization(), keras.layers.Dense(3),
])
training = Training(
    keras.losses.SparseCategoricalCrossentropy(from_logits=True), keras.optimizers.SGD(0.1),
    epochs=3, batch_size=16, seed=3, metrics=("accuracy",), class_weight={1: 2.0},
)
data = open_data(data, training, "data", class_weight=True)
task = Task("a", PolynomialDecay(0.1, 0.9, frequency=2), training)
found = []
for engine in (
    SequentialEngine(model, data, data), VectorizedEngine(model, data, training, data)
):
    ((_, trained),) = engine.train([task])
    found.append(([np.array(each) for each in trained.model.get_weights()], trained.history))
for one, other in zip(found[0][0], found[1][0]):
    assert one.dtype == other.dtype == np.float32
    np.testing.assert_array_equal(one == 0, other == 0)
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
for key, values in found[0][1].items():
    np.testing.assert_allclose(values, found[1][1][key], rtol=1e-4, err_msg=key)
"""


@pytest.mark.slow
def test_with_64_bits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_64_BITS],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
