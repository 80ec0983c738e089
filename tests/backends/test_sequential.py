"""One attempt after the other: independent, repeatable, and nothing of the caller's changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid import masks
from trimgrid.data.batches import epoch_order
from trimgrid.data.checks import check_data
from trimgrid.data.sources import StreamData, open_data
from trimgrid.engines.even_batches import AS_THEY_ARE
from trimgrid.engines.fit_data import for_training
from trimgrid.engines.sequential import SequentialEngine, train
from trimgrid.errors import InputError, RunError
from trimgrid.models import copy_model
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

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


@pytest.mark.slow
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


def test_mixed_precision_counts_steps_that_overflow(dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = build()
    assert copy_model(model).dtype_policy.name == "mixed_float16"
    # The target is as large as float16 gets, so that scaled gradients overflow at first.
    huge = np.full_like(Y, 60000.0)
    trained = train(model, (X, huge), TRAINING, PolynomialDecay(0.0, 0.75, frequency=2))
    inner = trained.model.optimizer.inner_optimizer
    assert isinstance(inner, keras.optimizers.LossScaleOptimizer)
    assert int(inner.iterations) < 8, "some batches were skipped"
    assert (trained.model.get_weights()[0] == 0).sum() == 54


def by_hand(training: Training, batches: list[list[tuple[Any, ...]]]) -> Any:
    """A model without random layers, trained on batches in just that order."""
    model = plain()
    model.compile(training.fresh_optimizer(), training.loss)
    for epoch in batches:
        for batch in epoch:
            model.train_on_batch(*batch)
    return model


def plain() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((6,)), layers.Dense(12, "tanh"), layers.Dense(1)])


def close(a: Any, b: Any) -> None:
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_data() -> None:
    """Batch by batch that of `epoch_order`, from epoch 0 on, the rest of 50 examples last."""
    training = Training("mse", keras.optimizers.SGD(0.1), epochs=3, batch_size=16, seed=3)
    orders = [epoch_order(50, 3, epoch) for epoch in range(3)]
    batches = [
        [(X[order[i : i + 16]], Y[order[i : i + 16]]) for i in range(0, 50, 16)] for order in orders
    ]
    trained = train(plain(), (X, Y), training)
    close(trained.model, by_hand(training, batches))
    with pytest.raises(AssertionError):
        close(trained.model, by_hand(training, batches[::-1]))


def stream() -> Iterator[Any]:
    for start in range(0, 50, 8):
        yield X[start : start + 8], Y[start : start + 8]


def test_a_stream_is_taken_in_its_own_order() -> None:
    training = Training("mse", keras.optimizers.SGD(0.1), epochs=3, batch_size=50, seed=3)
    trained = train(plain(), stream, training, validation=stream)
    close(trained.model, by_hand(training, [list(stream())] * 3))
    # Validation reads every batch once, in each epoch.
    assert len(trained.history["val_loss"]) == 3
    predicted = trained.model.predict(X, verbose=0)
    assert trained.history["val_loss"][-1] == pytest.approx(np.mean((predicted - Y) ** 2), rel=1e-4)
    pruned = train(plain(), stream, training, ConstantSparsity(0.5, begin_step=20))
    assert (pruned.model.get_weights()[0] == 0).sum() == 36


def test_a_stream_whose_later_batches_have_other_shapes() -> None:
    """Keras looks at two batches of a generator and fails at the first that is not like them."""
    model = keras.Sequential(
        [keras.Input((None, 6)), layers.GlobalAveragePooling1D(), layers.Dense(1)]
    )
    batches = [(X[: 4 * n].reshape(4, n, 6), Y[:4]) for n in (2, 2, 3, 5)]
    trained = train(model, batches, replace(TRAINING, epochs=3))
    assert trained.failure is None
    assert len(trained.history["loss"]) == 3
    assert np.isfinite(trained.history["loss"]).all()


def test_tensorflow_reads_without_a_tuner() -> None:
    """`fit` would wait for it: see `for_training`."""
    data = open_data((X, Y), TRAINING, "training data")
    batches = for_training(data, 3, [], 0, 0, AS_THEY_ARE)
    if keras.config.backend() == "tensorflow":
        assert batches.options().autotune.enabled is False
        assert str(batches.element_spec[0].shape) == "(None, 6)"
    x, y = next(iter(batches))
    np.testing.assert_array_equal(x, next(data.epoch(3, 0))[0])
    np.testing.assert_array_equal(y, next(data.epoch(3, 0))[1])


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX takes any batch")
def test_a_stream_with_more_and_fewer_axes() -> None:
    batches = [(X[:4], Y[:4]), (X[:4, None], Y[:4])]
    with pytest.raises(InputError, match=r"as many axes .* Received: \('float32 None', 'float32"):
        train(build(), batches, TRAINING)


def test_a_stream_that_changes_ends_the_training() -> None:
    batches = list(stream())
    data = StreamData(lambda: iter(batches), "training data")
    del batches[-1]
    with pytest.raises(RunError, match="training data changed: batch 7 of epoch 1"):
        train(plain(), data, Training("mse", epochs=2))


def test_weights_of_examples_and_classes() -> None:
    """Weights of classes are those of their examples."""
    labels = (X.sum(axis=1) > 3).astype("int32")
    weights = np.where(labels == 1, np.float32(4), np.float32(1))
    training = Training("mse", keras.optimizers.SGD(0.1), epochs=2, batch_size=16, seed=3)
    by_example = train(plain(), (X, labels, weights), training).model
    by_class = train(plain(), (X, labels), replace(training, class_weight={1: 4.0})).model
    without = train(plain(), (X, labels), training).model
    assert same(by_example, by_class)
    assert not same(by_example, without)


def test_metrics_are_in_the_history() -> None:
    training = replace(TRAINING, metrics=("mae",))
    history = train(build(), (X, Y), training, validation=(X, Y)).history
    assert {key: len(values) for key, values in history.items()} == dict.fromkeys(
        ("loss", "mae", "val_loss", "val_mae"), 2
    )


def test_the_engine_trains_task_after_task() -> None:
    seen: list[tuple[list[str], int, int]] = []
    model = build()
    engine = SequentialEngine(model, open_data((X, Y), TRAINING, "data"))
    tasks = [
        Task("a", None, TRAINING),
        Task("b", ConstantSparsity(0.5), replace(TRAINING, seed=9, optimizer="sgd")),
    ]
    weights = [array + 0.5 for array in model.get_weights()]
    found = []
    for place, trained in engine.train(
        tasks, weights, lambda names, epoch, losses: seen.append((list(names), epoch, len(losses)))
    ):
        found.append((place, trained.model))
    assert [place for place, _ in found] == [0, 1]
    assert seen == [([name], epoch, 1) for name in "ab" for epoch in (1, 2)]
    moved = copy_model(model)
    moved.set_weights(weights)
    assert same(found[0][1], train(moved, (X, Y), TRAINING).model)
    assert (found[1][1].get_weights()[0] == 0).sum() == 36


def classifier() -> Any:
    return keras.Sequential([keras.Input((6,)), layers.Dense(4)])


@pytest.mark.parametrize(
    ("data", "loss", "message"),
    [
        ((X[:, :5], Y), "mse", r"shape \(50, 5\), where the model takes \(None, 6\)"),
        ((X[0], Y), "mse", "same number of rows"),
        ((X, Y[:49]), "mse", "same number of rows"),
        ((X[:0], Y[:0]), "mse", "at least one"),
        ((X, Y, Y, Y), "mse", "pair of inputs and targets"),
        ((X.astype(str), Y), "mse", "must be numbers"),
        ((X, Y), "mse", r"targets .* shape \(50, 1\), where the loss takes \(None, 4\)"),
        ((X, np.full(50, 4)), "sparse_categorical_crossentropy", "0 to 3. Received: labels from 4"),
        ((X, np.full(50, -1)), keras.losses.SparseCategoricalCrossentropy(), "labels from -1"),
        ((X, np.zeros((50, 4))), "sparse_categorical_crossentropy", "targets"),
        ((X, np.full(50, 0.5)), keras.losses.sparse_categorical_crossentropy, "whole numbers"),
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
