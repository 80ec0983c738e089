"""Rows of one group with allocations of their own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.backends.test_allocated_pruning import DATA, DECAY, OF_ALL, STILL, expected, model_of
from tests.conftest import Results
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.training import Task, Training

MOVING = Training("mse", keras.optimizers.Adam(0.01), epochs=3, batch_size=10, seed=1)


def tasks_of(training: Training) -> list[Task]:
    plain = Task("plain", DECAY, training)
    return [plain, *(Task(f"{each}", DECAY, training, allocation=each) for each in OF_ALL)]


def engine_of(model: Any, training: Training, attempts: int) -> VectorizedEngine:
    data = open_data(DATA, training, "training data")
    return VectorizedEngine(model, data, training, attempts=attempts)


def test_masks_of_the_oracle_side_by_side(results: Results) -> None:
    model, tasks = model_of(), tasks_of(STILL)
    found = results(engine_of(model, STILL, len(tasks)), tasks)
    for row, allocation in zip(found[1:], OF_ALL, strict=True):
        for weights, mask in zip(
            row.weights[::2], expected(model, allocation, DECAY.plan(6)), strict=True
        ):
            np.testing.assert_array_equal(weights != 0, mask)


def test_both_engines_and_rows_alone(results: Results) -> None:
    model, tasks = model_of(), tasks_of(MOVING)
    together = results(engine_of(model, MOVING, len(tasks)), tasks)
    sequential = SequentialEngine(model, open_data(DATA, MOVING, "training data"))
    picked = [0, 4, 6]  # none, lamp, uniform with an override
    for place, other in zip(picked, results(sequential, [tasks[i] for i in picked]), strict=True):
        together[place].check_close(other)
    (alone,) = results(engine_of(model, MOVING, 1), [tasks[4]])
    together[4].check_same(alone)
