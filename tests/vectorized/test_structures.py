"""Models with several inputs and outputs, and training steps of one's own, in both engines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid import masks
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=3, batch_size=16, seed=3)
SCHEDULE = PolynomialDecay(0.2, 0.8, begin_step=2, frequency=3)


def test_dicts_of_inputs_and_two_outputs(by_both: Any) -> None:
    keras.utils.set_random_seed(5)
    a, b = keras.Input((6,), name="a"), keras.Input((1,), name="b")
    both = layers.Concatenate()([layers.Dense(8, activation="relu")(a), b])
    model = keras.Model(
        {"a": a, "b": b}, [layers.Dense(1, name="c")(both), layers.Dense(2, name="d")(both)]
    )
    inputs, targets = {"a": X, "b": Y}, [Y, X[:, :2]]
    validation = {"a": X[:20], "b": Y[:20]}, [Y[:20], X[:20, :2]]
    (one,), (other,) = by_both(model, (inputs, targets), TRAINING, [SCHEDULE], validation)
    assert {"c_loss", "val_d_loss"} <= set(other.history)
    other.check_close(one)


@pytest.mark.slow
def test_dicts_of_outputs_with_their_losses_and_metrics(by_both: Any) -> None:
    keras.utils.set_random_seed(5)
    a, b = keras.Input((6,), name="a"), keras.Input((1,), name="b")
    both = layers.Concatenate()([layers.Dense(8, activation="relu")(a), b])
    outputs = {
        "sum": layers.Dense(1, name="sum")(both),
        "class": layers.Dense(3, activation="softmax", name="class")(both),
    }
    model = keras.Model({"a": a, "b": b}, outputs)
    labels = (X.sum(axis=1) * 2).astype("int32") % 3
    error = keras.metrics.MeanAbsoluteError(name="error")
    training = Training(
        {"sum": "mse", "class": "sparse_categorical_crossentropy"},
        keras.optimizers.Adam(0.01),
        epochs=3,
        batch_size=16,
        seed=3,
        metrics={"sum": [error], "class": ["accuracy"]},
        loss_weights={"sum": 0.25, "class": 2.0},
    )
    data = {"a": X, "b": Y}, {"sum": Y, "class": labels}
    (one,), (other,) = by_both(model, data, training, [SCHEDULE], data)
    assert {"sum_error", "class_accuracy", "val_sum_error"} <= set(other.history)
    total = 0.25 * np.array(other.history["sum_loss"]) + 2 * np.array(other.history["class_loss"])
    np.testing.assert_allclose(other.history["loss"], total, rtol=1e-4)
    other.check_close(one)
    # The caller's metric was not used itself.
    assert float(error.result()) == 0.0


@keras.saving.register_keras_serializable("structures")
class Watched(keras.Model):  # type: ignore[misc]
    """Logs in each step which weights are zero: a sum of numbers that depend on the place."""

    def train_step(self, state: Any, data: Any) -> Any:
        """Train as ever; the pattern of zeros is that before the batch."""
        kernels = [value for value in state[0] if value.ndim > 1]
        logs, state = super().train_step(state, data)
        for i, kernel in enumerate(kernels):
            places = np.random.default_rng(i).integers(2**16, size=kernel.shape)
            zeros = ops.where(kernel == 0, places.astype("float32"), 0.0)
            logs[f"zeros_{i}"] = ops.sum(zeros)
        return logs, state


class Prefix:
    """A schedule of one's own: the first part of a plan."""

    def __init__(self, *targets: float) -> None:
        self.targets = targets

    def plan(self, steps: int) -> Any:
        """The sparsity at each step."""
        return np.array(self.targets[: steps + 1])


def test_masks_at_every_update(by_both: Any) -> None:
    """A batch is an epoch here, so that the history tells of every step."""
    keras.utils.set_random_seed(5)
    x = keras.Input((6,))
    hidden = layers.Dense(9, activation="tanh")(x)
    model = Watched(x, layers.Dense(1)(layers.Dense(9, activation="relu")(hidden)))
    training = Training("mse", keras.optimizers.Adam(0.05), epochs=24, batch_size=50)
    none = np.nan
    # At each step; now and then, down too; from step 0 and at the last; none but one.
    schedules = [
        Prefix(*np.linspace(0, 0.96, 25)),
        Prefix(0.3, none, none, 0.9, none, 0.2, *[none] * 5, 0.7, *[none] * 12, 0.5),
        Prefix(*[0.5] * 25),
        Prefix(*[none] * 24, 0.99),
    ]
    for schedule, one, other in zip(
        schedules, *by_both(model, (X, Y), training, schedules), strict=True
    ):
        assert len(other.history["zeros_0"]) == 24
        for i in range(3):
            assert other.history[f"zeros_{i}"] == one.history[f"zeros_{i}"]
        other.check_close(one)
        last = [sparsity for sparsity in schedule.plan(24) if not np.isnan(sparsity)][-1]
        for kernel in other.weights[::2]:
            assert (kernel == 0).sum() == kernel.size - masks.kept_count(kernel.size, last)


@keras.saving.register_keras_serializable("structures")
class Quiet(keras.Model):  # type: ignore[misc]
    """A training step that logs no loss, but something else."""

    def train_step(self, state: Any, data: Any) -> Any:
        """Train as ever."""
        before = state[0][0][0, 0]
        _, state = super().train_step(state, data)
        return {"first": before}, state


def test_a_step_that_logs_no_loss(by_both: Any) -> None:
    keras.utils.set_random_seed(5)
    x = keras.Input((6,))
    model = Quiet(x, layers.Dense(1)(layers.Dense(8)(x)))
    (one,), (other,) = by_both(model, (X, Y), TRAINING, [ConstantSparsity(0.5, begin_step=4)])
    assert set(other.history) == {"first"}
    other.check_close(one)


def test_epochs_without_a_loss_are_reported_all_the_same(results: Any) -> None:
    from trimgrid.data.sources import open_data
    from trimgrid.training import Task

    x = keras.Input((6,))
    model = Quiet(x, layers.Dense(1)(x))
    seen: list[tuple[list[str], int, list[float]]] = []
    engine = VectorizedEngine(model, open_data((X, Y), TRAINING, "data"), TRAINING, attempts=2)
    tasks = [Task(name, None, TRAINING) for name in ("a", "b")]
    results(engine, tasks, None, lambda *found: seen.append(found))
    assert [(names, epoch) for names, epoch, _ in seen] == [(["a", "b"], i) for i in (1, 2, 3)]
    assert all(np.isnan(losses).all() for _, _, losses in seen)
