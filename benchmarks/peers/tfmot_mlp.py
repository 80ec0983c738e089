"""The article's first example by the article's method: TFMOT on Keras 2 (tf_keras).

A program of its own, run in an environment of its own with TF_USE_LEGACY_KERAS=1; written anew
from the description of the method, with its grid, batch size, epochs, loop and printed figures.
Two things favour it: Keras prints no progress while it trains, and no pictures are drawn.
As in the article all attempts train the layers of the original model itself, one after the other.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from sklearn.model_selection import train_test_split

_BATCH = 80
_DECAYS = ((10, 50), (20, 50), (30, 60), (30, 70), (40, 50), (10, 90))
_CONSTANTS = (0.1, 0.4, 0.5, 0.6, 0.9)


def main() -> None:
    """Train the original and 11 pruning attempts; print what each weighs and how wrong it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    x = np.arange(-2, 2, 0.005)[:, np.newaxis]
    x_rest, x_test, y_rest, y_test = train_test_split(x, x**2, test_size=0.2, random_state=1)
    x_train, x_valid, y_train, y_valid = train_test_split(
        x_rest, y_rest, test_size=0.25, random_state=1
    )

    def fit(model: Any, callbacks: list[Any]) -> None:
        model.compile(loss="mean_squared_error", optimizer="adam")
        model.fit(
            x_train,
            y_train,
            batch_size=_BATCH,
            epochs=epochs,
            validation_data=(x_valid, y_valid),
            callbacks=callbacks,
            verbose=0,
        )

    original = keras.Sequential(
        [
            keras.layers.Input((1,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1),
        ],
        name="mlp_regression_model",
    )
    original.summary()
    fit(original, [])
    recap = [_report("original", original, x_test, y_test)]
    for name, schedule in _grid(math.ceil(len(x_train) / _BATCH) * epochs):
        pruning = tfmot.sparsity.keras.prune_low_magnitude(original, pruning_schedule=schedule)
        fit(pruning, [tfmot.sparsity.keras.UpdatePruningStep()])
        stripped = tfmot.sparsity.keras.strip_pruning(pruning)
        recap.append(_report(name, stripped, x_test, y_test))
    print("\n".join(recap))


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


def _report(name: str, model: Any, x: Any, y: Any) -> str:
    """Evaluate, count and measure a model, print it all, and return its line of the recap."""
    error = float(np.mean((model.predict(x, verbose=0) - y) ** 2))
    weights = model.get_weights()
    total, nonzero = sum(w.size for w in weights), sum(int(np.count_nonzero(w)) for w in weights)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with tempfile.TemporaryDirectory() as folder:
        h5, lite = Path(folder, "model.h5"), Path(folder, "model.tflite")
        model.save(h5, include_optimizer=False)
        lite.write_bytes(converter.convert())
        sizes = [(path.suffix, path.stat().st_size, _zipped(path)) for path in (h5, lite)]
    print(f"Model: {name}\n  weights: {total}, not zero: {nonzero}, zero: {total - nonzero}")
    for suffix, plain, zipped in sizes:
        print(f"  {suffix}: {plain} bytes, zipped {zipped} ({100 * (plain - zipped) / plain:.2f}%)")
    print(f"  error: {error:E}", flush=True)
    return f"{name:20} {sizes[0][2]:8} {error:e}"


def _zipped(path: Path) -> int:
    archive = path.with_suffix(path.suffix + ".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, path.name)
    return archive.stat().st_size


if __name__ == "__main__":
    main()
