"""Losses and metrics of one output and of several, in the settings of a training."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, losses, metrics

from trimgrid.engines.sequential import train
from trimgrid.errors import InputError
from trimgrid.objectives import fresh_metrics
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2
LABELS = (X.sum(axis=1) * 2).astype("int32") % 3
NAMES = ("sum", "class")
LOSSES: Any = {"sum": "mse", "class": losses.SparseCategoricalCrossentropy()}


def build(outputs: type) -> Any:
    """Two inputs in a dict, and two outputs in a list or dict."""
    keras.utils.set_random_seed(5)
    a, b = keras.Input((6,), name="a"), keras.Input((1,), name="b")
    both = layers.Concatenate()([layers.Dense(8, activation="relu")(a), b])
    made = {
        "sum": layers.Dense(1, name="sum")(both),
        "class": layers.Dense(3, activation="softmax", name="class")(both),
    }
    return keras.Model({"a": a, "b": b}, made if outputs is dict else list(made.values()))


def of(kind: type, values: dict[str, Any]) -> Any:
    return values if kind is dict else [values[name] for name in NAMES]


@pytest.mark.parametrize("kind", [dict, list])
def test_two_outputs(kind: type) -> None:
    error = metrics.MeanAbsoluteError(name="error")
    watched: dict[str, Any] = {"sum": [error, "mse"], "class": ["accuracy"]}
    training = Training(
        of(kind, LOSSES),
        epochs=2,
        batch_size=25,  # of one size: Keras on TensorFlow adds up parts of a loss by batches
        metrics=of(kind, watched),
        loss_weights=of(kind, {"sum": 0.25, "class": 2.0}),
    )
    data = {"a": X, "b": Y}, of(kind, {"sum": Y, "class": LABELS})
    trained = train(build(kind), data, training, ConstantSparsity(0.5), data)
    found = trained.history
    wanted = {"loss", "sum_loss", "class_loss", "sum_error", "sum_mse", "class_accuracy"}
    assert set(found) == wanted | {f"val_{name}" for name in wanted}
    total = 0.25 * np.array(found["sum_loss"]) + 2 * np.array(found["class_loss"])
    np.testing.assert_allclose(found["loss"], total, rtol=1e-5)
    # The caller's metric was not used itself.
    assert float(error.result()) == 0.0
    assert (trained.model.get_weights()[0] == 0).sum() == 24


def test_metrics_of_one_output_are_fresh_for_each_training() -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, activation="sigmoid")])
    area = metrics.AUC(num_thresholds=11, name="area")
    training = Training("binary_crossentropy", epochs=2, batch_size=16, metrics=[area, "acc"])
    targets = (Y > 0.3).astype("float32")
    first, second = (train(model, (X, targets), training).history for _ in range(2))
    assert set(first) == {"loss", "area", "acc"}
    assert first == second
    assert float(area.result()) == 0.0


def test_fresh_metrics_keep_their_structure_and_settings() -> None:
    given = {"a": [metrics.AUC(num_thresholds=11), "mae"], "b": (None, losses.mean_squared_error)}
    fresh = fresh_metrics(given)
    assert fresh["a"][0] is not given["a"][0]
    assert fresh["a"][0].num_thresholds == 11
    assert (fresh["a"][1], fresh["b"]) == ("mae", (None, losses.mean_squared_error))


class NoConfig(metrics.Mean):  # type: ignore[misc]
    """A metric whose config leaves its argument away."""

    def __init__(self, needed: int) -> None:
        super().__init__(name="no_config")


def told(name: str, **arguments: Any) -> dict[str, Any]:
    return {"optimizer": {"class_name": name, "config": arguments}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "msee"}, "A loss given by name .* Received: 'msee'"),
        ({"loss": {"a": "mse", "b": "maee"}}, "Received: 'maee'"),
        ({"loss": ["mse", ["maee"]]}, "Received: 'maee'"),
        ({"optimizer": "adan"}, "Received: 'adan', .*Did you mean 'adam'"),
        ({"optimizer": 5}, "Received: int, which fails with ValueError"),
        ({"optimizer": {"name": "sgd"}}, "Received: {'name': 'sgd'}, which fails with KeyError"),
        ({"optimizer": keras.optimizers.SGD}, r"Received: the class SGD\. Call it: SGD\(\)\."),
        ({"optimizer": keras.optimizers.SGD(-0.5)}, "above 0. Received: SGD with learning_rate=-0"),
        (told("sgdd"), r"Received: sgdd\(\), .*Did you mean 'sgd'\?"),
        (told("sgd", learning_rat=0.1), r"sgd\(learning_rat=0\.1\), .*mean 'learning_rate'\?"),
        (told("sgd", learning_rate="fast"), r"sgd\(learning_rate='fast'\).*should be float"),
        (told("sgd", learning_rate=0.0), r"above 0\. Received: sgd\(learning_rate=0\.0\) with"),
        (told("adam", learning_rate=math.inf), "above 0. Received: adam"),
        (told("sgd", momentum=2.0), r"sgd\(momentum=2\.0\), .*`momentum` must be"),
        ({"loss_weights": "1, 2"}, "list or dict of numbers.*loss_weights='1, 2'"),
        ({"loss_weights": 0.5}, "list or dict of numbers"),
        ({"loss_weights": {"a": None}}, "list or dict of numbers"),
        ({"metrics": "mae"}, r"Metrics must be a tuple .* metrics='mae'"),
        ({"metrics": metrics.AUC()}, "Metrics must be a tuple"),
        ({"metrics": ("maee",)}, "A metric given by name .* Received: 'maee'"),
        ({"metrics": {"a": ["mae"], "b": ["maee"]}}, "Received: 'maee'"),
        ({"metrics": (metrics.AUC,)}, r"an object or a name.*keras\.metrics\.AUC\(\)"),
        ({"metrics": (7,)}, "an object or a name. Received: 7"),
        ({"metrics": (NoConfig(1),)}, "anew, .* Received: 'no_config', which fails with TypeError"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Training(**{"loss": "mse", **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "crossentropy"},
        {"loss": [None, "mse"]},
        {"loss": lambda y, p: keras.ops.mean(p - y)},
        {"metrics": {"a": None, "b": ["accuracy"]}},
        {"metrics": [[], ["ACC"]]},
        {"loss_weights": (1, 2.5)},
    ],
)
def test_settings_that_are_good(settings: dict[str, Any]) -> None:
    Training(**{"loss": "mse", **settings})


def test_an_optimizer_in_a_dict_stays_as_it_is() -> None:
    schedule = {
        "module": "keras.optimizers.schedules",
        "class_name": "ExponentialDecay",
        "config": {"initial_learning_rate": 0.5, "decay_steps": 3, "decay_rate": 0.5},
    }
    given = told("sgd", learning_rate=schedule)["optimizer"]
    before = copy.deepcopy(given)
    training = Training("mse", given)
    assert type(training.fresh_optimizer().get_config()["learning_rate"]) is dict
    assert given == before
