"""Rows that are stopped leave the others their bits, whether the run goes on or not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, open_data
from trimgrid.engines import feeding
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.halving import Decisions, Halving
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

X = np.random.default_rng(0).random((40, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=4, batch_size=16, seed=3)
NAMES = ["a", "b", "c", "d", "e"]
TASKS = [
    Task(name, ConstantSparsity(0.1 * place, frequency=2), TRAINING, id=f"id of {name}")
    for place, name in enumerate(NAMES)
]
STOPS = {1: {"b"}, 2: {"d", "e"}}


class Told(Halving):
    """Stops those that it is told to."""

    def __init__(self, decisions: Decisions | None = None) -> None:
        super().__init__([1, 2], dict.fromkeys(NAMES, 1.0), decisions)
        self.asked: list[tuple[int, list[str]]] = []
        self.losses: dict[tuple[int, str], float] = {}

    def hopeless(self, epoch: int, names: Any, losses: Any) -> set[str]:
        self.asked.append((epoch, list(names)))
        self.losses |= {(epoch, n): loss for n, loss in zip(names, losses, strict=True)}
        return STOPS.get(epoch, set()) & set(names)


def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(9, activation="tanh"),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )


@pytest.fixture(scope="module")
def data() -> Any:
    return open_data((X, Y), TRAINING, "data")


@pytest.fixture(scope="module")
def engine(data: Any) -> VectorizedEngine:
    return VectorizedEngine(model(), data, TRAINING, ArrayData((X[:20], Y[:20]), 20), attempts=5)


@pytest.fixture(scope="module")
def whole(engine: Any, results: Any) -> Any:
    return results(engine, TASKS)


def prefix(history: dict[str, list[float]], epochs: int) -> dict[str, list[float]]:
    return {key: values[:epochs] for key, values in history.items()}


def check(found: Any, whole: Any) -> None:
    for name, mine, its in zip(NAMES, found, whole, strict=True):
        epochs = next((epoch for epoch, names in STOPS.items() if name in names), 4)
        assert mine.history == prefix(its.history, epochs), name
        if epochs == 4:
            mine.check_same(its)


def test_those_that_stay_have_the_same_bits(engine: Any, whole: Any, results: Any) -> None:
    halving, losses = Told(), []
    found = results(
        engine, TASKS, None, lambda names, epoch, loss: losses.append((names, loss)), None, halving
    )
    check(found, whole)
    assert halving.asked[:2] == [(1, NAMES), (2, ["a", "c", "d", "e"])]
    assert halving.losses[1, "b"] == whole[1].history["val_loss"][0]
    assert [names for names, _ in losses] == [NAMES] * 4
    nan = [[bool(np.isnan(each)) for each in loss] for _, loss in losses]
    assert nan[0] == [False] * 5
    assert nan[-1] == [False, True, False, True, True]


def test_stopped_attempts_say_after_which_epoch(engine: Any) -> None:
    found = {place: each.stopped for place, each in engine.train(TASKS, halving=Told())}
    assert found == {0: None, 1: 1, 2: None, 3: 2, 4: 2}


def test_a_run_that_goes_on_after_any_call(
    data: Any, whole: Any, results: Any, copying: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_FIRST_STEPS", 1)
    monkeypatch.setattr(feeding, "_CALL_SECONDS", 0.0)
    engine = VectorizedEngine(model(), data, TRAINING, ArrayData((X[:20], Y[:20]), 20), attempts=5)
    check(results(engine, TASKS, None, None, copying, Told()), whole)
    for step in (2, 3, 5, 6, 8):
        check(results(engine, TASKS, None, None, copying.at(step), Told()), whole)


def test_one_after_the_other(data: Any, results: Any) -> None:
    engine = SequentialEngine(model(), data)
    whole = results(engine, TASKS[:2])
    first, second = results(engine, TASKS[:2], None, None, None, Told())
    first.check_same(whole[0])
    assert second.history == prefix(whole[1].history, 1)
    assert [each.stopped for _, each in engine.train(TASKS[:2], halving=Told())] == [None, 1]


def test_one_that_went_on_from_the_middle_of_an_epoch(
    data: Any, results: Any, copying: Any
) -> None:
    engine = SequentialEngine(model(), data)
    whole = results(engine, TASKS[1:2], None, None, copying, Told())
    assert copying.saved == [1, 2]  # of an attempt that is stopped the end is not saved
    again = results(engine, TASKS[1:2], None, None, copying.at(2), Told())
    again[0].check_same(whole[0])
