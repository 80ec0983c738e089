"""Rows that go back to where they began, beside rows that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, open_data
from trimgrid.engines import feeding
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.iterative import IterativePruning
from trimgrid.one_shot import OneShot
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
# 4 batches an epoch, of which the last has 2 examples.
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=3, batch_size=16, seed=3)
STEPS = 12
PLAIN: dict[str, tuple[Any, Training]] = {
    "constant": (ConstantSparsity(0.5, begin_step=2, frequency=3), TRAINING),
    "unpruned": (None, TRAINING),
    "rounds": (IterativePruning(0.8, 0.5), TRAINING),
}
REWINDING: dict[str, tuple[Any, Training]] = {
    "weights": (IterativePruning(0.8, 0.5, "weights"), TRAINING),
    # The whole rounds of another seed at another rate, beginning at 3, 6 and 9.
    "ticket": (
        IterativePruning(0.8, 0.5, "weights", begin_step=3),
        replace(TRAINING, seed=4).with_learning_rate(0.02),
    ),
    "once": (IterativePruning(0.4, 0.5, "weights", begin_step=5), TRAINING),
}


def tasks_of(*settings: dict[str, tuple[Any, Training]]) -> list[Task]:
    return [
        Task(name, schedule, training, id=f"id of {name}")
        for part in settings
        for name, (schedule, training) in part.items()
    ]


TASKS = tasks_of(PLAIN, REWINDING, {"cut": (OneShot(0.7), TRAINING)})


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            # No bias: batch normalization takes it away, and Adam follows the rounding of nothing.
            layers.Dense(9, activation="tanh", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


def open_engine(model: Any, **options: Any) -> VectorizedEngine:
    opened = open_data((X, Y), TRAINING, "data")
    return VectorizedEngine(model, opened, TRAINING, ArrayData((X[:35], Y[:35]), 20), **options)


@pytest.fixture(scope="module")
def engine(model: Any) -> VectorizedEngine:
    return open_engine(model, attempts=7, seeds=2, rewinding=[TRAINING])


@pytest.fixture(scope="module")
def together(engine: VectorizedEngine, results: Any) -> Any:
    return dict(zip([task.name for task in TASKS], results(engine, TASKS), strict=True))


def test_both_engines(model: Any, together: Any, results: Any) -> None:
    data = open_data((X, Y), TRAINING, "data")
    sequential = SequentialEngine(model, data, ArrayData((X[:35], Y[:35]), 20))
    # The others know no rounds, and are seen to by other tests.
    tasks = [task for task in TASKS if task.name in ("rounds", "weights", "ticket", "cut")]
    for task, one in zip(tasks, results(sequential, tasks), strict=True):
        assert bool(one.history) == (task.name != "cut")
        together[task.name].check_close(one)


@pytest.mark.slow
def test_rows_do_not_depend_on_those_beside_them(model: Any, together: Any, results: Any) -> None:
    """Those that never rewind train as if there were none that do, and the other way round."""
    for part in (PLAIN, REWINDING):
        tasks = tasks_of(part)
        for task, one in zip(
            tasks, results(open_engine(model, attempts=3, seeds=2), tasks), strict=True
        ):
            one.check_same(together[task.name])
    for name in REWINDING:
        (one,) = results(open_engine(model), tasks_of({name: REWINDING[name]}))
        one.check_same(together[name])


def test_weights_that_are_given(model: Any, engine: Any, results: Any) -> None:
    """Rows go back to the weights from which they start, not to the model's own."""
    task = tasks_of(REWINDING)[1:2]
    weights = [each + np.float32(0.1) for each in model.get_weights()]
    (vectorized,) = results(engine, task, weights)
    (sequential,) = results(
        SequentialEngine(model, open_data((X, Y), TRAINING, "data"), None), task, weights
    )
    for mine, its in zip(vectorized.weights, sequential.weights, strict=True):
        np.testing.assert_array_equal(mine == 0, its == 0)
        np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-4)


def test_resuming(
    engine: Any, together: Any, results: Any, copying: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_FIRST_STEPS", 1)
    monkeypatch.setattr(feeding, "_CALL_SECONDS", 0.0)
    tasks = tasks_of(REWINDING)
    for one in (results(engine, tasks, None, None, copying), results(engine, tasks)):
        for task, each in zip(tasks, one, strict=True):
            each.check_same(together[task.name])
    assert copying.saved == list(range(1, STEPS + 1))
    for step in copying.saved:
        resumed = results(engine, tasks, None, None, copying.at(step))
        for task, each in zip(tasks, resumed, strict=True):
            each.check_same(together[task.name])


def test_programs_without_rewinding_have_nothing_of_it(engine: Any) -> None:
    """What rows go back to is no argument of the other program, and held once, not for each row."""
    programs = engine._programs
    plain = programs.program(TRAINING, alone=False).lower()
    rewinding = programs.program(TRAINING, alone=False, rewinding=True)
    variables = len(engine._original.trainable_variables)
    # The weights; the count of steps and Adam's two slots of each; when it is due.
    added = variables + 1 + 2 * variables + 1
    shapes = [each.shape for each in rewinding.lower().in_avals[0][2].start.trainable]
    assert shapes == [tuple(each.shape) for each in engine._original.trainable_variables]
    assert len(_leaves(rewinding.lower())) - len(_leaves(plain)) == added


def _leaves(lowered: Any) -> list[Any]:
    return jax.tree.leaves(lowered.in_avals)
