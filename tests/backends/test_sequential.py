"""One attempt after the other: independent, repeatable, and nothing of the caller's changed."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid import masks
from trimgrid.engines.sequential import train
from trimgrid.errors import InputError
from trimgrid.models import copy_model
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import ShuffledBatches, Training, check_data, epoch_order

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2
TRAINING = Training(loss="mse", optimizer="adam", epochs=2, batch_size=16, seed=3)


def build() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


def same(a: Any, b: Any) -> bool:
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(bool((x == y).all()) for x, y in pairs)


def test_the_same_arguments_give_the_same_bits() -> None:
    model = build()
    first = train(model, (X, Y), TRAINING, ConstantSparsity(0.5), validation=(X, Y))
    second = train(model, (X, Y), TRAINING, ConstantSparsity(0.5), validation=(X, Y))
    assert same(first.model, second.model)
    assert first.history == second.history
    assert set(first.history) == {"loss", "val_loss"}
    other = train(model, (X, Y), Training("mse", epochs=2, batch_size=16, seed=4))
    assert not same(first.model, other.model)


def test_nothing_of_the_callers_changes() -> None:
    model, optimizer = build(), keras.optimizers.Adam(0.25)
    model.compile(optimizer, "mae")
    before = [array.copy() for array in model.get_weights()]
    random.seed(11)
    np.random.seed(11)
    python_state, numpy_state = random.getstate(), str(np.random.get_state())
    training = Training("mse", optimizer, epochs=1, batch_size=16)
    train(model, (X, Y), training, ConstantSparsity(0.5))
    assert random.getstate() == python_state
    assert str(np.random.get_state()) == numpy_state
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert not optimizer.built
    assert model.optimizer is optimizer


def test_the_sparsity_is_exact_and_attempts_do_not_leak() -> None:
    model = build()
    for sparsity in (0.9, 0.1, 0.5):
        schedule = PolynomialDecay(0.0, sparsity, frequency=3)
        trained = train(model, (X, Y), TRAINING, schedule)
        for kernel in (trained.model.get_weights()[0], trained.model.get_weights()[2]):
            assert (kernel == 0).sum() == kernel.size - masks.kept_count(kernel.size, sparsity)


def test_epochs_are_reported() -> None:
    seen: list[tuple[int, float]] = []
    train(build(), (X, Y), TRAINING, on_epoch=lambda epoch, loss: seen.append((epoch, loss)))
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert all(np.isfinite(loss) for _, loss in seen)


def test_a_loss_that_is_not_finite_ends_the_training_and_names_the_step() -> None:
    y = Y.copy()
    rows = epoch_order(50, seed=3, epoch=0)
    y[rows[40]] = np.nan  # in the third batch of 16
    trained = train(build(), (X, y), TRAINING)
    assert trained.failure == "the loss became nan at step 3"
    assert len(trained.history["loss"]) == 1


def test_mixed_precision_counts_steps_that_overflow() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy(before)
    assert copy_model(model).dtype_policy.name == "mixed_float16"
    # The target is as large as float16 gets, so that scaled gradients overflow at first.
    huge = np.full_like(Y, 60000.0)
    trained = train(model, (X, huge), TRAINING, PolynomialDecay(0.0, 0.75, frequency=2))
    inner = trained.model.optimizer.inner_optimizer
    assert isinstance(inner, keras.optimizers.LossScaleOptimizer)
    assert int(inner.iterations) < 8, "some batches were skipped"
    assert (trained.model.get_weights()[0] == 0).sum() == 54


def test_the_order_of_the_data() -> None:
    batches = ShuffledBatches(({"a": np.arange(10)}, np.arange(10)), batch_size=4, seed=1)
    epochs = []
    for _ in range(2):
        rows = [batches[i] for i in range(len(batches))]
        assert [len(y) for _, y in rows] == [4, 4, 2]
        assert all((x["a"] == y).all() for x, y in rows)
        epochs.append(np.concatenate([y for _, y in rows]).tolist())
        batches.on_epoch_end()
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert epochs[1] == epoch_order(10, 1, 1).tolist()


def classifier() -> Any:
    return keras.Sequential([keras.Input((6,)), layers.Dense(4)])


@pytest.mark.parametrize(
    ("data", "loss", "message"),
    [
        ((X[:, :5], Y), "mse", r"shape \(50, 5\), where the model takes \(None, 6\)"),
        ((X[0], Y), "mse", "same number of rows"),
        ((X, Y[:49]), "mse", "same number of rows"),
        ((X[:0], Y[:0]), "mse", "at least one"),
        ((X, Y, Y), "mse", "pair of inputs and targets"),
        ((X.astype(str), Y), "mse", "must be numbers"),
        ((X, Y), "mse", r"targets .* shape \(50, 1\), where the loss takes \(None, 4\)"),
        ((X, np.full(50, 4)), "sparse_categorical_crossentropy", "0 to 3. Received: labels from 4"),
        ((X, np.full(50, -1)), keras.losses.SparseCategoricalCrossentropy(), "labels from -1"),
        ((X, np.zeros((50, 4))), "sparse_categorical_crossentropy", "targets"),
        ((X, np.full(50, 0.5)), keras.losses.sparse_categorical_crossentropy, "labels from 0.5"),
    ],
)
def test_data_that_does_not_fit(data: Any, loss: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_data(classifier(), data, loss, "training data")


@pytest.mark.parametrize("shape", [(50,), (50, 1)])
def test_data_that_fits(shape: tuple[int, ...]) -> None:
    labels = np.zeros(shape, "int32")
    check_data(classifier(), (X, labels), "sparse_categorical_crossentropy", "data")
    check_data(build(), (X, labels), "mse", "data")
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    check_data(classifier(), (X, labels + 255), ignoring, "data")
    check_data(
        classifier(), (X, labels), lambda y, p: keras.ops.mean(p) * keras.ops.mean(y), "data"
    )


def test_checking_moves_no_state() -> None:
    model = keras.Sequential([keras.Input(batch_shape=(10, 3, 2)), layers.GRU(1, stateful=True)])
    state = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
    check_data(model, (X[:, :6].reshape(50, 3, 2), Y), "mse", "data")
    for before, variable in zip(state, model.variables, strict=True):
        np.testing.assert_array_equal(before, ops.convert_to_numpy(variable))


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 0}, {"seed": -1}, {"epochs": 1.5}]
)
def test_settings_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        Training("mse", **options)


def test_several_inputs() -> None:
    a, b = keras.Input((6,), name="a"), keras.Input((1,), name="b")
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(layers.Concatenate()([a, b])))
    trained = train(model, ({"a": X, "b": Y}, Y), TRAINING, ConstantSparsity(0.5))
    assert (ops.convert_to_numpy(trained.model.trainable_variables[0]) == 0).sum() == 3
