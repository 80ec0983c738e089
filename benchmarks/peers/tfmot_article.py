"""The article's first two examples by the article's method: TFMOT on Keras 2 (tf_keras).

A program of its own, run in an environment of its own with TF_USE_LEGACY_KERAS=1; written anew
from the description of the method, with its grid, batch sizes, epochs, loops and printed figures.
As in the article, all attempts train the layers of the original model itself, one after the other,
and the forecast of example 2 calls `predict` once for each of its 400 steps.

Two things differ. No pictures are drawn, which favours it. The .tflite of example 2 is made for a
batch of 1, because the conversion with a free batch size fails on today's TensorFlow.

The last line of its output is a JSON object: the seconds of each part of the work, without the
imports, and the attempts.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from sklearn.model_selection import train_test_split

_DECAYS = ((10, 50), (20, 50), (30, 60), (30, 70), (40, 50), (10, 90))
_CONSTANTS = (0.1, 0.4, 0.5, 0.6, 0.9)
_WINDOW = 6


@dataclass(frozen=True)
class Example:
    """What the two examples differ in. `predict` returns predictions for `y_test`."""

    model: Any
    x: Any
    y: Any
    validation: Any
    y_test: Any
    predict: Callable[[Any], Any]
    batch: int
    epochs: int
    fixed_batch: bool


def mlp() -> Example:
    """Example 1: a fully connected network learns y = x**2."""
    x = np.arange(-2, 2, 0.005)[:, np.newaxis]
    x_rest, x_test, y_rest, y_test = train_test_split(x, x**2, test_size=0.2, random_state=1)
    x_train, x_valid, y_train, y_valid = train_test_split(
        x_rest, y_rest, test_size=0.25, random_state=1
    )
    model = keras.Sequential(
        [
            keras.layers.Input((1,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1),
        ],
        name="mlp_regression_model",
    )

    def predict(trained: Any) -> Any:
        return trained.predict(x_test, verbose=0)

    return Example(model, x_train, y_train, (x_valid, y_valid), y_test, predict, 80, 100, False)


def lstm(steps: int) -> Example:
    """Example 2: an LSTM learns a sine and forecasts `steps` values, each prediction fed back."""
    past = 2 * np.sin(np.arange(0, 200, 0.5) / 10)
    future = 2 * np.sin(np.arange(200, 400, 0.5)[:steps] / 10)
    windows = np.lib.stride_tricks.sliding_window_view(past, _WINDOW)[:-1, :, np.newaxis].copy()
    model = keras.Sequential(
        [
            keras.layers.Input((_WINDOW, 1)),
            keras.layers.LSTM(80, activation="tanh"),
            keras.layers.Dense(1),
        ],
        name="long_short_term_memory_model",
    )

    def predict(trained: Any) -> Any:
        values = list(past[-_WINDOW:])
        for _ in range(steps):
            window = np.reshape(values[-_WINDOW:], (1, _WINDOW, 1))
            values.append(trained.predict(window, verbose=0)[0, 0])
        return np.array(values[_WINDOW:])

    return Example(model, windows, past[_WINDOW:], None, future, predict, 50, 80, True)


def main() -> None:
    """Train the original and 11 attempts; print what each weighs, how wrong it is, and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example", choices=("mlp", "lstm"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--forecast", type=int, default=400, help="steps (default: %(default)s)")
    parser.add_argument(
        "--training-alone",
        action="store_true",
        help="predict and measure nothing, and train each attempt a second time",
    )
    options = parser.parse_args()
    clock = Clock()
    example = mlp() if options.example == "mlp" else lstm(options.forecast)
    epochs = options.epochs or example.epochs
    example.model.summary()
    with clock.part("original_training"):
        example.model.compile(loss="mean_squared_error", optimizer="adam")
        _fit(example, example.model, epochs, [])
    attempts = [_result("original", example, example.model, clock, not options.training_alone)]
    for name, schedule in _grid(math.ceil(len(example.x) / example.batch) * epochs):
        with clock.part("grid_training"):
            pruning = tfmot.sparsity.keras.prune_low_magnitude(
                example.model, pruning_schedule=schedule
            )
            pruning.compile(loss="mean_squared_error", optimizer="adam")
            _fit(example, pruning, epochs, [tfmot.sparsity.keras.UpdatePruningStep()])
            stripped = tfmot.sparsity.keras.strip_pruning(pruning)
        if options.training_alone:
            _train_again(example, pruning, epochs, clock)
        attempts.append(_result(name, example, stripped, clock, not options.training_alone))
    if not options.training_alone:
        print("*** Final recap ***")
        for each in attempts:
            print(f"{each['name']:20} {each['zipped_h5']:8} {each['error']:e}")
    print(json.dumps({"epochs": epochs, "seconds": clock.seconds, "attempts": attempts}))


