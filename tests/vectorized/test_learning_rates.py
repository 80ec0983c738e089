"""Planned learning rates side by side: each row has its own, as the sequential engine has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid.data.batches import epoch_order
from trimgrid.data.sources import open_data
from trimgrid.engines import feeding, group, windows
from trimgrid.engines.program import build_program
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.grids.grid import AttemptConfig
from trimgrid.learning_rates import Cosine, OneCycle
from trimgrid.rate_rewinding import Rewound
from trimgrid.runs.checking import Lengths, tasks_of
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
SERIES = RANDOM.random((50, 5, 3), dtype="float32")
DECAY = PolynomialDecay(0.1, 0.7, frequency=3)
FALLING = optimizers.schedules.ExponentialDecay(0.02, 2, 0.8)
# 4 batches an epoch, of which the last has 2 examples.
TRAINING = Training("mse", optimizers.Adam(FALLING), epochs=3, batch_size=16, seed=3)
LENGTHS = Lengths(12, 30)
RATES: dict[str, Any] = {
    "as is": None,
    "a number": 0.01,
    "rewind": "rewind",
    "cosine": Cosine(0.03, warmup=0.3),
    "one cycle": OneCycle(0.05),
}


def tasks(
    rates: dict[str, Any] = RATES, training: Training = TRAINING, lengths: Lengths = LENGTHS
) -> list[Task]:
    """An attempt for each rate; a number is for an optimizer that has one already."""
    made = []
    for name, rate in rates.items():
        own = {"optimizer": optimizers.Adam(rate)} if isinstance(rate, float) else {}
        attempt = AttemptConfig(name, DECAY, **own or {"learning_rate": rate})
        made += [replace(each, id=name) for each in tasks_of(attempt, training, 1, lengths)]
    return made


def mlp() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(9, "tanh"), layers.Dropout(0.3), layers.Dense(1)]
    )


def open_engine(model: Any, chosen: Sequence[Task], data: Any = (X, Y)) -> VectorizedEngine:
    training = chosen[0].training
    others = [task.training for task in chosen]
    opened = open_data(data, training, "data")
    return VectorizedEngine(model, opened, training, attempts=len(chosen), others=others)


def test_as_the_sequential_engine(results: Any, monkeypatch: Any) -> None:
    built: list[Any] = []

    def counted(model: Any, layout: Any, mesh: Any) -> Any:
        built.append(layout.rate)
        return build_program(model, layout, mesh)

    monkeypatch.setattr(group, "build_program", counted)
    model = mlp()
    chosen = [tasks()[place] for place in (0, 2, 4)]
    found = results(open_engine(model, chosen), chosen)
    # One program for the schedule of Keras, and one for all others.
    assert len(built) == 2
    assert built[0] is None
    assert built[1] is not None
    wanted = results(SequentialEngine(model, open_data((X, Y), TRAINING, "data")), chosen)
    for one, other in zip(found, wanted, strict=True):
        one.check_close(other)
    assert len({each.weights[0].tobytes() for each in found}) == len(chosen)


@pytest.mark.slow
def test_recurrent_layers_go_in_a_loop(results: Any) -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(5), layers.Dense(1)])
    chosen = tasks({"cosine": RATES["cosine"]})
    found = results(open_engine(model, chosen, (SERIES, Y)), chosen)
    data = open_data((SERIES, Y), TRAINING, "data")
    for one, other in zip(found, results(SequentialEngine(model, data), chosen), strict=True):
        one.check_close(other)


@pytest.mark.slow
def test_scaled_losses(results: Any, dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = mlp()
    # Targets near the end of float16: scaled gradients overflow at first, and steps are skipped.
    data = X, 60000 * np.sign(Y)
    chosen = tasks()[2:4]
    found = results(open_engine(model, chosen, data), chosen)
    wanted = results(SequentialEngine(model, open_data(data, TRAINING, "data")), chosen)
    for one, other in zip(found, wanted, strict=True):
        one.check_close(other, rtol=1e-3, atol=1e-3)


@keras.saving.register_keras_serializable("vectorized rates")  # type: ignore[untyped-decorator]
def output(y_true: Any, y_pred: Any) -> Any:
    """The output is the loss."""
    return keras.ops.mean(y_pred, axis=-1)


@pytest.mark.parametrize("window", ["all", "an epoch", "chunks"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_each_batch_has_its_rate(
    results: Any, dtype_policy: Any, monkeypatch: Any, window: str, policy: str
) -> None:
    """Each batch is one example, of which one input alone is 1. So a weight, 0 at first, becomes
    the negative of the sum of the learning rates of its batches."""
    count, epochs = 7, 2
    data = np.eye(count, dtype="float32"), np.zeros((count, 1), "float32")
    with dtype_policy(policy):
        model = keras.Sequential(
            [keras.Input((count,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
        )
    sgd: Any = optimizers.SGD(FALLING)
    if policy == "mixed_float16":
        # Scaled so a gradient of 1 is infinite in float16 at the first three steps.
        sgd = optimizers.LossScaleOptimizer(sgd, initial_scale=2.0**18)
    training = Training(output, sgd, epochs=epochs, batch_size=1, seed=3)
    lengths = Lengths(count * epochs, 5)
    chosen = []
    for name, rate in RATES.items():
        own: Any = optimizers.SGD(rate) if isinstance(rate, float) else None
        if own is not None and policy == "mixed_float16":
            own = optimizers.LossScaleOptimizer(own, initial_scale=2.0**18)
        settings = {"learning_rate": rate} if own is None else {"optimizer": own}
        attempt = AttemptConfig(name, ConstantSparsity(0.0), **settings)
        chosen += tasks_of(attempt, training, 1, lengths)
    if window == "an epoch":
        monkeypatch.setattr(windows, "_TAKE_BYTES", 0)
    if window == "chunks":
        monkeypatch.setattr(VectorizedEngine, "_copies", lambda self, data: 1 << 60)
        monkeypatch.setattr(windows, "_CHUNK_BYTES", 3 * (count + 1) * 4)
    engine = open_engine(model, chosen, data)
    assert engine._source.capacity == {"all": 14, "an epoch": 7, "chunks": 3}[window]
    found = results(engine, chosen)
    plans = {
        "a number": np.full(14, 0.01, np.float32),
        "rewind": Rewound(training, 5).plan(14),
        "cosine": RATES["cosine"].plan(14),
        "one cycle": RATES["one cycle"].plan(14),
    }
    for task, each in zip(chosen[1:], found[1:], strict=True):
        plan = plans[task.name].copy()
        if policy == "mixed_float16":
            plan[:3] = 0
        weights = np.zeros(count, np.float32)
        for epoch in range(epochs):
            order = epoch_order(count, training.seed, epoch)
            weights[order] -= plan[epoch * count : (epoch + 1) * count]
        np.testing.assert_array_equal(each.weights[0].ravel(), weights, task.name)
    (one,) = results(SequentialEngine(model, open_data(data, training, "data")), chosen[3:4])
    one.check_same(found[3])


def test_a_rewound_number_is_that_number(results: Any) -> None:
    training = replace(TRAINING, optimizer=optimizers.Adam(0.03))
    chosen = tasks({"as is": None, "rewind": "rewind"}, training)
    one, other = results(open_engine(mlp(), chosen), chosen)
    one.check_same(other)


def test_rows_do_not_depend_on_those_beside_them(results: Any) -> None:
    rates = {**RATES, "diverging": Cosine(1e30), "later": OneCycle(6e4, warmup=0.9)}
    chosen = tasks(rates)
    model = mlp()
    engine = open_engine(model, chosen)
    together = results(engine, chosen)
    for task, one in zip(chosen[:5], together[:5], strict=True):
        one.check_same(results(engine, [task])[0])
    backwards = results(open_engine(model, chosen[3:]), chosen[:2:-1])
    backwards[-1].check_same(together[3])
    backwards[-2].check_same(together[4])


def test_a_peak_that_diverges_names_its_step(results: Any) -> None:
    training = replace(TRAINING, optimizer=optimizers.SGD(0.01))
    rates = {"low": Cosine(0.02), "diverging": Cosine(1e30), "later": Cosine(4e4, warmup=0.9)}
    chosen = tasks(rates, training)
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(9, "relu"), layers.Dense(1)])
    found = results(open_engine(model, chosen), chosen)
    wanted = results(SequentialEngine(model, open_data((X, Y), TRAINING, "data")), chosen)
    found[0].check_close(wanted[0])
    for one, other in zip(found[1:], wanted[1:], strict=True):
        assert one.failure == other.failure
        assert one.failure.startswith("the loss became ")
    assert found[1].failure != found[2].failure


@pytest.mark.parametrize("chunks", [False, True])
def test_a_group_that_was_stopped_goes_on(
    results: Any, copying: Any, monkeypatch: Any, chunks: bool
) -> None:
    monkeypatch.setattr(feeding, "_FIRST_STEPS", 1)
    monkeypatch.setattr(feeding, "_CALL_SECONDS", 0.0)
    if chunks:
        monkeypatch.setattr(VectorizedEngine, "_copies", lambda self, data: 1 << 60)
        monkeypatch.setattr(windows, "_CHUNK_BYTES", 3 * 16 * 7 * 4)
    chosen = tasks()[1:]
    engine = open_engine(mlp(), chosen)
    assert engine._source.resident is not chunks
    whole = results(engine, chosen)
    results(engine, chosen, None, None, copying)
    assert copying.saved == list(range(1, 13))
    for step in copying.saved:
        for one, other in zip(
            results(engine, chosen, None, None, copying.at(step)), whole, strict=True
        ):
            one.check_same(other)
    # Beside others, and on other rows.
    few = [chosen[3], chosen[1]]
    for one, other in zip(
        results(engine, few, None, None, copying.at(5)), (whole[3], whole[1]), strict=True
    ):
        one.check_same(other)
