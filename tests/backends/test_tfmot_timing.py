"""A training in TFMOT's timing, beside TFMOT's order of work written out in NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid import (
    AttemptConfig,
    BeginPruning,
    ConstantSparsity,
    InputError,
    MagnitudePruning,
    PolynomialDecay,
    Study,
    Training,
    magnitude_mask,
)
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.training import Task

BATCHES, EPOCHS, SIZE, RATE = 4, 3, 5, 0.6
DECAY = PolynomialDecay(0.2, 0.75, begin_step=1, end_step=9, frequency=2, timing="tfmot")
SCHEDULES = {
    "decay": DECAY,
    "at the begin of each epoch": ConstantSparsity(0.5, 1, frequency=BATCHES, timing="tfmot"),
    "each batch": ConstantSparsity(0.6, frequency=1, timing="tfmot"),
    "once": ConstantSparsity(0.6, 6, 6, timing="tfmot"),
}


@pytest.fixture(scope="module")
def data() -> tuple[NDArray[Any], NDArray[Any]]:
    draw = np.random.default_rng(3)
    rows = BATCHES * SIZE
    return draw.normal(size=(rows, 6)).astype("float32"), draw.normal(size=(rows, 4)).astype("f4")


def linear() -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, use_bias=False)])


def as_tfmot_does(
    weights: NDArray[Any], batches: list[Any], schedule: Any, masked_at_ends: bool = True
) -> NDArray[Any]:
    """Gradient descent on the mean squared error, pruned in TFMOT's order."""
    mask = np.ones_like(weights, dtype=bool)
    for step, (x, y) in enumerate(batches, 1):
        due, sparsity = schedule(step)
        if due:
            mask = magnitude_mask(weights, sparsity)
        weights = weights * mask
        gradient = 2 * x.T @ (x @ weights - y) / y.size
        weights = weights - RATE * gradient
        if step % BATCHES == 0 and masked_at_ends:
            weights = weights * mask
    found: NDArray[Any] = weights * mask
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_fit_does_what_tfmot_does(data: Any, name: str) -> None:
    schedule, model = SCHEDULES[name], linear()
    (start,) = model.get_weights()
    cut = np.split(np.arange(len(data[0])), BATCHES)
    batches = [(data[0][rows], data[1][rows]) for rows in cut] * EPOCHS
    expected = as_tfmot_does(start, batches, schedule)
    model.compile(MagnitudePruning(keras.optimizers.SGD(RATE), schedule), loss="mse")
    settings = {"batch_size": SIZE, "epochs": EPOCHS, "shuffle": False, "verbose": 0}
    model.fit(*data, **settings, callbacks=[BeginPruning()])
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[0] == 0, expected == 0)
    if name == "at the begin of each epoch":
        other = as_tfmot_does(start, batches, schedule, masked_at_ends=False)
        assert not np.array_equal(other == 0, expected == 0)


@pytest.mark.parametrize("engine", ["sequential", "vectorized"])
def test_the_engines_do_what_tfmot_does(data: Any, engine: str) -> None:
    """All schedules in one grid, with attempts of our own timing between them."""
    if engine == "vectorized" and keras.config.backend() != "jax":
        pytest.skip("the vectorized engine needs JAX")
    model, training = linear(), Training("mse", keras.optimizers.SGD(RATE), EPOCHS, SIZE, seed=2)
    opened = open_data(data, training, "training data")
    batches = [batch[:2] for epoch in range(EPOCHS) for batch in opened.epoch(2, epoch)]
    tasks = [Task(name, schedule, training) for name, schedule in SCHEDULES.items()]
    tasks.insert(1, Task("ours", ConstantSparsity(0.5, frequency=BATCHES), training))
    if engine == "sequential":
        trained: Any = SequentialEngine(model, opened).train(tasks)
    else:
        from trimgrid.engines.vectorized import VectorizedEngine

        trained = VectorizedEngine(model, opened, training, attempts=5).train(tasks)
    found = {tasks[place].name: each.model.get_weights()[0] for place, each in trained}
    (start,) = model.get_weights()
    for name, schedule in SCHEDULES.items():
        expected = as_tfmot_does(start, batches, schedule)
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
        np.testing.assert_array_equal(found[name] == 0, expected == 0)