class Clock:
    """Adds up the seconds of each part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


def _grid(steps: int) -> list[tuple[str, Any]]:
    schedules = tfmot.sparsity.keras
    decays = [
        (
            f"poly decay {first}/{last}",
            schedules.PolynomialDecay(first / 100, last / 100, begin_step=0, end_step=steps),
        )
        for first, last in _DECAYS
    ]
    constants = [
        (f"const sparsity {share}", schedules.ConstantSparsity(share, begin_step=0, end_step=steps))
        for share in _CONSTANTS
    ]
    return decays + constants


def _fit(example: Example, model: Any, epochs: int, callbacks: list[Any]) -> None:
    model.fit(
        example.x,
        example.y,
        batch_size=example.batch,
        epochs=epochs,
        validation_data=example.validation,
        callbacks=callbacks,
        verbose=0,
    )


def _train_again(example: Example, pruning: Any, epochs: int, clock: Clock) -> None:
    """Run the same `fit` on a model that Keras has traced: the training without its compilation.

    The wrapped layers count their steps from the start again, so that the mask updates are the
    same in number; the weights go on from where they are.
    """
    for layer in pruning.layers:
        layer.pruning_step.assign(-1)
    with clock.part("grid_training_again"):
        _fit(example, pruning, epochs, [tfmot.sparsity.keras.UpdatePruningStep()])


def _result(
    name: str, example: Example, model: Any, clock: Clock, measured: bool
) -> dict[str, str | int | float]:
    """Count; predict, measure and print too if wanted; return the figures of the recap."""
    weights = model.get_weights()
    total = sum(int(w.size) for w in weights)
    nonzero = sum(int(np.count_nonzero(w)) for w in weights)
    if not measured:
        return {"name": name, "weights": total, "not_zero": nonzero}
    with clock.part("predicting"):
        error = float(np.mean((example.predict(model) - example.y_test) ** 2))
    with clock.part("measuring"):
        sizes = _sizes(model, example.fixed_batch)
    print(f"Model: {name}\n  weights: {total}, not zero: {nonzero}, zero: {total - nonzero}")
    for suffix, (plain, zipped) in sizes.items():
        print(f"  {suffix}: {plain} bytes, zipped {zipped} ({100 * (plain - zipped) / plain:.2f}%)")
    print(f"  error: {error:E}", flush=True)
    zipped = sizes[".h5"][1]
    return {
        "name": name,
        "weights": total,
        "not_zero": nonzero,
        "error": error,
        "zipped_h5": zipped,
    }


def _sizes(model: Any, fixed_batch: bool) -> dict[str, tuple[int, int]]:
    """Return the bytes of the .h5 and the .tflite file, plain and zipped."""
    if fixed_batch:
        shape = (1, *model.input_shape[1:])
        function = tf.function(model).get_concrete_function(tf.TensorSpec(shape, tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    else:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with tempfile.TemporaryDirectory() as folder:
        h5, lite = Path(folder, "model.h5"), Path(folder, "model.tflite")
        model.save(h5, include_optimizer=False)
        lite.write_bytes(converter.convert())
        return {path.suffix: (path.stat().st_size, _zipped(path)) for path in (h5, lite)}


def _zipped(path: Path) -> int:
    archive = path.with_suffix(path.suffix + ".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, path.name)
    return archive.stat().st_size


if __name__ == "__main__":
    main()
