"""A run of a grid: right, repeatable, independent of the order; failures stay where they are."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import masks
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError, RunError
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.results import AttemptInfo
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.running import run_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((64, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
TRAINING = Training(loss="mse", optimizer="adam", epochs=3, batch_size=16, seed=1)
GRID = [
    AttemptConfig("decay", PolynomialDecay(0.1, 0.9, frequency=4)),
    AttemptConfig("low", ConstantSparsity(0.1)),
    AttemptConfig("late", ConstantSparsity(0.5, begin_step=6)),
]


@pytest.fixture(scope="module")
def converter() -> Iterator[TFLiteConverter]:
    with TFLiteConverter() as started:
        yield started


def build() -> Any:
    keras.utils.set_random_seed(2)
    # All names are given: they are in the files, and so in their sizes.
    return keras.Sequential(
        [
            keras.Input((5,), name="in"),
            layers.Dense(20, activation="relu", name="a"),
            layers.Dense(1, name="b"),
        ],
        name="small",
    )


def evaluate(model: Any) -> tuple[Any, float]:
    predicted = model.predict(X, verbose=0)
    return predicted, float(np.mean((predicted - Y) ** 2))


def run(grid: list[AttemptConfig], converter: TFLiteConverter, **options: Any) -> list[AttemptInfo]:
    settings: dict[str, Any] = {
        "data": (X, Y),
        "training": TRAINING,
        "evaluate": evaluate,
    } | options
    return list(run_grid(build(), grid, converter=converter, **settings))


def table(infos: list[AttemptInfo]) -> list[dict[str, Any]]:
    return sorted((info.to_dict() for info in infos), key=lambda row: row["name"])


def test_a_run_and_the_same_in_another_order(converter: TFLiteConverter) -> None:
    infos = run(GRID, converter, validation=(X, Y))
    assert [info.name for info in infos] == [ORIGINAL, "decay", "low", "late"]
    assert {info.status for info in infos} == {"ok"}
    for info, sparsity in zip(infos[1:], (0.9, 0.1, 0.5), strict=True):
        pruned = sum(n - masks.kept_count(n, sparsity) for n in (100, 20))
        biases = info.zero_weights - pruned
        assert 0 <= biases <= 21
        assert info.total_weights == 141
        assert info.y_pred is not None
        assert info.y_pred.shape == (64, 1)
        assert info.error == pytest.approx(float(np.mean((info.y_pred - Y) ** 2)))
    assert len({info.h5_size for info in infos}) == 1
    assert infos[1].zipped_h5_size < infos[2].zipped_h5_size  # type: ignore[operator]
    shuffled = run([GRID[2], GRID[0], GRID[1]], converter, validation=(X, Y))
    assert table(shuffled) == table(infos)


def not_constant(y_true: Any, y_pred: Any) -> Any:
    """The squared error, and NaN where all predictions are the same."""
    spread = keras.ops.std(y_pred)
    return keras.ops.mean((y_true - y_pred) ** 2) + 0 * spread / spread


def test_an_attempt_that_diverges_leaves_the_others_alone(converter: TFLiteConverter) -> None:
    training = replace(TRAINING, loss=not_constant)
    # With one weight a layer left, of different units, the output is a constant.
    grid = [AttemptConfig("empty", ConstantSparsity(0.999, begin_step=3)), GRID[1]]
    original, empty, low = run(grid, converter, training=training)
    assert re.fullmatch(r"training failed: the loss became nan at step \d+", empty.status)
    assert math.isnan(empty.error)
    assert empty.h5_size is None
    assert table([original, low]) == table(run([GRID[1]], converter, training=training))


def test_a_conversion_that_fails_is_told_and_the_others_go_on(
    converter: TFLiteConverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = converter.submit
    calls = iter(range(10))

    def broken(model_file: Any, tflite_file: Any, samples: Any) -> Any:
        if next(calls) == 1:
            model_file.write_bytes(b"not a model")
        return submit(model_file, tflite_file, samples)

    monkeypatch.setattr(converter, "submit", broken)
    original, decay, low, late = run(GRID, converter)
    assert decay.status.startswith("no .tflite: ")
    assert decay.tflite_size is None
    assert decay.h5_size is not None
    assert math.isfinite(decay.error)
    assert [info.status for info in (original, low, late)] == ["ok"] * 3


def test_an_original_that_can_not_be_trained_ends_the_run(converter: TFLiteConverter) -> None:
    wild = replace(TRAINING, optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(RunError, match=r"could not be trained: the (loss|weights)"):
        run(GRID, converter, training=wild)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ([], {}, "at least one attempt"),
        ([GRID[0], GRID[0]], {}, "'decay'"),
        ([AttemptConfig("x", ConstantSparsity(0.5, begin_step=13))], {}, "x: .*begin"),
        ([AttemptConfig(ORIGINAL, ConstantSparsity(0.5))], {}, "differ from the original"),
        (GRID, {"data": (X[:, :3], Y)}, "training data must fit the model"),
        (GRID, {"validation": (X, Y[:3])}, "same number of rows"),
    ],
)
def test_bad_input_is_refused_before_any_training(
    converter: TFLiteConverter, grid: list[AttemptConfig], options: dict[str, Any], message: str
) -> None:
    trained: list[str] = []
    with pytest.raises(InputError, match=message):
        run(grid, converter, on_epoch=lambda name, *_: trained.append(name), **options)
    assert trained == []


def test_a_model_without_prunable_weights(converter: TFLiteConverter) -> None:
    model = keras.Sequential([keras.Input((5,)), layers.BatchNormalization()])
    with pytest.raises(InputError, match="weights that can be pruned"):
        list(run_grid(model, GRID, (X, X), TRAINING, evaluate, converter))


def test_an_error_that_is_not_finite_is_told(converter: TFLiteConverter) -> None:
    errors = iter([1.0, math.nan, 2.0, 3.0])
    infos = run(GRID, converter, evaluate=lambda model: (model.predict(X, verbose=0), next(errors)))
    assert [info.status for info in infos] == [
        "ok", "evaluation failed: the error is nan", "ok", "ok",
    ]  # fmt: skip


def test_the_checks_come_before_the_first_result_is_asked_for(converter: TFLiteConverter) -> None:
    with pytest.raises(InputError, match="at least one attempt"):
        run_grid(build(), [], (X, Y), TRAINING, evaluate, converter)


def error_only(model: Any) -> Any:
    return np.mean((model.predict(X, verbose=0) - Y) ** 2)


def without_files(**options: Any) -> list[AttemptInfo]:
    settings: dict[str, Any] = {"data": (X, Y), "training": TRAINING} | options
    return list(run_grid(build(), GRID[:2], evaluate=error_only, converter=None, **settings))


def test_an_error_alone_and_no_conversion() -> None:
    infos = without_files()
    assert [info.status for info in infos] == ["ok"] * 3
    for info in infos:
        assert info.y_pred is None
        assert math.isfinite(info.error)
        assert info.errors == ()
        assert info.tflite_size is None
        assert info.h5_size is not None


@pytest.mark.parametrize("found", ["good", None, (1.0, 2.0, 3.0)])
def test_what_is_no_error(found: Any) -> None:
    infos = run_grid(build(), GRID, (X, Y), TRAINING, lambda model: found, None)
    with pytest.raises(InputError, match="evaluate must give the error of a model"):
        next(infos)


@pytest.mark.slow
def test_repeats() -> None:
    seen: list[tuple[str, int]] = []

    def told(names: Sequence[str], epoch: int, losses: Sequence[float]) -> None:
        assert len(names) == len(losses)
        seen.extend((name, epoch) for name in names)

    infos = without_files(repeats=3, engine="sequential", on_epoch=told)
    assert infos[0].errors == ()
    for info in infos[1:]:
        assert len(set(info.errors)) == info.repeats == 3
        assert info.error == statistics.median(info.errors)
        assert info.status == "ok"
    wanted = {ORIGINAL: 1, "decay": 3, "low": 3}
    assert sorted(seen) == sorted(
        (name, epoch) for name, times in wanted.items() for epoch in (1, 2, 3) for _ in range(times)
    )


def test_a_repeat_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others stand for the attempt, and the status says so."""

    def one_of_three(self: Any, tasks: Any, *arguments: Any, **options: Any) -> Any:
        for place, trained in train(self, tasks, *arguments, **options):
            bad = tasks[place].training.seed == 2
            yield (
                place,
                replace(trained, failure="the loss became nan at step 5") if bad else trained,
            )

    train = SequentialEngine.train
    monkeypatch.setattr(SequentialEngine, "train", one_of_three)
    for info in without_files(repeats=3, engine="sequential")[1:]:
        assert info.status == "1 of 3 repeats failed: the loss became nan at step 5"
        assert len(info.errors) == 2
        assert info.error == pytest.approx(np.mean(info.errors))


