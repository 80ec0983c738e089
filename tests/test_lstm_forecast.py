"""The forecast in one compiled call equals feeding predictions back one by one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.errors import InputError
from trimgrid.examples import lstm
from trimgrid.models import copy_model

# Both in one process: the 150 calls one by one, and the one call for a first and a second model.
PROGRAM = """
import json, sys, time
from trimgrid.startup import start_keras
start_keras()
import keras, numpy as np
from trimgrid.examples import lstm

keras.utils.set_random_seed(1)
split = lstm.load_data()
model = lstm.build_model()
model.compile("adam", "mse")
model.fit(*split.train, batch_size=50, epochs=6, verbose=0)
window = split.test[0].copy()
# Each backend's quicker way to predict one batch.
on_jax = keras.config.backend() == "jax"
expected = []
for _ in range(150):
    prediction = model.predict(window, verbose=0) if on_jax else model.predict_on_batch(window)
    expected.append(float(prediction[0, 0]))
    window = np.concatenate([window[:, 1:], prediction[:, np.newaxis]], axis=1)
seconds = []
for each in (model, model.__class__.from_config(model.get_config())):
    begin = time.perf_counter()
    values = lstm.forecast(each, split.test[0], 150)
    seconds.append(time.perf_counter() - begin)
    if each is model:
        got = values[0].tolist()
print(json.dumps([keras.config.backend(), expected, got, seconds]))
"""


@pytest.mark.parametrize("backend", ["jax", pytest.param("tensorflow", marks=pytest.mark.slow)])
def test_forecast_equals_the_loop_and_is_compiled_once(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    used, expected, got, (cold, warm) = json.loads(done.stdout.splitlines()[-1])
    assert used == backend
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert warm < cold


@pytest.fixture(scope="module")
def model() -> Any:
    return lstm.build_model()


def test_windows_are_forecast_each_by_itself(model: Any) -> None:
    windows = np.random.RandomState(1).normal(size=(3, 6, 1))
    together = lstm.forecast(model, windows, steps=9)
    assert (together.shape, together.dtype.name) == ((3, 9), "float32")
    for window, values in zip(windows, together, strict=True):
        alone = lstm.forecast(model, window, steps=9)
        assert alone.shape == (9,)
        np.testing.assert_allclose(alone, values, atol=1e-6)


def test_weights_of_each_model_are_used_and_left_alone(model: Any) -> None:
    window = lstm.load_data().test[0]
    other = copy_model(model)
    other.set_weights([2 * weights for weights in model.get_weights()])
    before = model.get_weights()
    first, doubled = lstm.forecast(model, window, 5), lstm.forecast(other, window, 5)
    assert np.abs(first - doubled).max() > 1e-3
    np.testing.assert_array_equal(lstm.forecast(model, window, 5), first)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_training_settings_do_not_matter(model: Any) -> None:
    window = lstm.load_data().test[0]
    compiled = copy_model(model)
    compiled.compile("sgd", "mae")
    np.testing.assert_array_equal(
        lstm.forecast(compiled, window, 5), lstm.forecast(model, window, 5)
    )


def test_functional_model_and_other_length() -> None:
    inputs = keras.Input((4, 1))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs)))
    model.set_weights([np.array([[0.0], [0.0], [1.0], [1.0]]), np.zeros(1)])
    values = lstm.forecast(model, np.ones((4, 1)), steps=6)
    assert values.tolist() == [2, 3, 5, 8, 13, 21]


def test_weights_that_are_not_numbers_give_values_that_are_not(model: Any) -> None:
    broken = copy_model(model)
    broken.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    assert np.isnan(lstm.forecast(broken, np.zeros((6, 1)), 3)).all()


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    return [*state[1].tolist(), state[2]]


def test_global_random_state_is_left_alone() -> None:
    model = lstm.build_model()
    python, numpy = random.getstate(), numpy_state()
    lstm.forecast(model, np.zeros((6, 1)), steps=11)
    assert random.getstate() == python
    assert numpy_state() == numpy


@pytest.mark.parametrize(
    ("shape", "steps", "message"),
    [
        ((6,), 1, r"window of shape \(6,\)"),
        ((5, 1), 1, r"window of shape \(5, 1\)"),
        ((1, 6, 2), 1, r"window of shape \(1, 6, 2\)"),
        ((1, 1, 6, 1), 1, r"window of shape \(1, 1, 6, 1\)"),
        ((6, 1), 0, "steps=0"),
        ((6, 1), -3, "steps=-3"),
    ],
)
def test_bad_input_is_refused(model: Any, shape: tuple[int, ...], steps: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lstm.forecast(model, np.zeros(shape), steps)
