"""The recommended grid: what it holds, what it reads from a model, what it refuses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.errors import InputError
from trimgrid.grids.grid import check_grid
from trimgrid.grids.recommended import SPARSITIES, recommended_attempts, recommended_schedule
from trimgrid.learning_rates import Cosine
from trimgrid.runs.recommending import highest_rate, recommended_grid
from trimgrid.schedules import PolynomialDecay
from trimgrid.structures.kinds import NofM, Structure, Units


def model(inputs: int = 100, outputs: int = 10) -> keras.Model:
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def peaks(grid: Any) -> list[float]:
    return sorted({attempt.learning_rate.peak for attempt in grid})


def test_each_sparsity_comes_with_both_peaks() -> None:
    grid = recommended_attempts([(100, 10)], steps=1000, learning_rate=0.01)
    check_grid(grid, steps=1000)
    found = [(each.pruning_schedule.final_sparsity, each.learning_rate.peak) for each in grid]  # type: ignore[attr-defined, union-attr]
    assert found == [(sparsity, peak) for sparsity in SPARSITIES for peak in (0.01, 0.05)]
    assert {each.allocation for each in grid} == {"lamp"}
    assert {each.min_kept for each in grid} == {None}


@pytest.mark.parametrize(
    ("shapes", "highest"),
    [
        ([(100, 10)], 0.99),  # 10 of 1,000 weights are left, one for each unit
        ([(50, 11)], 0.98),  # 6 of 550 are too few for 11 units, 11 are enough
        ([(1, 32), (32, 64), (64, 32), (32, 1)], 0.95),  # example 1: 129 units, 208 weights left
        ([(1, 320), (80, 320), (80, 1)], 0.95),  # example 2
        ([(2, 2)], 0.5),  # too small for any, and the lowest stays
        ([(3, 1)], 0.8),  # one weight is left, and fewer are not
        ([(5, 5, 1, 20), (5, 5, 20, 50), (800, 500), (500, 10)], 0.99),
    ],
)
def test_sparsities_leave_a_weight_for_each_unit(
    shapes: list[tuple[int, ...]], highest: float
) -> None:
    grid = recommended_attempts(shapes, steps=100, learning_rate=0.001)
    assert max(each.pruning_schedule.final_sparsity for each in grid) == highest  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("structure", "wanted"),
    [
        (NofM(2, 4), [0.5]),
        (NofM(1, 16), [0.5, 0.8, 0.9]),
        (NofM(3, 4), [0.25]),
        (Units(), [0.5, 0.8, 0.9]),  # a unit of 16 weights and one of 32 stay, 7.5 %
    ],
)
def test_sparsities_are_those_that_a_structure_reaches(
    structure: Structure, wanted: list[float]
) -> None:
    grid = recommended_attempts([(16, 8), (32, 16)], 100, 0.001, structure=structure)
    assert sorted({each.pruning_schedule.final_sparsity for each in grid}) == wanted  # type: ignore[attr-defined]
    assert {each.structure for each in grid} == {structure}


@pytest.mark.parametrize("steps", [1, 2, 3, 99, 100, 101, 600, 10**6])
def test_the_ramp_fits_any_training(steps: int) -> None:
    schedule = recommended_schedule(0.9, steps)
    plan = schedule.plan(steps)
    due = np.flatnonzero(~np.isnan(plan))
    assert plan[due[-1]] == 0.9
    assert due[-1] == steps // 2
    assert len(due) <= 101  # a frequency is a whole number of steps


def test_about_fifty_updates() -> None:
    assert np.count_nonzero(~np.isnan(recommended_schedule(0.9, 10_000).plan(10_000))) == 51


@pytest.mark.parametrize(
    ("compiled", "peak"),
    [
        (None, 0.001),
        ("sgd", 0.01),
        (keras.optimizers.Adam(3e-4), 3e-4),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(3e-4)), 3e-4),
    ],
)
def test_the_rate_is_that_of_the_compiled_model(compiled: Any, peak: float) -> None:
    found = model()
    if compiled is not None:
        found.compile(compiled, loss="mse")
    assert peaks(recommended_grid(found, steps=100)) == [peak, 5 * peak]


def test_a_schedule_counts_by_its_highest_rate() -> None:
    rates = keras.optimizers.schedules.CosineDecay(
        0.0, 80, warmup_target=0.25, warmup_steps=20, alpha=0.01
    )
    assert highest_rate(keras.optimizers.SGD(rates), steps=25) == 0.25
    assert highest_rate(keras.optimizers.SGD(rates), steps=11) == 0.125


def test_a_rate_that_is_given_wins() -> None:
    found = model()
    found.compile("sgd", loss="mse")
    assert peaks(recommended_grid(found, steps=100, learning_rate=0.5)) == [0.5, 2.5]


def test_only_what_is_pruned_counts() -> None:
    """The frozen layer has most of the weights, and none to prune."""
    frozen = keras.layers.Dense(1000, trainable=False)
    found = keras.Sequential([keras.Input((100,)), frozen, keras.layers.Dense(1)])
    grid = recommended_grid(found, steps=10)
    assert len(grid) == len(recommended_attempts([(1000, 1)], 10, 0.001))


def test_the_model_stays_as_it_is() -> None:
    found = model()
    found.compile("adam", loss="mse")
    before, optimizer = found.get_weights(), found.optimizer
    recommended_grid(found, steps=10)
    assert found.optimizer is optimizer
    assert int(optimizer.iterations) == 0
    for one, other in zip(before, found.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"steps": 10, "learning_rate": 0}, "must be a finite number above 0"),
        ({"steps": 10, "learning_rate": float("nan")}, "must be a finite number above 0"),
        ({"steps": 10, "learning_rate": True}, "must be a finite number above 0"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recommended_grid(model(), **arguments)


def test_a_path_is_no_model() -> None:
    with pytest.raises(InputError, match=r"for a Keras model\. Received: 'm\.keras'\. Load it"):
        recommended_grid("m.keras", steps=10)


def test_a_model_without_kernels() -> None:
    norm = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    with pytest.raises(InputError, match="must have weights that can be pruned"):
        recommended_grid(norm, steps=10)
    with pytest.raises(InputError, match="shapes=\\[\\]"):
        recommended_attempts([], steps=10, learning_rate=0.1)


def test_the_rates_are_plans() -> None:
    (first, *_) = recommended_attempts([(10, 10)], steps=10, learning_rate=0.1)
    assert first.learning_rate == Cosine(0.1, warmup=0.1)
    assert isinstance(first.pruning_schedule, PolynomialDecay)
