"""Thousands of decisions of TFMOT's schedules, and ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from numpy.typing import NDArray

from trimgrid import InputError, MagnitudePruning
from trimgrid.masks import kept_count
from trimgrid.tfmot_schedules import known_schedule

Steps = NDArray[np.int64]
SCHEDULES, STEPS = 300, 40  # 12,000 pairs
_ULP = float(np.spacing(np.float32(1)))


def random_schedule(seed: int) -> Any:
    draw = np.random.default_rng(seed)
    begin, frequency = int(draw.integers(0, 300)), int(draw.integers(1, 150))
    end = begin + int(draw.integers(1, 2000))
    if seed % 3 == 0:
        target, last = float(draw.uniform(0, 0.999)), -1 if seed % 2 else end
        return tfmot.sparsity.keras.ConstantSparsity(target, begin, last, frequency)
    first, target = (float(each) for each in draw.uniform(0, 0.999, size=2))
    power = float(draw.choice([1, 2, 3, 0.5, 4.5]))
    return tfmot.sparsity.keras.PolynomialDecay(first, target, begin, end, power, frequency)


def random_steps(schedule: Any, seed: int) -> Steps:
    """Steps around the begin, the end and multiples of the frequency, and any others."""
    draw = np.random.default_rng(seed)
    begin, end, frequency = schedule.begin_step, schedule.end_step, schedule.frequency
    on_beat = begin + frequency * draw.integers(0, 20, size=STEPS - 15)
    around = [begin + each for each in (-1, 0, 1)] + [end + each for each in (-1, 0, 1)]
    others = draw.integers(0, 3000, size=9)
    steps: Steps = np.concatenate([on_beat, around, others]).clip(0)
    return steps


def decisions_of_tfmot(schedule: Any, steps: Steps) -> tuple[Any, Any]:
    due, sparsity = schedule(tf.constant(steps, tf.int64))
    return due.numpy(), np.broadcast_to(sparsity.numpy(), steps.shape)


def check_decisions(schedule: Any, ours: Any, steps: Steps) -> None:
    due, sparsity = decisions_of_tfmot(schedule, steps)
    found = [ours(int(step)) for step in steps]
    np.testing.assert_array_equal([each[0] for each in found], due)
    np.testing.assert_allclose([each[1] for each in found], sparsity, rtol=0, atol=2 * _ULP)
    counts = [[kept_count(size, float(s)) for s in sparsity] for size in (96, 1024, 4289)]
    mine = [[kept_count(size, each[1]) for each in found] for size in (96, 1024, 4289)]
    assert counts == mine


@pytest.mark.parametrize("seed", range(0, SCHEDULES, 10))
def test_decisions_are_those_of_tfmot(seed: int) -> None:
    for each in range(seed, seed + 10):
        schedule = random_schedule(each)
        check_decisions(schedule, known_schedule(schedule), random_steps(schedule, each))


@pytest.mark.parametrize("seed", range(20))
def test_plans_are_what_tfmot_does_in_front_of_each_batch(seed: int) -> None:
    schedule, steps = random_schedule(seed), 600
    due, sparsity = decisions_of_tfmot(schedule, np.arange(1, steps + 1))
    if not due.any():
        with pytest.raises(InputError, match="prune at least once"):
            known_schedule(schedule).plan(steps)
        return
    plan = known_schedule(schedule).plan(steps)
    assert np.isnan(plan[-1])
    np.testing.assert_array_equal(~np.isnan(plan[:-1]), due)
    np.testing.assert_allclose(plan[:-1][due], sparsity[due], rtol=0, atol=2 * _ULP)


@pytest.mark.parametrize(
    "wrong", [{"begin_step": 8}, {"end_step": 90}, {"frequency": 6}, {"target_sparsity": 0.51}]
)
def test_a_wrong_expectation_is_found(wrong: dict[str, Any]) -> None:
    right = {"target_sparsity": 0.5, "begin_step": 7, "end_step": 100, "frequency": 5}
    theirs = tfmot.sparsity.keras.ConstantSparsity(**right)
    ours = known_schedule(tfmot.sparsity.keras.ConstantSparsity(**(right | wrong)))
    steps = random_steps(theirs, 0)
    check_decisions(theirs, known_schedule(theirs), steps)
    with pytest.raises(AssertionError):
        check_decisions(theirs, ours, steps)


def test_an_end_at_the_begin_is_nan_in_tfmot_and_refused_here() -> None:
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.1, 0.8, begin_step=5, end_step=5)
    assert np.isnan(decisions_of_tfmot(schedule, np.array([5]))[1]).all()
    with pytest.raises(InputError, match="NaN"):
        MagnitudePruning("sgd", schedule)


def test_all_that_tfmot_refuses_is_refused_here() -> None:
    wrong: list[dict[str, Any]] = [
        {"begin_step": -1},
        {"begin_step": -5},
        {"begin_step": 10, "end_step": 9},
        {"end_step": -5},
        {"frequency": 0},
        {"frequency": -1},
        {"target_sparsity": 1.0},
        {"target_sparsity": -0.001},
    ]
    right = {"target_sparsity": 0.5, "begin_step": 0, "end_step": 100, "frequency": 10}
    for each in wrong:
        arguments = right | each
        with pytest.raises(ValueError, match=r"should be|must be|can be"):
            tfmot.sparsity.keras.ConstantSparsity(**arguments)
        with pytest.raises(InputError):
            known_schedule({"class_name": "ConstantSparsity", "config": arguments})


def test_a_schedule_of_another_class_is_refused() -> None:
    class Sawtooth(tfmot.sparsity.keras.PruningSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> tuple[Any, Any]:
            return True, 0.5

        def get_config(self) -> dict[str, Any]:
            return {"class_name": "Sawtooth", "config": {}}

    with pytest.raises(InputError, match=r"'Sawtooth'.*Give an object with plan\(steps\)"):
        MagnitudePruning("sgd", Sawtooth())
