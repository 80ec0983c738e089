"""Rounds of pruning in a plain `model.fit`: what goes back, what stays, and what is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid import masks
from trimgrid.begin_pruning import BeginPruning
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine, train
from trimgrid.iterative import IterativePruning
from trimgrid.one_shot import OneShot
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
# 4 batches an epoch, 12 in all: rounds begin at 3, 6 and 9.
TRAINING = Training("mse", optimizers.Adam(0.01), epochs=3, batch_size=12, seed=3)
ROUNDS = IterativePruning(0.875, 0.5, "weights", begin_step=3)
STEPS = 12


def dense(*parts: Any) -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(9, activation="tanh"), *parts, layers.Dense(1)]
    )


def kernels(model: Any) -> list[Any]:
    return [each for each in model.get_weights() if each.ndim == 2]


def trained_for(model: Any, batches: Any, optimizer: Any, chosen: Any = None) -> Any:
    """Train a copy in plain steps, under masks if some are given: a fresh training by hand."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile(optimizer=optimizer, loss="mse")

    def apply_masks() -> None:
        for variable, each in zip(copy.trainable_variables[::2], chosen or (), strict=False):
            weights = keras.ops.convert_to_numpy(variable)
            variable.assign(np.where(each, weights, np.float32(0)))

    apply_masks()
    for x, y in batches:
        copy.train_on_batch(x, y)
        apply_masks()
    return copy


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.Adam(0.01),
        # 0.1 is what its slots begin with.
        lambda: optimizers.Adagrad(0.05),
        lambda: optimizers.SGD(0.05, momentum=0.9),
        # A rate that depends on the steps counted, which begin anew.
        lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 1, 0.7)),
        lambda: optimizers.SGD(0.05, gradient_accumulation_steps=2),
        lambda: optimizers.Nadam(0.01),
    ],
    ids=["adam", "adagrad", "momentum", "schedule", "accumulation", "nadam"],
)
def test_each_round_is_a_fresh_training(make: Any) -> None:
    """A round under its masks is what a training of the given weights under them would be."""
    model = dense()
    data = open_data((X, Y), TRAINING, "data")
    batches = [batch for epoch in range(3) for batch in data.epoch(TRAINING.seed, epoch)]
    chosen: Any = None
    current = model
    for begin, stop, sparsity in ((0, 3, 0.5), (3, 6, 0.75), (6, 9, 0.875), (9, 12, None)):
        current = trained_for(model, batches[begin:stop], make(), chosen)
        if sparsity is not None:
            # The masks of the round that follows come from the trained weights.
            chosen = [masks.magnitude_mask(each, sparsity) for each in kernels(current)]
    found = train(model, (X, Y), replace(TRAINING, optimizer=make()), ROUNDS)
    for mine, its in zip(found.model.get_weights(), current.get_weights(), strict=True):
        np.testing.assert_array_equal(mine == 0, its == 0)
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("schedule", [ROUNDS, replace(ROUNDS, rewind=None)])
def test_the_last_round_reaches_the_target(schedule: IterativePruning) -> None:
    model = dense(layers.BatchNormalization(), layers.Dropout(0.2))
    found = train(model, (X, Y), TRAINING, schedule)
    wanted = [each.size - masks.kept_count(each.size, 0.875) for each in kernels(model)]
    assert [int((each == 0).sum()) for each in kernels(found.model)] == wanted


def test_without_rewinding_nothing_goes_back() -> None:
    optimizer = MagnitudePruning("adam", replace(ROUNDS, rewind="learning_rate"), steps=STEPS)
    model = dense()
    optimizer.build(model.trainable_variables)
    plain = MagnitudePruning("adam", ConstantSparsity(0.5))
    plain.build(model.trainable_variables)
    assert len(optimizer.variables) == len(plain.variables)
    rewinding = MagnitudePruning("adam", ROUNDS, steps=STEPS)
    rewinding.build(model.trainable_variables)
    # One for each trainable variable: the slots of Adam begin with zeros, which need no room.
    assert len(rewinding.variables) == len(plain.variables) + len(model.trainable_variables)


