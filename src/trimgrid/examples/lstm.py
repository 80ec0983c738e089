"""Example 2: an LSTM learns a sine and forecasts it by feeding its own predictions back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike, NDArray

from trimgrid.errors import InputError
from trimgrid.examples.data import Split
from trimgrid.randomness import isolated_randomness

WINDOW = 6
STEPS = 400

TRAIN_TIMES = np.arange(0, 200, 0.5)
TEST_TIMES = np.arange(200, 400, 0.5)


def series(times: ArrayLike) -> NDArray[np.float32]:
    """Return the series to forecast, ``2 * sin(t / 10)``, at the times given.

    >>> series([0.0]).tolist()
    [0.0]
    """
    return (2 * np.sin(np.asarray(times) / 10)).astype(np.float32)


def load_data() -> Split:
    """Return the windows that train, and the one forecast that tests, as the article has them.

    Training: 394 windows of 6 values, shape (394, 6, 1), each with the value that follows, shape
    (394, 1). Test: one window, the last 6 values of the training time, shape (1, 6, 1), and the
    400 values after it, shape (1, 400), at `TEST_TIMES`: use `forecast` to predict them. There is
    no validation data.

    >>> split = load_data()
    >>> split.train[0].shape, split.test[0].shape, split.test[1].shape
    ((394, 6, 1), (1, 6, 1), (1, 400))
    """
    past, future = series(TRAIN_TIMES), series(TEST_TIMES)
    windows = np.lib.stride_tricks.sliding_window_view(past, WINDOW)[:-1, :, np.newaxis]
    start = past[np.newaxis, -WINDOW:, np.newaxis]
    return Split(
        train=(windows.copy(), past[WINDOW:, np.newaxis]),
        validation=None,
        test=(start, future[np.newaxis]),
    )


def build_model() -> keras.Model:
    """Return the article's network, new: 6 values in, an LSTM of 80 units, 1 value out.

    The layers have names of their own, so that the size of the saved file does not depend on how
    many layers the process made before.

    >>> build_model().count_params()
    26321
    """
    return keras.Sequential(
        [
            keras.Input((WINDOW, 1), name="input_layer"),
            layers.LSTM(80, activation="tanh", name="lstm"),
            layers.Dense(1, name="dense"),
        ],
        name="long_short_term_memory_model",
    )


def forecast(model: keras.Model, window: ArrayLike, steps: int = STEPS) -> NDArray[np.float32]:
    """Predict `steps` values, each prediction fed back as the last value of the next window.

    `model` maps windows of shape (n, length, 1) to the next values of shape (n, 1). `window` has
    that shape, or (length, 1) for a single one. Returns the predictions, shape (n, steps), or
    (steps,) for a single window.

    All steps are one compiled program on the JAX and the TensorFlow backend. Models of the same
    config share it: it is compiled for the first one, for the others only their weights change.

    Raises `InputError` for a window of another shape and for less than one step.

    >>> forecast(build_model(), np.zeros((6, 1)), steps=3).tolist()
    [0.0, 0.0, 0.0]
    """
    start = np.asarray(window, np.float32)
    length = model.input_shape[1]
    if start.ndim not in (2, 3) or start.shape[-2:] != (length, 1):
        raise InputError(
            f"A window must have the shape ({length}, 1) or (n, {length}, 1). "
            f"Received: window of shape {start.shape}. Reshape it."
        )
    if steps < 1:
        raise InputError(f"A forecast must have a step. Received: steps={steps}. Give 1 or more.")
    windows = start if start.ndim == 3 else start[np.newaxis]
    program = _forecast_program(_architecture(model), steps)
    trainable = [ops.convert_to_tensor(each) for each in model.trainable_variables]
    fixed = [ops.convert_to_tensor(each) for each in model.non_trainable_variables]
    values = program(trainable, fixed, ops.convert_to_tensor(windows))
    forecasts: NDArray[np.float32] = ops.convert_to_numpy(values)
    return forecasts if start.ndim == 3 else forecasts[0]


def _architecture(model: keras.Model) -> str:
    """Return the model without its weights and its training settings, as JSON text."""
    config = keras.saving.serialize_keras_object(model)
    return json.dumps({key: value for key, value in config.items() if key != "compile_config"})


@lru_cache(maxsize=8)
def _forecast_program(architecture: str, steps: int) -> Callable[..., Any]:
    with isolated_randomness(0):
        model = keras.saving.deserialize_keras_object(json.loads(architecture))

    def run(trainable: list[Any], fixed: list[Any], windows: Any) -> Any:
        def predict_next(step: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            windows, values = carry
            output, _ = model.stateless_call(trainable, fixed, windows, training=False)
            value = ops.cast(output, "float32")
            windows = ops.concatenate([windows[:, 1:], value[:, :, np.newaxis]], axis=1)
            return windows, ops.slice_update(values, (0, step), value)

        # Not ops.scan: on TensorFlow it wants every output to have the carry's shape.
        nothing_yet = ops.zeros((windows.shape[0], steps), dtype="float32")
        _, values = ops.fori_loop(0, steps, predict_next, (windows, nothing_yet))
        return values

    return _compiled(run)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled by the framework that Keras runs on."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return cast(Callable[..., Any], jax.jit(function))
    if backend == "tensorflow":
        import tensorflow as tf

        return cast(Callable[..., Any], tf.function(function, autograph=False))
    raise InputError(
        "A forecast runs on the backends jax and tensorflow. "
        f"Received: backend={backend!r}. Set KERAS_BACKEND to one of them."
    )