def test_without_an_end_and_without_a_length(data: Any) -> None:
    model = linear()
    (start,) = model.get_weights()
    schedule = ConstantSparsity(0.5, 3, frequency=5, timing="tfmot")
    model.compile(MagnitudePruning(keras.optimizers.SGD(RATE), schedule), loss="mse")
    zeros = []
    for _ in range(3):
        model.train_on_batch(data[0][:SIZE], data[1][:SIZE])
        zeros.append(int((model.get_weights()[0] == 0).sum()))
    # In front of batch 3: the masks are chosen with the update of batch 2.
    assert zeros == [0, 12, 12]
    assert not np.array_equal(start, model.get_weights()[0])


def test_what_stops_short_is_said(data: Any, tmp_path: Any) -> None:
    short = PolynomialDecay(0.0, 0.8, end_step=11, frequency=5, timing="tfmot")
    model = linear()
    model.compile(MagnitudePruning("sgd", short), loss="mse")
    with pytest.warns(UserWarning, match=r"It stops at .* and never reaches its 80\.0 %"):
        model.fit(*data, batch_size=SIZE, epochs=3, callbacks=[BeginPruning()], verbose=0)
    with pytest.warns(UserWarning, match="It stops at") as told:
        optimizer = MagnitudePruning("sgd", short, steps=12)
    assert len(told) == 1
    model.compile(optimizer, loss="mse")  # which has said it
    model.fit(*data, batch_size=SIZE, epochs=3, callbacks=[BeginPruning()], verbose=0)
    again = MagnitudePruning.from_config(optimizer.get_config())
    assert (again.steps, again.schedule) == (12, short)
    said: list[str] = []
    study = Study(linear(), data, test=data, loss="mse", epochs=3, batch_size=SIZE)
    grid = [AttemptConfig("short", short), AttemptConfig("right", DECAY)]
    study.run(grid, tmp_path, tflite=False, say=said.append, progress=False)
    assert [line[:18] for line in said if "never reaches" in line] == ["short: It stops at"]


def test_a_schedule_that_never_prunes_is_refused_before_training(data: Any, tmp_path: Any) -> None:
    idle = ConstantSparsity(0.5, frequency=100, timing="tfmot")
    study = Study(linear(), data, test=data, loss="mse", epochs=3, batch_size=SIZE)
    with pytest.raises(InputError, match=r"idle: A schedule must prune at least once.*steps=12"):
        study.run([AttemptConfig("idle", idle)], tmp_path, tflite=False)
    model = linear()
    model.compile(MagnitudePruning("sgd", idle), loss="mse")
    with pytest.raises(InputError, match="must prune at least once"):
        model.fit(*data, batch_size=SIZE, callbacks=[BeginPruning()], verbose=0)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "4"])
def test_the_length_of_an_epoch_is_a_count(wrong: Any) -> None:
    with pytest.raises(InputError, match="steps_per_epoch must be an integer of at least 1"):
        MagnitudePruning("sgd", DECAY, steps_per_epoch=wrong)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")  # so it tells its end
def test_the_length_of_an_epoch_is_needed(data: Any) -> None:
    def endless() -> Any:
        for _ in range(BATCHES):
            yield data[0][:SIZE], data[1][:SIZE]

    model = linear()
    model.compile(MagnitudePruning("sgd", DECAY, steps=12), loss="mse")
    settings: dict[str, Any] = {"callbacks": [BeginPruning()], "shuffle": False, "verbose": 0}
    with pytest.raises(InputError, match="TFMOT's timing needs the number of batches in an epoch"):
        model.fit(endless(), **settings)
    model.compile(MagnitudePruning("sgd", DECAY, steps=12, steps_per_epoch=4), loss="mse")
    model.fit(endless(), **settings)


def test_it_is_saved_and_loaded(data: Any, tmp_path: Any) -> None:
    model = linear()
    model.compile(MagnitudePruning("sgd", DECAY), loss="mse")
    model.fit(*data, batch_size=SIZE, epochs=3, callbacks=[BeginPruning()], verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert (optimizer.schedule, optimizer.steps_per_epoch) == (DECAY, BATCHES)
