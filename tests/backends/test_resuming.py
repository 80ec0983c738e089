"""A training in `model.fit` that was stopped anywhere and goes on gives the bits of one that was
not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError, RunError
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
# 4 batches an epoch, of which the last has 2 examples.
TRAINING = Training("mse", "adam", epochs=3, batch_size=16, seed=3)


def check(
    results: Any, copying: Any, model: Any, training: Training, steps: Any, **options: Any
) -> Any:
    """Train in one go, then from the checkpoints of some steps on; return what came out."""
    data = open_data(options.get("data", (X, Y)), training, "data")
    watched = open_data((X[:35], Y[:35]), training, "validation data")
    engine = SequentialEngine(model, data, watched)
    schedule = options.get("schedule", PolynomialDecay(0.1, 0.7, frequency=3))
    tasks = [Task("a", schedule, training, id="a")]
    (whole,) = results(engine, tasks)
    results(engine, tasks, None, None, copying)[0].check_same(whole)
    ends = len(whole.history["loss"]) * len(data.sizes)
    assert copying.saved == list(range(1, ends + 1))
    for step in steps:
        epochs: list[int] = []
        resumed = results(
            engine,
            tasks,
            None,
            lambda names, epoch, losses, epochs=epochs: epochs.append(epoch),
            copying.at(step),
        )
        resumed[0].check_same(whole)
        first = step // len(data.sizes) + 1
        assert epochs == list(range(first, len(whole.history["loss"]) + 1))
    return whole


def dense(*parts: Any) -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(9, activation="tanh"), *parts, layers.Dense(1)]
    )


def test_at_every_step(results: Any, copying: Any) -> None:
    model = dense(layers.BatchNormalization(), layers.Dropout(0.3))
    rates = optimizers.schedules.ExponentialDecay(0.02, 2, 0.8)
    training = replace(
        TRAINING, optimizer=optimizers.Adam(rates, clipnorm=0.1), metrics=("mae",), epochs=2
    )
    whole = check(results, copying, model, training, range(1, 9))
    assert set(whole.history) == {"loss", "mae", "val_loss", "val_mae"}


@pytest.mark.slow
def test_scaled_losses(results: Any, copying: Any, dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = dense(layers.Dropout(0.3))
    # Scaled gradients overflow at first, and steps are skipped.
    data = X, 60000 * np.sign(Y)
    check(results, copying, model, TRAINING, (2, 5, 8), data=data)


@pytest.mark.slow
def test_weights_in_bfloat16(results: Any, copying: Any, dtype_policy: Any) -> None:
    with dtype_policy("bfloat16"):
        model = dense()
    whole = check(results, copying, model, TRAINING, (3, 12))
    assert {array.dtype.name for array in whole.weights} == {"bfloat16"}


@pytest.mark.slow
def test_averages_that_take_the_place_of_weights_at_the_end(results: Any, copying: Any) -> None:
    training = replace(TRAINING, optimizer=optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8))
    check(results, copying, dense(), training, (3, 4, 10, 12))


@pytest.mark.slow
def test_a_stream_without_pruning(results: Any, copying: Any) -> None:
    def stream() -> Iterator[Any]:
        for start, stop in ((0, 12), (12, 20), (20, 32), (32, 35)):
            yield X[start:stop], Y[start:stop]

    model = dense(layers.Dropout(0.3))
    check(results, copying, model, TRAINING, (1, 7, 11), data=stream, schedule=None)


def test_a_training_that_diverges(results: Any, copying: Any) -> None:
    training = replace(TRAINING, optimizer=optimizers.SGD(2e8))
    whole = check(results, copying, dense(), training, (1, 3, 4), schedule=None)
    assert whole.failure is not None
    assert len(whole.history["loss"]) == 1


@pytest.mark.slow
def test_each_training_goes_on_from_its_own(results: Any, tmp_path: Path) -> None:
    """Of three trainings one is done, one is in the middle, and one has not begun."""
    engine = SequentialEngine(dense(), open_data((X, Y), TRAINING, "data"))
    tasks = [
        Task(f"{i}", ConstantSparsity(i / 10, frequency=2), replace(TRAINING, seed=i), id=f"id{i}")
        for i in range(1, 4)
    ]
    whole = results(engine, tasks)

    class Stops(Checkpoints):
        def save(self, ids: Any, step: int, *rest: Any) -> None:
            super().save(ids, step, *rest)
            if (ids, step) == (["id2"], 6):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results(engine, tasks, None, None, Stops(tmp_path, every=0))
    checkpoints = Checkpoints(tmp_path)
    assert [checkpoints.step(task.id) for task in tasks] == [12, 6, 0]
    for one, other in zip(results(engine, tasks, None, None, checkpoints), whole, strict=True):
        one.check_same(other)


@pytest.mark.parametrize("ids", [["", "a"], ["a", "a"]])
def test_trainings_must_be_told_apart(tmp_path: Path, ids: list[str]) -> None:
    engine = SequentialEngine(dense(), open_data((X, Y), TRAINING, "data"))
    tasks = [Task("a", None, TRAINING, id=each) for each in ids]
    with pytest.raises(InputError, match=r"ids of their own. Received: 2 tasks with 1 ids"):
        next(engine.train(tasks, None, None, Checkpoints(tmp_path)))


def test_a_checkpoint_of_another_training(tmp_path: Path) -> None:
    engine = SequentialEngine(dense(), open_data((X, Y), TRAINING, "data"))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(["a"], 3, [np.zeros((1, 6, 9), "float32")], {})
    with pytest.raises(RunError, match=r"\.npz', made by another version, engine or model. Rem"):
        next(engine.train([Task("a", None, TRAINING, id="a")], None, None, checkpoints))
