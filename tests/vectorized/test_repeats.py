"""A run of a grid by the vectorized engine: as by the other one, also with several seeds."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.grids.grid import AttemptConfig
from trimgrid.results import AttemptInfo
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.running import run_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((64, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
TRAINING = Training("mse", keras.optimizers.Adam(0.02), epochs=4, batch_size=24, seed=1)
GRID = [
    AttemptConfig("decay", PolynomialDecay(0.1, 0.9, frequency=4)),
    AttemptConfig("late", ConstantSparsity(0.5, begin_step=6), optimizer="sgd", seed=7),
]


def build() -> Any:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((5,), name="in"),
            layers.Dense(20, activation="relu", name="a"),
            layers.Dropout(0.2, name="d"),
            layers.Dense(1, name="b"),
        ],
        name="small",
    )


def evaluate(model: Any) -> tuple[Any, float]:
    predicted = model.predict(X, verbose=0)
    return predicted, float(np.mean((predicted - Y) ** 2))


def run(grid: list[AttemptConfig], **options: Any) -> list[AttemptInfo]:
    return list(run_grid(build(), grid, (X, Y), TRAINING, evaluate, None, (X, Y), **options))


@pytest.fixture(scope="module")
def repeated() -> list[AttemptInfo]:
    return run(GRID, engine="vectorized", repeats=3)


def test_as_by_the_sequential_engine(repeated: list[AttemptInfo]) -> None:
    wanted = run(GRID, engine="sequential", repeats=3)
    assert [info.name for info in repeated] == [ORIGINAL, "decay", "late"]
    for one, other in zip(repeated, wanted, strict=True):
        a, b = one.to_dict(), other.to_dict()
        for table in (a, b):
            # Zipped, the last bits of the weights count.
            assert table.pop("zipped_h5_size") > 0
            assert table.pop("zipped_keras_size") > 0
        np.testing.assert_allclose(a.pop("errors"), b.pop("errors"), rtol=1e-3)
        assert a.pop("error") == pytest.approx(b.pop("error"), rel=1e-3)
        assert a == b


def test_median_and_the_repeat_that_stands_for_it(repeated: list[AttemptInfo]) -> None:
    original, *attempts = repeated
    assert original.errors == ()
    assert original.repeats == 1
    for info in attempts:
        assert info.repeats == 3
        assert len(set(info.errors)) == 3
        assert info.error == statistics.median(info.errors)
        assert info.y_pred is not None
        assert np.mean((info.y_pred - Y) ** 2) == pytest.approx(info.error)


def test_each_repeat_is_an_attempt_with_the_next_seed(repeated: list[AttemptInfo]) -> None:
    for repeat in (0, 2):
        grid = [
            replace(each, seed=repeat + (1 if each.seed is None else each.seed)) for each in GRID
        ]
        for info, whole in zip(run(grid, engine="vectorized")[1:], repeated[1:], strict=True):
            assert info.errors == ()
            assert info.error == pytest.approx(whole.errors[repeat], rel=1e-6)
            if whole.error == whole.errors[repeat]:
                assert info.nonzero_weights == whole.nonzero_weights


def test_names_epochs_and_losses_are_told() -> None:
    seen: list[Any] = []
    run(
        GRID[:1],
        engine="vectorized",
        repeats=2,
        on_epoch=lambda names, epoch, losses: seen.append((list(names), epoch, len(losses))),
    )
    assert seen == [
        *(([ORIGINAL], epoch, 1) for epoch in range(1, 5)),
        *((["decay", "decay"], epoch, 2) for epoch in range(1, 5)),
    ]
