"""An attempt that diverges: its step is named as by the sequential engine, others train on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.batches import epoch_order
from trimgrid.data.sources import ArrayData, open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.SGD(0.01), epochs=4, batch_size=16, seed=3)
SCHEDULE = ConstantSparsity(0.5, begin_step=1, frequency=2)


def build() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(12, activation="relu"), layers.Dense(1)]
    )


def test_the_step_is_named_and_neighbours_are_undisturbed(results: Any) -> None:
    model, data = build(), open_data((X, Y), TRAINING, "data")
    # The last two diverge in the first epoch and in a later one.
    rates = [0.01, 0.02, 2e30, 6e4]
    tasks = [Task(f"{r}", SCHEDULE, TRAINING.with_learning_rate(r)) for r in rates]
    reported: list[list[float]] = []
    watched = ArrayData((X, Y), TRAINING.batch_size)
    engine = VectorizedEngine(model, data, TRAINING, watched, attempts=4)
    found = results(engine, tasks, None, lambda names, epoch, losses: reported.append(losses))
    wanted = results(SequentialEngine(model, data, watched), tasks)
    for one, other in zip(found[2:], wanted[2:], strict=True):
        assert one.failure == other.failure
        assert one.failure is not None
        assert one.failure.startswith("the loss became ")
        # Up to and with the epoch in which it happened.
        assert {key: len(each) for key, each in one.history.items()} == {
            key: len(each) for key, each in other.history.items()
        }
        np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-4)
    assert len(found[2].history["loss"]) == 1
    assert len(reported) == 4
    for i, (one, other) in enumerate(zip(found[:2], wanted[:2], strict=True)):
        one.check_close(other)
        # Alone, without such neighbours, the same bits.
        one.check_same(results(engine, tasks[i : i + 1])[0])


def test_a_group_that_diverges_as_a_whole_ends_early(results: Any) -> None:
    y = Y.copy()
    y[7] = np.nan
    first = epoch_order(50, seed=3, epoch=0).tolist().index(7)
    data = open_data((X, y), TRAINING, "data")
    seen: list[int] = []
    engine = VectorizedEngine(build(), data, TRAINING, attempts=2)
    tasks = [Task("a", None, TRAINING), Task("b", SCHEDULE, TRAINING)]
    found = results(engine, tasks, None, lambda names, epoch, losses: seen.append(epoch))
    assert {each.failure for each in found} == {f"the loss became nan at step {first // 16 + 1}"}
    assert [len(each.history["loss"]) for each in found] == [1, 1]
    assert seen[0] == 1
    for one, other in zip(found, results(SequentialEngine(build(), data), tasks), strict=True):
        assert one.failure == other.failure


@keras.saving.register_keras_serializable("divergence")
class NoLoss(keras.Model):  # type: ignore[misc]
    """A training step that does not log its loss."""

    def train_step(self, state: Any, data: Any) -> Any:
        """Train as ever."""
        _, state = super().train_step(state, data)
        return {}, state


@keras.saving.register_keras_serializable("divergence")
class Overflows(layers.Layer):  # type: ignore[misc]
    """Adds nothing, but keeps a number that becomes infinite."""

    def build(self, shape: Any) -> None:
        """Make the number."""
        self.number = self.add_weight(shape=(), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Let the number grow."""
        if training:
            self.number.assign(self.number * 1e10)
        return inputs


@pytest.mark.parametrize("of", ["weights", "other variables"])
def test_weights_that_stop_being_finite(results: Any, of: str) -> None:
    keras.utils.set_random_seed(5)
    x = keras.Input((6,))
    inner = layers.Dense(4)(x if of == "weights" else Overflows()(x))
    model = NoLoss(x, layers.Dense(1)(inner))
    data = open_data((X, Y), TRAINING, "data")
    # Of another length than the trainings that the engine was opened for.
    training = replace(TRAINING, epochs=3)
    task = Task("a", None, training.with_learning_rate(1e30 if of == "weights" else 0.01))
    (one,) = results(SequentialEngine(model, data), [task])
    (other,) = results(VectorizedEngine(model, data, TRAINING), [task])
    assert other.failure == one.failure == "the weights stopped being finite by step 12"
