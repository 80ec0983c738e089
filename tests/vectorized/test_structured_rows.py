"""Structures in the vectorized engine: the oracle's masks, the sequential engine's weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.backends.test_structured_pruning import (
    ATTEMPTS,
    DATA,
    DECAY,
    STILL,
    expected,
    model_of,
)
from tests.conftest import Results
from trimgrid.allocation.sharing import rule_of
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.iterative import IterativePruning, may_rewind
from trimgrid.structures.kinds import Units
from trimgrid.training import Task, Training

MOVING = Training("mse", keras.optimizers.Adam(0.01), epochs=3, batch_size=10, seed=1)


def engine_of(model: Any, tasks: list[Task]) -> VectorizedEngine:
    training = tasks[0].training
    data = open_data(DATA, training, "training data")
    structured = [
        (each.training, may_rewind(each.schedule), each.structure)
        for each in tasks
        if each.structure is not None
    ]
    return VectorizedEngine(
        model,
        data,
        training,
        attempts=len(tasks),
        structured=structured,
        rules={rule_of(each.allocation) for each in tasks},
    )


def test_masks_of_the_oracle(results: Results) -> None:
    model = model_of()
    tasks = [
        Task(f"{place}", DECAY, STILL, allocation=allocation, structure=structure)
        for place, (structure, allocation) in enumerate(ATTEMPTS)
    ]
    found = results(engine_of(model, tasks), tasks)
    for row, attempt in zip(found, ATTEMPTS, strict=True):
        for weights, mask in zip(row.weights[::2], expected(model, *attempt), strict=True):
            np.testing.assert_array_equal(weights != 0, mask)


def test_both_engines_and_rewinding(results: Results) -> None:
    model = model_of()
    rounds = IterativePruning(0.5, 0.3, "weights")
    tasks = [Task("units", rounds, MOVING, structure=Units())]
    sequential = SequentialEngine(model, open_data(DATA, MOVING, "training data"))
    others = results(sequential, tasks)
    for row, other in zip(results(engine_of(model, tasks), tasks), others, strict=True):
        row.check_close(other)
        for mine, theirs in zip(row.weights, other.weights, strict=True):
            np.testing.assert_array_equal(mine != 0, theirs != 0)


def test_resumed(results: Results, copying: Any) -> None:
    model = model_of()
    tasks = [Task("a", DECAY, MOVING, id="a", structure=Units())]
    engine = engine_of(model, tasks)
    (whole,) = results(engine, tasks, None, None, copying)
    step = copying.saved[len(copying.saved) // 2]
    results(engine, tasks, None, None, copying.at(step))[0].check_same(whole)
