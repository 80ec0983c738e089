"""A group that was stopped after any call and goes on gives the bits of one that was not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, StreamData, open_data
from trimgrid.engines import feeding, windows
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.errors import RunError
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
# 4 batches an epoch, of which the last has 2 examples.
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=3, batch_size=16, seed=3)
STEPS = 12
SETTINGS = {
    "decay": (PolynomialDecay(0.1, 0.9, frequency=3), TRAINING),
    "other seed": (PolynomialDecay(0.1, 0.9, frequency=3), replace(TRAINING, seed=4)),
    "own rate": (ConstantSparsity(0.5, begin_step=5), TRAINING.with_learning_rate(0.1)),
    "unpruned": (None, TRAINING),
    "diverging": (None, TRAINING.with_learning_rate(1e30)),
}
TASKS = [Task(name, *settings, id=f"id of {name}") for name, settings in SETTINGS.items()]
SHORT = Task("short", ConstantSparsity(0.3), replace(TRAINING, epochs=1), id="id of short")

pytestmark = pytest.mark.usefixtures("_short_calls")


@pytest.fixture
def _short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one step each."""
    monkeypatch.setattr(feeding, "_FIRST_STEPS", 1)
    monkeypatch.setattr(feeding, "_CALL_SECONDS", 0.0)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(9, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


def open_engine(model: Any, data: Any = (X, Y), **options: Any) -> VectorizedEngine:
    opened = open_data(data, TRAINING, "data")
    return VectorizedEngine(model, opened, TRAINING, ArrayData((X[:35], Y[:35]), 20), **options)


@pytest.fixture(scope="module")
def engine(model: Any) -> VectorizedEngine:
    return open_engine(model, attempts=5, seeds=2)


@pytest.fixture(scope="module")
def whole(engine: VectorizedEngine, results: Any) -> Any:
    """What comes out of trainings that are never stopped, by name; in calls of many steps."""
    tasks = [*TASKS, SHORT]
    return dict(zip([task.name for task in tasks], results(engine, tasks), strict=True))


def check(
    results: Any,
    engine: Any,
    tasks: Any,
    checkpoints: Any,
    whole: Any,
    epochs: list[int] | None = None,
) -> None:
    def report(names: Any, epoch: int, losses: Any) -> None:
        if epochs is not None:
            epochs.append(epoch)

    found = results(engine, tasks, None, report, checkpoints)
    for task, one in zip(tasks, found, strict=True):
        other = whole[task.name]
        if task.name == "diverging":
            # What trains beside it decides how long it goes on; its weights mean nothing.
            one, other = (replace(each, weights=[]) for each in (one, other))
        one.check_same(other)


def test_after_every_call(engine: Any, whole: Any, results: Any, copying: Any) -> None:
    check(results, engine, TASKS, copying, whole)
    assert copying.saved == list(range(1, STEPS + 1))
    for step in copying.saved:
        epochs: list[int] = []
        check(results, engine, TASKS, copying.at(step), whole, epochs)
        assert epochs == list(range(step // 4 + 1, 4))


@pytest.mark.slow
def test_others_on_other_rows(
    engine: Any, model: Any, whole: Any, results: Any, copying: Any, monkeypatch: Any
) -> None:
    """Some are done with, one is new; there is room for fewer, in more windows, or in chunks."""
    check(results, engine, TASKS, copying, whole)
    few = [TASKS[2], SHORT, TASKS[0]]
    check(results, engine, few, copying.at(3), whole)
    check(results, engine, [*TASKS[1::-1], SHORT], copying.at(8), whole)
    check(results, engine, [TASKS[4]], copying.at(7), whole)
    check(results, open_engine(model, attempts=1), TASKS, copying.at(6), whole)
    with monkeypatch.context() as patch:
        patch.setattr(windows, "_TAKE_BYTES", 0)
        patch.setattr(feeding, "_CALL_SECONDS", 1.0)
        several = open_engine(model, attempts=5, seeds=2)
    assert several._source.epochs == 1
    check(results, several, TASKS, copying.at(7), whole)
    with monkeypatch.context() as patch:
        patch.setattr(VectorizedEngine, "_copies", lambda self, data: 1 << 60)
        patch.setattr(windows, "_CHUNK_BYTES", 3 * 16 * 7 * 4)
        chunked = open_engine(model, attempts=5, seeds=2, memory=1 << 50)
    assert not chunked._source.resident
    assert chunked._source.capacity == 3
    for step in (2, 3, 8):
        check(results, chunked, TASKS, copying.at(step), whole)


@pytest.mark.slow
def test_streams(model: Any, results: Any, copying: Any, monkeypatch: Any) -> None:
    def stream() -> Any:
        for start, stop in ((0, 8), (8, 20), (20, 28), (28, 40), (40, 43)):
            yield X[start:stop], Y[start:stop]

    monkeypatch.setattr(windows, "_CHUNK_BYTES", 2 * 8 * 7 * 4)
    engine = open_engine(model, stream, attempts=2)
    assert isinstance(engine._source.data, StreamData)
    assert engine._source.capacity == 2
    tasks = TASKS[:3]
    whole = dict(zip([task.name for task in tasks], results(engine, tasks), strict=True))
    check(results, engine, tasks, copying, whole)
    assert copying.saved == list(range(1, 16))  # calls of a step, whatever the chunks
    for step in (4, 5, 12):
        check(results, engine, tasks, copying.at(step), whole)
    monkeypatch.setattr(windows, "_CHUNK_BYTES", 1 << 20)
    other = open_engine(model, stream, attempts=2)
    assert other._source.capacity == 5
    check(results, other, tasks, copying.at(7), whole)


def test_running_out_of_memory_goes_on_from_what_was_saved(
    model: Any, whole: Any, results: Any, copying: Any
) -> None:
    class Fails(type(copying)):  # type: ignore[misc]
        def save(self, ids: Any, step: int, *rest: Any) -> None:
            super().save(ids, step, *rest)
            if step == 6 and self.saved.count(6) == 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.")

    failing = Fails()
    check(results, open_engine(model, attempts=5, seeds=2), TASKS, failing, whole)
    # Two groups then, and each goes on with step 7; in the second one trains that diverges.
    assert failing.saved == [*range(1, 7), *range(7, 13), 7, 8]


def test_a_checkpoint_of_another_engine(engine: Any, results: Any, copying: Any) -> None:
    copying.save([TASKS[0].id], 3, [np.zeros((1, 6, 9), "float32")], {})
    with pytest.raises(RunError, match="made by another version, engine or model"):
        results(engine, TASKS[:1], None, None, copying)
