"""Files that tf_keras writes, read into Keras 3: the same predictions, or the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers

from tests.tfmot.legacy_models import bidirectional, cnn, embedding, mlp, shared
from trimgrid.compiled_settings import load_compiled
from trimgrid.errors import InputError
from trimgrid.models import load_model

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def several() -> Any:
    one, other = layers.Input((4,), name="one"), layers.Input((3,), name="other")
    both = layers.Concatenate()([layers.Dense(4)(one), layers.Dense(2)(other)])
    return tf_keras.Model(
        [one, other], [layers.Dense(1, name="p")(both), layers.Dense(2, name="q")(both)]
    )


def recurrent() -> Any:
    return tf_keras.Sequential(
        [
            layers.Input((5, 2)),
            layers.LSTM(6, return_sequences=True),
            layers.GRU(3, return_sequences=True),
            layers.SimpleRNN(3),
            layers.Dense(1),
        ]
    )


def convolutions() -> Any:
    return tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, input_shape=(8, 8, 1)),
            layers.SeparableConv2D(4, 3),
            layers.Conv2DTranspose(3, 3),
            layers.GlobalAveragePooling2D(),
            layers.LayerNormalization(),
            layers.PReLU(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def sample(model: Any) -> Any:
    generator = np.random.default_rng(0)
    found = [
        (10 * generator.random((2, *each.shape[1:]))).astype(each.dtype.as_numpy_dtype)
        for each in model.inputs
    ]
    return found if len(found) > 1 else found[0]


def check_same(old: Any, new: Any) -> None:
    rows = sample(old)
    pairs = zip(
        tf.nest.flatten(old(rows)), tf.nest.flatten(new.predict(rows, verbose=0)), strict=True
    )
    for mine, its in pairs:
        np.testing.assert_allclose(np.asarray(mine), np.asarray(its), rtol=1e-5, atol=1e-6)


def with_random_weights(model: Any) -> Any:
    generator = np.random.default_rng(0)
    model.set_weights([generator.random(array.shape) for array in model.get_weights()])
    return model


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize(
    "build", [mlp, cnn, recurrent, embedding, bidirectional, shared, several, convolutions]
)
def test_read_into_keras_3(build: Any, ending: str, tmp_path: Path) -> None:
    old = with_random_weights(build())
    old.compile(tf_keras.optimizers.Adam(0.02), loss="mse", metrics=["mae"])
    path = tmp_path / f"old.{ending}"
    old.save(path)
    before = path.read_bytes()
    new, settings = load_compiled(path)
    assert isinstance(new, keras.Model)
    check_same(old, new)
    assert settings.optimizer.get_config()["learning_rate"] == pytest.approx(0.02)
    assert isinstance(settings.optimizer, keras.optimizers.Adam)
    assert (settings.loss, settings.left_out) == ("mse", ())
    assert path.read_bytes() == before


@pytest.mark.parametrize("build", [mlp, shared, several])
def test_tfmots_wrappers_are_taken_off(build: Any, tmp_path: Path) -> None:
    old = with_random_weights(build())
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(old)
    wrapped.save(tmp_path / "wrapped.h5")
    new = load_model(tmp_path / "wrapped.h5")
    check_same(old, new)
    assert len(new.weights) == len(old.weights)


def test_what_keras_3_does_not_have(tmp_path: Path) -> None:
    inputs = layers.Input((5, 2), batch_size=4)
    major = tf_keras.Model(inputs, layers.LSTM(3, time_major=True, name="turned")(inputs))
    operation = tf_keras.Model(inputs, layers.Dense(2)(inputs * 2 + 1))
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(mlp())
    remedy = "Load it with tf_keras,"
    for name, model, reason in (
        ("major", major, "Keras 3 has no time_major=True, which 'turned' has"),
        ("operation", operation, "TFOpLambda"),
        ("wrapped", wrapped, "PruneLowMagnitude"),
    ):
        path = tmp_path / f"{name}.keras"
        model.save(path)
        with pytest.raises(InputError) as raised:
            load_model(path)
        said = str(raised.value)
        assert reason in said
        assert f"Received: {str(path)!r}" in said
        assert remedy in said
        assert ("strip_pruning(model)" in said) == (name == "wrapped")
        assert "\n" not in said