def snapshots(model: Any, optimizer: Any, callbacks: Any = ()) -> list[list[Any]]:
    """The weights after each step of a plain fit."""
    found = []

    class Keeps(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            found.append([np.array(each) for each in self.model.get_weights()])

    model.compile(optimizer=optimizer, loss="mse")
    options = {"batch_size": 12, "epochs": 3, "shuffle": False, "verbose": 0}
    model.fit(X, Y, callbacks=[Keeps(), *callbacks], **options)
    return found


@pytest.mark.parametrize("begun", [True, False])
def test_in_a_plain_fit(begun: bool) -> None:
    """With BeginPruning, or with the number of steps and nothing else."""
    model = dense(layers.BatchNormalization())
    first = [np.array(each) for each in model.get_weights()]
    optimizer = MagnitudePruning("adam", ROUNDS, steps=None if begun else STEPS)
    found = snapshots(model, optimizer, [BeginPruning()] if begun else [])
    for step, weights in enumerate(found, 1):
        back = [
            np.array_equal(each, begin) or np.array_equal(each[each != 0], begin[each != 0])
            for each, begin in zip(weights, first, strict=True)
        ]
        # Kernel, bias, gamma, beta, moving mean and variance, kernel, bias.
        assert all(back[:4] + back[6:]) == (step in (3, 6, 9)), step
        assert not any(back[4:6]), "the moving statistics go on"
    # The masks count steps on, the optimizer inside begins anew in each round.
    assert int(optimizer.iterations) == STEPS
    assert int(optimizer.inner_optimizer.iterations) == 3


def test_the_weights_are_those_at_the_begin_of_training() -> None:
    """Not those when the optimizer was built."""
    model = dense()
    optimizer = MagnitudePruning("sgd", ROUNDS)
    optimizer.build(model.trainable_variables)
    model.set_weights([each + np.float32(1) for each in model.get_weights()])
    first = [np.array(each) for each in model.get_weights()]
    found = snapshots(model, optimizer, [BeginPruning()])
    for mine, its in zip(found[2], first, strict=True):
        np.testing.assert_array_equal(mine, np.where(mine == 0, mine, its))


def test_the_learning_rate_stays() -> None:
    class Lowers(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.1 / (epoch + 1)

    optimizer = MagnitudePruning(optimizers.SGD(0.1), ROUNDS, steps=STEPS)
    snapshots(dense(), optimizer, [Lowers()])
    assert float(optimizer.learning_rate) == pytest.approx(0.1 / 3)


def test_saved_models_go_on(tmp_path: Path) -> None:
    """A model that is saved in a round and loaded goes on to the same weights."""
    whole = dense()
    whole.compile(MagnitudePruning("adam", ROUNDS, steps=STEPS), loss="mse")
    parts = keras.models.clone_model(whole)
    parts.set_weights(whole.get_weights())
    parts.compile(MagnitudePruning("adam", ROUNDS, steps=STEPS), loss="mse")
    options = {"batch_size": 12, "shuffle": False, "verbose": 0}
    whole.fit(X, Y, epochs=3, **options)
    parts.fit(X, Y, epochs=1, **options)
    parts.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.schedule == ROUNDS
    loaded.fit(X, Y, epochs=2, **options)
    for mine, its in zip(loaded.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.slow
def test_resuming(results: Any, copying: Any) -> None:
    """After every step, also those where the weights go back."""
    model = dense(layers.BatchNormalization(), layers.Dropout(0.3))
    data = open_data((X, Y), TRAINING, "data")
    engine = SequentialEngine(model, data, None)
    tasks = [Task("a", ROUNDS, TRAINING, id="a")]
    (whole,) = results(engine, tasks)
    results(engine, tasks, None, None, copying)[0].check_same(whole)
    for step in copying.saved:
        results(engine, tasks, None, None, copying.at(step))[0].check_same(whole)
    assert copying.saved == list(range(1, STEPS + 1))


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_other_types(policy: str, dtype_policy: Any) -> None:
    with dtype_policy(policy):
        model = dense()
    found = train(model, (X, Y), TRAINING, ROUNDS)
    assert found.failure is None
    wanted = [each.size - masks.kept_count(each.size, 0.875) for each in kernels(model)]
    assert [int((each == 0).sum()) for each in kernels(found.model)] == wanted


def test_one_shot_in_a_plain_fit() -> None:
    """The masks are chosen from the weights before the first batch, and training goes on."""
    model = dense()
    first = kernels(model)
    found = snapshots(model, MagnitudePruning("adam", OneShot(0.5)))
    for step in (0, -1):
        for mine, its in zip([each for each in found[step] if each.ndim == 2], first, strict=True):
            np.testing.assert_array_equal(mine != 0, masks.magnitude_mask(its, 0.5))
    assert any(not np.array_equal(*pair) for pair in zip(found[0], found[-1], strict=True))


def test_one_shot_attempts_are_not_trained(results: Any, copying: Any) -> None:
    model = dense(layers.BatchNormalization())
    engine = SequentialEngine(model, open_data((X, Y), TRAINING, "data"), None)
    tasks = [
        Task(f"{seed}", OneShot(0.75), replace(TRAINING, seed=seed), id=f"{seed}")
        for seed in (3, 4)
    ]
    weights = [each + np.float32(0.25) for each in model.get_weights()]
    epochs: list[int] = []
    found = results(engine, tasks, weights, lambda *what: epochs.append(what[1]), copying)
    expected = [
        np.where(masks.magnitude_mask(each, 0.75), each, 0) if each.ndim == 2 else each
        for each in weights
    ]
    for each in found:
        assert (each.history, each.failure) == ({}, None)
        for mine, its in zip(each.weights, expected, strict=True):
            np.testing.assert_array_equal(mine, its)
    assert epochs == copying.saved == []