def batches() -> Iterator[Any]:
    for start in range(0, 64, 16):
        yield X[start : start + 16], Y[start : start + 16], np.ones(16, "float32")


def test_a_stream_as_data() -> None:
    infos = without_files(data=batches, validation=batches)
    assert [info.status for info in infos] == ["ok"] * 3


def test_a_training_of_its_own() -> None:
    grid = [
        AttemptConfig("as all", ConstantSparsity(0.1)),
        AttemptConfig("fast", ConstantSparsity(0.1), learning_rate=0.5),
        AttemptConfig("other", ConstantSparsity(0.1), optimizer="sgd"),
        AttemptConfig("seed", ConstantSparsity(0.1), seed=8),
        AttemptConfig("the same", ConstantSparsity(0.1), learning_rate=0.001, seed=1),
    ]
    infos = list(run_grid(build(), grid, (X, Y), TRAINING, error_only, None))
    errors = [info.error for info in infos[1:]]
    assert len(set(errors[:4])) == 4
    assert errors[4] == errors[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "fast"}, "auto, vectorized, sequential"),
        ({"repeats": 0}, "repeats"),
        ({"data": iter(())}, "read only once"),
        ({"data": lambda: iter(())}, "at least one batch"),
        ({"validation": [(X, Y[:3])]}, "same number of rows"),
        ({"data": [(X[:, :2], Y)]}, "training data must fit the model"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        without_files(**options)


def test_the_engine_is_told() -> None:
    said: list[str] = []
    without_files(engine="sequential", say=said.append)
    assert said == [f"Engine: sequential on {keras.config.backend()}: as asked for."]


def test_the_vectorized_engine_needs_jax() -> None:
    if keras.config.backend() == "jax":
        assert len(without_files(engine="vectorized")) == 3
    else:
        with pytest.raises(InputError, match="runs on JAX only"):
            without_files(engine="vectorized")
