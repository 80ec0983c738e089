"""What attempts may differ in, and how many programs that takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid.data.sources import open_data
from trimgrid.engines import group
from trimgrid.engines.program import build_program
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", optimizers.Adam(0.01), epochs=3, batch_size=16, seed=3)
SCHEDULE = ConstantSparsity(0.5, frequency=2)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs that are built."""
    built: list[Any] = []

    def counted(model: Any, layout: Any, mesh: Any) -> Any:
        built.append(layout)
        return build_program(model, layout, mesh)

    monkeypatch.setattr(group, "build_program", counted)
    return built


def test_learning_rates_seeds_and_optimizers(results: Any, programs: list[Any]) -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )
    data = open_data((X, Y), TRAINING, "data")
    trainings = [
        TRAINING,
        TRAINING.with_learning_rate(0.1),
        replace(TRAINING, seed=8),
        replace(TRAINING, optimizer=optimizers.Adam(0.003), seed=4),  # a learning rate, too
    ]
    tasks = [Task("a", SCHEDULE, each) for each in trainings]
    engine = VectorizedEngine(model, data, TRAINING, attempts=6, seeds=3)
    found = results(engine, tasks)
    assert len(programs) == 1
    others = [
        Task("b", SCHEDULE, replace(TRAINING, optimizer=optimizers.Adam(0.01, beta_1=0.5))),
        Task("c", SCHEDULE, replace(TRAINING, optimizer="sgd")),
        tasks[0],
        Task("d", SCHEDULE, replace(TRAINING, optimizer=optimizers.SGD(0.2))),
    ]
    more = results(engine, others)
    assert len(programs) == 3
    more[2].check_same(found[0])
    some = [(found[1], tasks[1]), (found[3], tasks[3]), (more[0], others[0]), (more[3], others[3])]
    wanted = results(SequentialEngine(model, data), [task for _, task in some])
    for (one, _), other in zip(some, wanted, strict=True):
        one.check_close(other)
    # They really differ.
    kernels = [each.weights[0].tobytes() for each in [*found, *more]]
    assert len(set(kernels)) == 7


def test_each_training_begins_from_the_weights_given(results: Any) -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3), layers.Dense(1)])
    data = open_data((X, Y), TRAINING, "data")
    engine = VectorizedEngine(model, data, TRAINING, attempts=2)
    weights = [array + 0.1 for array in model.get_weights()]
    (moved,) = results(engine, [Task("a", SCHEDULE, TRAINING)], weights)
    (back,) = results(engine, [Task("a", SCHEDULE, TRAINING)])
    sequential = SequentialEngine(model, data)
    moved.check_close(results(sequential, [Task("a", SCHEDULE, TRAINING)], weights)[0])
    back.check_close(results(sequential, [Task("a", SCHEDULE, TRAINING)])[0])
    assert (moved.weights[0] != back.weights[0]).any()
