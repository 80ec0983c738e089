"""What TFMOT trains in the engine is what it trains by hand, and nothing else moves."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from numpy.typing import NDArray

from tests.tfmot.legacy_models import X, Y, bidirectional, inputs_of, lstm, mlp, shared
from trimgrid.data.sources import StreamData, open_data
from trimgrid.engines.tfmot import TfmotEngine
from trimgrid.errors import InputError
from trimgrid.legacy.telling import check_trainable_by_tfmot
from trimgrid.prunable import prunable_weights
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

TRAINING = Training("mse", "adam", epochs=2, batch_size=10, seed=3, metrics=("mae",))
STEPS = 10


@dataclass(frozen=True)
class Plan:
    """A schedule that is its plan."""

    sparsities: tuple[float, ...]

    def plan(self, steps: int) -> NDArray[Any]:
        return np.array(self.sparsities)


def planned(updates: dict[int, float]) -> Plan:
    return Plan(tuple(updates.get(step, np.nan) for step in range(STEPS + 1)))


def trained(model: Any, *schedules: Any, validation: Any = None, **settings: Any) -> list[Any]:
    """The weights, history and failure of each training, one after the other by one engine."""
    training = replace(TRAINING, **settings)
    data = open_data((inputs_of(model), Y), training, "training data")
    engine = TfmotEngine(model, data, training, validation)
    tasks = [Task(f"{place}", each, training) for place, each in enumerate(schedules)]
    return [
        (found.model.get_weights(), found.history, found.failure)
        for _, found in engine.train(tasks)
    ]


def same(one: Any, other: Any) -> bool:
    return all((mine == its).all() for mine, its in zip(one[0], other[0], strict=True))


@pytest.mark.parametrize("build", [lambda: mlp(dropout=0.0), lstm])
@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(
            tfmot.sparsity.keras.ConstantSparsity(0.5, 2, frequency=3), marks=pytest.mark.slow
        ),
        tfmot.sparsity.keras.PolynomialDecay(0.1, 0.9, 1, 9, frequency=2),
    ],
    ids=["constant", "polynomial"],
)
def test_the_same_as_by_hand(build: Any, schedule: Any) -> None:
    """Written as TFMOT's guide has it, on the same batches: the same bits."""
    model, by_hand = build(), build()
    updates = {}
    for batch in range(1, STEPS + 1):
        due, sparsity = schedule(tf.constant(batch, tf.int64))
        if due:
            updates[batch - 1] = float(sparsity)
    ((weights, history, _),) = trained(model, planned(updates))

    pruned = tfmot.sparsity.keras.prune_low_magnitude(by_hand, pruning_schedule=schedule)
    pruned.compile(tf_keras.optimizers.Adam(), loss="mse", metrics=["mae"])
    data = open_data((inputs_of(model), Y), TRAINING, "training data")

    def batches() -> Any:
        for epoch in (0, 1):
            yield from data.epoch(TRAINING.seed, epoch)

    fitted = pruned.fit(
        batches(),
        epochs=2,
        steps_per_epoch=5,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
        shuffle=False,
        verbose=0,
    )
    expected = tfmot.sparsity.keras.strip_pruning(pruned)
    for mine, its in zip(weights, expected.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert history == fitted.history
    assert (weights[0] == 0).sum() > 0


def test_no_attempt_touches_another() -> None:
    """The trap of the published approach: each attempt would start from the one before it."""
    model = mlp()
    before = model.get_weights()
    most, little = ConstantSparsity(0.9, frequency=2), ConstantSparsity(0.1, frequency=2)
    (alone,) = trained(model, little)
    first, second, third = trained(model, most, little, None)
    assert same(second, alone)
    assert not same(first, second)
    assert (second[0][0] == 0).sum() == 5  # of 48, 10 %
    assert not (third[0][0] == 0).any()
    for mine, its in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_the_seed_decides_and_the_global_states_do_not_move() -> None:
    model, schedule = mlp(dropout=0.5), ConstantSparsity(0.5)

    def drawn() -> list[float]:
        dense = tf_keras.layers.Dense(1)
        dense.build((1, 1))
        return [
            random.random(),
            np.random.random(),
            float(tf.random.uniform(())),
            float(dense.kernel[0, 0]),
        ]

    tf_keras.utils.set_random_seed(5)
    expected = [drawn(), drawn()]
    tf_keras.utils.set_random_seed(5)
    first_drawn = drawn()
    check_trainable_by_tfmot(model)
    prunable_weights(model)
    (first,) = trained(model, schedule)
    assert [first_drawn, drawn()] == expected
    tf_keras.utils.set_random_seed(6)
    (again,), (other,) = trained(model, schedule), trained(model, schedule, seed=4)
    assert same(first, again)
    assert not same(first, other)


def test_plans_are_followed_to_the_last_step() -> None:
    """An update at the last step too, after all batches; whether validation data is watched or not
    does not matter."""
    model = mlp()
    schedule = PolynomialDecay(0.0, 0.75, frequency=3)
    watched = open_data((X[:8], Y[:8]), TRAINING, "validation data")
    (plain,) = trained(model, schedule)
    (validated,) = trained(model, schedule, validation=watched)
    assert same(plain, validated)
    assert (plain[0][0] == 0).sum() == 36  # of 48
    assert set(validated[1]) == {"loss", "mae", "val_loss", "val_mae"}
    stream = StreamData([(X[:4], Y[:4]), (X[4:8], Y[4:8])], "validation data")
    (streamed,) = trained(model, schedule, validation=stream)
    assert same(plain, streamed)
    np.testing.assert_allclose(streamed[1]["val_loss"], validated[1]["val_loss"], rtol=1e-5)


@pytest.mark.parametrize(("last", "zeros"), [(10, 12), (9, 12), (None, 8)])
def test_a_layer_that_is_used_twice_counts_its_batches_once(last: int | None, zeros: int) -> None:
    updates = {0: 0.25, 4: 0.5} | ({} if last is None else {last: 0.75})
    ((weights, _, failure),) = trained(shared(), planned(updates))
    assert failure is None
    paths = {each.path: place for place, each in enumerate(prunable_weights(shared()))}
    for name in ("twice", "deep"):
        assert (weights[paths[f"{name}/kernel"]] == 0).sum() == zeros, name


def test_what_tfmot_cant_prune_is_listed() -> None:
    found = {each.path: each.reason for each in prunable_weights(bidirectional())}
    assert found["out/kernel"] is None
    assert found["out/bias"] == "bias"
    of_both = {reason for path, reason in found.items() if path.startswith("both/")}
    assert of_both == {"TFMOT can't prune Bidirectional", "bias"}
    ((weights, _, _),) = trained(bidirectional(), ConstantSparsity(0.9))
    zeros = {path: int((array == 0).sum()) for path, array in zip(found, weights, strict=True)}
    kernels = {path: count for path, count in zeros.items() if found[path] != "bias"}
    assert {path for path, count in kernels.items() if count} == {"out/kernel"}
    assert zeros["out/kernel"] == 5


def test_frozen_layers_are_pruned_as_tfmot_does() -> None:
    model = mlp()
    model.layers[0].trainable = False
    found = {each.path: each.reason for each in prunable_weights(model)}
    assert found["a/kernel"] is None
    assert found["a/bias"] == "not trainable"
    ((weights, _, _),) = trained(model, ConstantSparsity(0.5))
    before = model.get_weights()[0]
    assert (weights[0] == 0).sum() == 24
    np.testing.assert_array_equal(weights[0], np.where(weights[0] == 0, 0, before))


def test_a_loss_that_is_not_finite_ends_a_training() -> None:
    sgd = {"class_name": "SGD", "config": {"learning_rate": 1e30}}
    ((_, history, failure),) = trained(mlp(0.0), ConstantSparsity(0.5), optimizer=sgd)
    assert failure is not None
    assert failure.startswith("the loss became ")
    assert int(failure.rpartition(" ")[2]) <= 5
    assert len(history["loss"]) == 1


def test_epochs_are_told() -> None:
    data = open_data((X, Y), TRAINING, "training data")
    told: list[Any] = []
    engine = TfmotEngine(mlp(), data, TRAINING)
    tasks = [Task("half", ConstantSparsity(0.5), TRAINING)]
    ((_, found),) = engine.train(tasks, on_epoch=lambda *each: told.append(each))
    assert told == [(["half"], 1, [found.history["loss"][0]]), (["half"], 2, [told[1][2][0]])]


def test_losses_of_ones_own() -> None:
    def by_tensorflow(y_true: Any, y_pred: Any) -> Any:
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    def by_numpy(y_true: Any, y_pred: Any) -> Any:
        return np.mean(np.square(y_true.numpy() - y_pred.numpy()))

    (mine,) = trained(mlp(), ConstantSparsity(0.5), loss=by_tensorflow)
    (its,) = trained(mlp(), ConstantSparsity(0.5))
    np.testing.assert_allclose(mine[1]["loss"], its[1]["loss"], rtol=1e-5)
    with pytest.raises(InputError, match=r"must take tensors of TensorFlow\. Received: by_numpy"):
        trained(mlp(), ConstantSparsity(0.5), loss=by_numpy)
