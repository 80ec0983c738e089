"""Planned learning rates in `model.fit`: each batch has its own, also after a resume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid.compiled_settings import counted_steps
from trimgrid.data.batches import epoch_order
from trimgrid.data.sources import open_data
from trimgrid.engines.rated_pruning import RatedPruning
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.learning_rates import Cosine, OneCycle
from trimgrid.rate_rewinding import Rewound, with_planned_rate
from trimgrid.runs.checking import Lengths, tasks_of
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

SCHEDULES = optimizers.schedules
RATES = [
    SCHEDULES.ExponentialDecay(0.1, 70, 0.8, staircase=True),
    SCHEDULES.CosineDecay(0.01, 900, warmup_steps=50, warmup_target=0.5),
    SCHEDULES.PiecewiseConstantDecay([10, 500], [1.0, 0.5, 0.1]),
    SCHEDULES.PolynomialDecay(0.1, 300, 0.01, cycle=True),
    SCHEDULES.InverseTimeDecay(0.1, 10, 0.5),
]
# Each batch is one example, of which one input alone is 1. So a weight, 0 at first, becomes the
# negative of the learning rate of its batch, to the bit.
COUNT = 12
ONE_HOT = np.eye(COUNT, dtype="float32"), np.zeros((COUNT, 1), "float32")
NONE = ConstantSparsity(0.0, frequency=5)


@keras.saving.register_keras_serializable("rates")  # type: ignore[untyped-decorator]
def output(y_true: Any, y_pred: Any) -> Any:
    """The output is the loss."""
    return keras.ops.mean(y_pred, axis=-1)


TRAINING = Training(output, optimizers.SGD(0.5), batch_size=1, seed=3)


@keras.saving.register_keras_serializable("rates")
class Table(optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate of the user's own for each step, which must be an integer."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        """The rate of the step."""
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates, "float32"), step)

    def get_config(self) -> dict[str, Any]:
        """All arguments."""
        return {"rates": self.rates}


def one_hot(policy: str | None = None) -> Any:
    return keras.Sequential(
        [
            keras.Input((COUNT,)),
            layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype=policy),
        ]
    )


def used(found: Any) -> Any:
    """The rates that the batches of an epoch had."""
    return -found.weights[0].ravel()[epoch_order(COUNT, TRAINING.seed, 0)]


@pytest.mark.parametrize("rate", [Cosine(0.3, 0.25), OneCycle(0.2)])
@pytest.mark.parametrize("own", [optimizers.SGD(0.5), optimizers.SGD(RATES[0])])
def test_each_batch_has_its_rate(results: Any, rate: Any, own: Any) -> None:
    engine = SequentialEngine(one_hot(), open_data(ONE_HOT, TRAINING, "data"))
    attempt = AttemptConfig("a", NONE, learning_rate=rate)
    training = replace(TRAINING, optimizer=own)
    (found,) = results(engine, tasks_of(attempt, training, 1, Lengths(COUNT, COUNT)))
    np.testing.assert_array_equal(used(found), rate.plan(COUNT))


def test_batches_that_are_skipped_count(results: Any, dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = one_hot()
    # Scaled by 2 ** 18, and by 2 ** 17 and 2 ** 16, a gradient of 1 is infinite in float16.
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(0.5), initial_scale=2.0**18)
    training = replace(TRAINING, optimizer=scaled)
    attempt = AttemptConfig("a", NONE, learning_rate=OneCycle(0.2))
    engine = SequentialEngine(model, open_data(ONE_HOT, TRAINING, "data"))
    (found,) = results(engine, tasks_of(attempt, training, 1, Lengths(COUNT, COUNT)))
    wanted = OneCycle(0.2).plan(COUNT)
    wanted[:3] = 0
    np.testing.assert_array_equal(used(found), wanted)


def test_rounds(results: Any) -> None:
    class InRounds(ConstantSparsity):
        def rate_rounds(self, steps: int) -> list[int]:
            return [0, steps // 3, steps // 2]

    engine = SequentialEngine(one_hot(), open_data(ONE_HOT, TRAINING, "data"))
    attempt = AttemptConfig("a", InRounds(0.0, frequency=5), learning_rate=Cosine(0.3))
    (found,) = results(engine, tasks_of(attempt, TRAINING, 1, Lengths(COUNT, COUNT)))
    wanted = np.concatenate([Cosine(0.3).plan(length) for length in (4, 2, 6)])
    np.testing.assert_array_equal(used(found), wanted)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: type(rate).__name__)
@pytest.mark.parametrize("steps", [1, 300, 1000, 1700])
def test_rewound(rate: Any, steps: int) -> None:
    plan = Rewound(Training("mse", optimizers.Adam(rate)), 1000).plan(steps)
    assert plan.shape == (steps,)
    assert plan.dtype == np.float32
    for step in range(0, steps, max(1, steps // 9)):
        wanted = float(rate(keras.ops.convert_to_tensor(step * 1000 // steps)))
        np.testing.assert_allclose(plan[step], wanted, rtol=2e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_rewound_tables_and_constants(scaled: bool) -> None:
    def rewound(rate: Any, original: int, steps: int) -> list[float]:
        optimizer = optimizers.SGD(rate)
        if scaled:
            optimizer = optimizers.LossScaleOptimizer(optimizer)
        found: list[float] = Rewound(Training("mse", optimizer), original).plan(steps).tolist()
        return found

    table = Table([0.5, 0.25, 0.125, 0.0625])
    assert rewound(table, 4, 4) == table.rates
    assert rewound(table, 4, 2) == [0.5, 0.125]
    assert rewound(table, 2, 4) == [0.5, 0.5, 0.25, 0.25]
    assert rewound(0.25, 7, 3) == [0.25] * 3


def test_a_schedule_that_gives_no_rates() -> None:
    broken = Rewound(Training("mse", optimizers.SGD(Table([0.5, float("nan")]))), 2)
    with pytest.raises(InputError, match=r"finite numbers\. Received: nan from .*Table"):
        broken.plan(2)
    zero = np.zeros(3, np.float32)
    with pytest.raises(InputError, match="A learning rate must be a finite number above 0"):
        with_planned_rate(Training("mse"), zero)


class Fixed(optimizers.SGD):  # type: ignore[misc]
    """An optimizer that lets nobody choose its rate."""

    def __init__(self, name: str = "fixed") -> None:
        super().__init__(0.5, name=name)

    def get_config(self) -> dict[str, Any]:
        """No rate."""
        return {"name": self.name}


def test_an_optimizer_that_takes_no_rate() -> None:
    attempt = AttemptConfig("a", NONE, learning_rate=Cosine(0.1), optimizer=Fixed())
    with pytest.raises(InputError, match=r"^a: A plan of .*Received: Fixed, which fails with Type"):
        tasks_of(attempt, TRAINING, 1, Lengths(4, 4))


def test_an_optimizer_of_its_own() -> None:
    """It trains at the rates of the plan; rewound are those of the original's optimizer."""
    adam = optimizers.Adam(SCHEDULES.CosineDecay(0.5, 9), beta_1=0.75)
    table = replace(TRAINING, optimizer=optimizers.SGD(Table([0.5, 0.25])))
    for rate, wanted in (
        (Cosine(0.125), Cosine(0.125).plan(4)),
        ("rewind", np.array([0.5, 0.5, 0.25, 0.25], np.float32)),
    ):
        attempt = AttemptConfig("a", NONE, learning_rate=rate, optimizer=adam, seed=7)
        tasks = tasks_of(attempt, table, 2, Lengths(4, 2))
        assert [task.training.seed for task in tasks] == [7, 8]
        for task in tasks:
            np.testing.assert_array_equal(task.rates, wanted)
            assert isinstance(task.training.optimizer, optimizers.Adam)
            assert task.training.optimizer.beta_1 == 0.75
            assert float(task.training.optimizer.learning_rate) == wanted.max()
    for as_is in (None, "as_is"):
        attempt = AttemptConfig("a", NONE, learning_rate=as_is, optimizer=adam)
        (task,) = tasks_of(attempt, table, 1, Lengths(4, 2))
        assert task.rates is None
        assert task.training.optimizer is adam


