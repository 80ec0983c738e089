"""Exports to Keras' own files, which Keras makes and reads in this process, on its backend."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.export.exporting import export_model
from trimgrid.export.files import write_keras
from trimgrid.export.samples import Samples

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


@pytest.mark.parametrize(
    ("name", "quantize", "closeness"),
    [
        ("small.keras", "none", 1e-6),
        ("small.h5", "none", 1e-6),
        ("small.keras", "int8", 0.05),
    ],
)
def test_a_file_that_answers_as_the_model_does(
    name: str, quantize: str, closeness: float, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    dense = [layers.Dense(32, "relu"), layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *dense])
    write_keras(model, tmp_path / "model.keras")
    expected = model.predict(X, verbose=0)
    exported = export_model(
        tmp_path / "model.keras",
        tmp_path / name,
        quantize,
        samples=Samples(X, X, expected, 20, 20),
        error=lambda y_true, y_pred: float(np.abs(y_true - y_pred).max()),
    )
    limit = closeness * float(np.ptp(expected))
    assert exported.max_difference <= limit
    assert exported.error == pytest.approx(exported.max_difference)
    assert exported.keras_error == pytest.approx(0, abs=1e-6)
    found = keras.saving.load_model(tmp_path / name, compile=False).predict(X, verbose=0)
    np.testing.assert_allclose(found, expected, atol=limit)
