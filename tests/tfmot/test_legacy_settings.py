"""Losses, metrics and optimizers of Keras 3 and 2: the same numbers, or a reason."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.tfmot.legacy_models import mlp
from trimgrid.compiled_settings import compiled_settings
from trimgrid.errors import InputError
from trimgrid.legacy.settings import in_keras_2, in_keras_3

RANDOM = np.random.default_rng(0)
DECAY = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)


def _name(each: Any) -> str | None:
    """A test's name without addresses: processes that share the tests must see the same names."""
    if isinstance(each, str):
        return each
    return getattr(each, "__name__", type(each).__name__)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.optimizers.SGD(0.1, clipnorm=0.5),
        keras.optimizers.RMSprop(0.01, rho=0.8, centered=True),
        keras.optimizers.Adam(0.01, beta_1=0.5, amsgrad=True),
        keras.optimizers.Adam(DECAY),
        keras.optimizers.AdamW(0.01, weight_decay=0.1),
        keras.optimizers.Nadam(0.01),
        keras.optimizers.Adagrad(0.01),
    ],
    ids=_name,
)
def test_optimizers_take_the_same_steps(optimizer: Any) -> None:
    start = np.array([1.0, -2.0, 0.5], "float32")
    gradients = [RANDOM.normal(size=3).astype("float32") for _ in range(5)]
    mine, its = keras.Variable(start), tf.Variable(start)
    legacy = in_keras_2(optimizer)
    assert legacy.__module__.startswith("tf_keras.")
    back = in_keras_3(legacy)
    back.build([mine])
    for gradient in gradients:
        back.apply([keras.ops.convert_to_tensor(gradient)])
        legacy.apply_gradients([(tf.constant(gradient), its)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(mine), its.numpy(), rtol=1e-5, atol=1e-6)
    assert abs(its.numpy() - start).max() > 1e-3


@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        ("mse", False),
        (keras.losses.mean_absolute_error, False),
        (keras.losses.MeanSquaredError(), False),
        (keras.losses.MeanAbsoluteError(reduction="sum"), False),
        (keras.losses.Huber(delta=0.1), False),
        (keras.losses.LogCosh(), False),
        (keras.losses.BinaryCrossentropy(label_smoothing=0.1), False),
        (keras.losses.BinaryCrossentropy(from_logits=True), False),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.2), False),
        (keras.losses.SparseCategoricalCrossentropy(), True),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), True),
    ],
    ids=_name,
)
def test_losses_have_the_same_values(loss: Any, classes: bool) -> None:
    predicted = RANDOM.dirichlet(np.ones(4), 6).astype("float32")
    wanted = RANDOM.integers(4, size=6) if classes else np.eye(4, dtype="float32")[[0, 1, 2] * 2]
    weights = np.linspace(0, 1, 6, dtype="float32")
    legacy = in_keras_2(loss)
    again = in_keras_3(legacy)
    values = []
    for each, backend in ((loss, keras), (legacy, tf_keras), (again, keras)):
        found = backend.losses.get(each)
        if isinstance(found, backend.losses.Loss):
            values.append(float(found(wanted, predicted, sample_weight=weights)))
        else:
            values.append(float(np.mean(np.asarray(found(wanted, predicted)))))
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


@pytest.mark.parametrize(
    "metric",
    [
        keras.metrics.AUC(num_thresholds=20, curve="PR"),
        keras.metrics.Precision(thresholds=0.3),
        keras.metrics.BinaryAccuracy(threshold=0.4),
        keras.metrics.RootMeanSquaredError(),
        keras.metrics.F1Score(average="macro", threshold=0.3),
    ],
    ids=_name,
)
def test_metrics_have_the_same_values(metric: Any) -> None:
    predicted = RANDOM.random((40, 2)).astype("float32")
    wanted = (predicted + RANDOM.normal(size=(40, 2)) * 0.3 > 0.5).astype("float32")
    legacy = in_keras_2(metric)
    values = []
    for each in (metric, legacy, in_keras_3(legacy)):
        each.reset_state()
        each.update_state(wanted, predicted)
        values.append(float(np.asarray(each.result())))
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


class Own(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.abs(y_true - y_pred)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (keras.losses.Dice(), "Received: Dice, which tf_keras does not have"),
        ("dice", "Received: 'dice', which tf_keras does not have"),
        (Own(), "Received: Own, which tf_keras does not have"),
        (
            keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
            "Received: MeanSquaredError, which differs in tf_keras",
        ),
        (keras.optimizers.Adam(use_ema=True), "with use_ema=True"),
        (keras.optimizers.Adam(gradient_accumulation_steps=2), "Adam, which differs"),
        (tf_keras.optimizers.legacy.Adam(decay=0.1), "Received: Adam, which differs in keras"),
    ],
    ids=_name,
)
def test_what_differs_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(InputError) as raised:
        in_keras_3(thing) if thing.__class__.__module__.startswith("tf_") else in_keras_2(thing)
    assert message in str(raised.value)


def test_what_a_model_was_compiled_with() -> None:
    model = mlp()
    assert compiled_settings(model).no_loss == "a model that is not compiled"
    rates = tf_keras.optimizers.schedules.CosineDecay(0.1, 100)
    model.compile(
        tf_keras.optimizers.legacy.Adam(rates),
        loss=tf_keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["mae", tf_keras.metrics.AUC(curve="PR")],
        weighted_metrics=["mse"],
    )
    found = compiled_settings(model)
    assert found.loss.get_config()["from_logits"] is True
    assert isinstance(found.optimizer, keras.optimizers.Adam)
    config = found.optimizer.get_config()["learning_rate"]
    assert (config["class_name"], config["config"]["decay_steps"]) == ("CosineDecay", 100)
    assert found.metrics[0] == "mae"
    assert isinstance(found.metrics[1], keras.metrics.AUC)
    assert found.metrics[1].get_config()["curve"] == "PR"
    assert len(found.left_out) == 1