def test_how_long_the_original_was_trained() -> None:
    data = open_data(ONE_HOT, TRAINING, "data")
    training = replace(TRAINING, epochs=3)
    model = one_hot()
    assert Lengths.of(model, data, training, 2) == Lengths(36, 24)
    assert Lengths.of(model, data, training, 0) == Lengths(36, 36)
    model.compile(optimizers.SGD(0.1, gradient_accumulation_steps=2), output)
    assert Lengths.of(model, data, training, 0) == Lengths(36, 36)
    model.fit(*ONE_HOT, batch_size=3, epochs=2, verbose=0)
    assert counted_steps(model) == 8
    assert Lengths.of(model, data, training, 0) == Lengths(36, 8)
    assert Lengths.of(model, data, training, 1) == Lengths(36, 12)


def test_rates_need_a_schedule() -> None:
    with pytest.raises(InputError, match="Received: 'a' with rates and schedule=None"):
        Task("a", None, TRAINING, rates=np.ones(3, np.float32))


def test_a_peak_that_diverges_names_its_step(results: Any) -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((COUNT,)), layers.Dense(9, "relu"), layers.Dense(1)])
    training = replace(TRAINING, loss="mse", batch_size=3, epochs=2)
    data = open_data((ONE_HOT[0] + 1, ONE_HOT[1] + 1), training, "data")
    tasks = [
        tasks_of(AttemptConfig(f"{peak}", NONE, learning_rate=Cosine(peak)), training, 1, lengths)
        for peak in (1e30, 0.01)
        for lengths in (Lengths(8, 8),)
    ]
    high, low = results(SequentialEngine(model, data), [task for each in tasks for task in each])
    assert high.failure.startswith("the loss became ")
    assert low.failure is None
    assert np.isfinite(low.history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_resume_at_every_step(results: Any, copying: Any, dtype_policy: Any, policy: str) -> None:
    keras.utils.set_random_seed(5)
    with dtype_policy(policy):
        model = keras.Sequential(
            [keras.Input((COUNT,)), layers.Dense(9, "tanh"), layers.Dropout(0.3), layers.Dense(1)]
        )
    training = Training("mse", optimizers.Adam(RATES[1]), epochs=2, batch_size=4, seed=3)
    attempt = AttemptConfig("a", PolynomialDecay(0.1, 0.7, frequency=2), learning_rate=Cosine(0.1))
    (task,) = tasks_of(attempt, training, 1, Lengths(6, 6))
    tasks = [replace(task, id="a")]
    # Targets near the end of float16: scaled gradients overflow at first, and steps are skipped.
    data = open_data((ONE_HOT[0], ONE_HOT[1] + 60000), training, "data")
    engine = SequentialEngine(model, data)
    (whole,) = results(engine, tasks)
    results(engine, tasks, None, None, copying)[0].check_same(whole)
    assert copying.saved == [1, 2, 3, 4, 5, 6]
    for step in copying.saved:
        results(engine, tasks, None, None, copying.at(step))[0].check_same(whole)


def test_it_is_read_back_from_its_config() -> None:
    rates = Cosine(0.1).plan(5)
    inner = optimizers.LossScaleOptimizer(optimizers.Adam(0.25))
    optimizer = RatedPruning(inner, NONE, steps=5, rates=rates)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert isinstance(again, RatedPruning)
    np.testing.assert_array_equal(again.rates, rates)
    assert again.rates.dtype == np.float32
    assert (again.schedule, again.steps) == (NONE, 5)
    assert float(again.learning_rate) == 0.25


@pytest.mark.slow
def test_a_study(tmp_path: Any) -> None:
    """What diverges says so, the others go on; what is rewound is told by the original's length."""
    from trimgrid.runs.study import Study

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((COUNT,)), layers.Dense(5, "relu"), layers.Dense(1)])
    rates = {"as it is": None, "again": "rewind", "up": Cosine(0.02), "far up": Cosine(1e30)}
    grid = [AttemptConfig(name, NONE, learning_rate=rate) for name, rate in rates.items()]

    def run() -> Any:
        study = Study(
            model,
            (ONE_HOT[0], ONE_HOT[1] + 1),
            (ONE_HOT[0], ONE_HOT[1] + 1),
            loss="mse",
            optimizer=optimizers.SGD(SCHEDULES.ExponentialDecay(0.05, 2, 0.5)),
            epochs=2,
            batch_size=3,
            pretrain_epochs=1,
        )
        return study.run(grid, tmp_path, tflite=False, progress=False, say=lambda line: None)

    first = run()
    assert [each.name for each in first][1:] == list(rates)
    assert first["far up"].status.startswith("training failed: the loss became ")
    assert {first[name].status for name in ("as it is", "again", "up")} == {"ok"}
    assert len({first[name].error for name in ("as it is", "again", "up")}) == 3
    configs = [first[name].config["learning_rate"] for name in ("as it is", "again", "up")]
    assert configs == [
        None,
        {"name": "rewind", "original_steps": 4},
        {"name": "cosine", "peak": 0.02, "warmup": 0.1, "end": 0.0},
    ]
    assert [each.id for each in run()] == [each.id for each in first]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_number_takes_the_place_of_a_schedule(scaled: bool) -> None:
    adam = optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 100), beta_1=0.5)
    optimizer = optimizers.LossScaleOptimizer(adam) if scaled else adam
    attempt = AttemptConfig("own", NONE, learning_rate=0.25)
    (task,) = tasks_of(attempt, Training("mse", optimizer), 1, Lengths(4, 4))
    found = task.training.optimizer
    assert type(found) is type(optimizer)
    inner = found.inner_optimizer if scaled else found
    assert (inner.get_config()["learning_rate"], inner.beta_1) == (0.25, 0.5)
    assert adam.get_config()["learning_rate"]["class_name"] == "CosineDecay"
