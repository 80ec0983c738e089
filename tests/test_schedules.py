from __future__ import annotations

import dataclasses
import json
import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule

NAN = math.nan
NEARLY_ONE = Fraction(10**30 - 1, 10**30)  # below 1, but not as a float
sparsities = st.floats(0, 1, exclude_max=True)
begins = st.integers(0, 300)
spans = st.none() | st.integers(0, 300)
frequencies = st.integers(1, 150)


def end_of(begin: int, span: int | None) -> int | None:
    return None if span is None else begin + span


@st.composite
def constants(draw: st.DrawFn) -> ConstantSparsity:
    begin = draw(begins)
    end = end_of(begin, draw(spans))
    return ConstantSparsity(draw(sparsities), begin, end, draw(frequencies))


@st.composite
def decays(draw: st.DrawFn) -> PolynomialDecay:
    begin = draw(begins)
    end = end_of(begin, draw(spans))
    power = draw(st.floats(0.1, 8))
    return PolynomialDecay(draw(sparsities), draw(sparsities), begin, end, power, draw(frequencies))


def updates(schedule: Schedule, steps: int) -> list[tuple[int, float]]:
    plan = schedule.plan(steps)
    return [(step, float(value)) for step, value in enumerate(plan) if not math.isnan(value)]


@pytest.mark.parametrize(
    ("schedule", "step", "due"),
    [
        (ConstantSparsity(0.5, 100, 200, 1), 90, False),
        (ConstantSparsity(0.5, 100, 200, 1), 99, False),
        (ConstantSparsity(0.5, 100, 200, 1), 100, True),
        (ConstantSparsity(0.5, 100, 200, 1), 110, True),
        (ConstantSparsity(0.5, 100, 200, 1), 200, True),
        (ConstantSparsity(0.5, 100, 200, 1), 201, False),
        (ConstantSparsity(0.5, 100, 200, 1), 210, False),
        (ConstantSparsity(0.5, 100, 200, 10), 100, True),
        (ConstantSparsity(0.5, 100, 200, 10), 109, False),
        (ConstantSparsity(0.5, 100, 200, 10), 110, True),
        (ConstantSparsity(0.5, 100, 200, 10), 111, False),
        (ConstantSparsity(0.5, 0, None, 10), 10**4, True),
        (ConstantSparsity(0.5, 0, None, 10), 10**8, True),
        (ConstantSparsity(0.5, 0, None, 10), 10**8 + 1, False),
        (ConstantSparsity(0.5, 0, 25, 10), 25, True),
        (ConstantSparsity(0.5), -1, False),
        (PolynomialDecay(0.1, 0.5, 7, 7), 7, True),
        (PolynomialDecay(0.1, 0.5, 7, 7), 8, False),
    ],
)
def test_an_update_is_due(
    schedule: ConstantSparsity | PolynomialDecay, step: int, due: bool
) -> None:
    assert schedule(step)[0] is due
    assert schedule(np.int64(step))[0] is due  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "step", "sparsity"),
    [
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 99, 0.2),
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 100, 0.2),
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 102, 0.4928),
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 105, 0.725),
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 110, 0.8),
        (PolynomialDecay(0.2, 0.8, 100, 110, 3, 2), 999, 0.8),
        (PolynomialDecay(0.8, 0.2, 0, 100, 1), 50, 0.5),
        (PolynomialDecay(0.1, 0.5, 7, 7), 7, 0.5),
        (PolynomialDecay(0.3, 0.3, 0, 10), 3, 0.3),
        (ConstantSparsity(0.5), 10**4, 0.5),
        (ConstantSparsity(0.5), 10**8, 0.5),
    ],
)
def test_sparsity_of_a_step(
    schedule: ConstantSparsity | PolynomialDecay, step: int, sparsity: float
) -> None:
    result = schedule(step)[1]
    assert type(result) is float
    assert result == pytest.approx(sparsity, rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (ConstantSparsity(0.5, frequency=2), 4, [0.5, NAN, 0.5, NAN, 0.5]),
        (ConstantSparsity(0.5, 1, frequency=2), 4, [NAN, 0.5, NAN, 0.5, 0.5]),
        (ConstantSparsity(0.5, 0, 1), 3, [0.5, 0.5, NAN, NAN]),
        (ConstantSparsity(0.5, 1, 99), 3, [NAN, 0.5, NAN, 0.5]),
        (ConstantSparsity(0.5), 0, [0.5]),
        (ConstantSparsity(0.5, 3), 3, [NAN, NAN, NAN, 0.5]),
        (PolynomialDecay(0.0, 0.5, power=1, frequency=2), 4, [0, NAN, 0.25, NAN, 0.5]),
        (PolynomialDecay(0.0, 0.75, power=1, frequency=2), 3, [0, NAN, 0.5, 0.75]),
        (PolynomialDecay(0.1, 0.5, 1, 1), 2, [NAN, 0.5, NAN]),
        (PolynomialDecay(0.1, 0.5), 0, [0.5]),
        (PolynomialDecay(0.5, 0.5, 0, 99, frequency=2), 2, [0.5, NAN, 0.5]),
    ],
)
def test_plan(schedule: Schedule, steps: int, expected: list[float]) -> None:
    plan = schedule.plan(steps)
    assert plan.dtype == np.float64
    np.testing.assert_allclose(plan, expected, rtol=1e-12)


def test_final_sparsity_is_reached_where_tfmot_misses_it() -> None:
    decay = PolynomialDecay(0, 0.8, 0, 250)
    assert decay(200)[1] == pytest.approx(0.794, abs=5e-4)
    assert updates(decay, 300)[-1] == (250, 0.8)


@given(constants() | decays(), st.integers(0, 500))
def test_plan_is_the_resolved_schedule_called_step_by_step(
    schedule: ConstantSparsity | PolynomialDecay, steps: int
) -> None:
    try:
        resolved = schedule.resolved(steps)
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            schedule.plan(steps)
        return
    calls = [resolved(step) for step in range(steps + 1)]
    expected = [sparsity if due else NAN for due, sparsity in calls]
    # NumPy's power takes another path for arrays than for one number: the last bit may differ.
    np.testing.assert_allclose(schedule.plan(steps), expected, rtol=1e-15, atol=1e-15)
    np.testing.assert_array_equal(schedule.plan(steps), resolved.plan(steps))


@pytest.mark.parametrize(("initial", "final"), [(0.1, 0.9), (0.3, 0.82), (0.9, 0.3), (0.41, 0.03)])
def test_rounding_never_carries_a_target_past_its_ends(initial: float, final: float) -> None:
    assert final + (initial - final) != initial  # what the bare formula gives at the start
    assert PolynomialDecay(initial, final, 0, 100)(0)[1] == initial
    assert PolynomialDecay(initial, final, 0, 100)(100)[1] == final


@given(decays(), st.integers(0, 700))
def test_decay_follows_its_formula(decay: PolynomialDecay, step: int) -> None:
    assume(decay.end_step is not None and decay.end_step > decay.begin_step)
    assert decay.end_step is not None
    p = min(max((step - decay.begin_step) / (decay.end_step - decay.begin_step), 0), 1)
    initial, final = decay.initial_sparsity, decay.final_sparsity
    due, sparsity = decay(step)
    assert sparsity == pytest.approx(final + (initial - final) * (1 - p) ** decay.power, abs=1e-12)
    inside = decay.begin_step <= step <= decay.end_step
    on_the_grid = (step - decay.begin_step) % decay.frequency == 0
    assert due == (inside and (on_the_grid or step == decay.end_step))


@given(constants() | decays(), st.integers(0, 700))
def test_an_accepted_plan_ends_at_its_target_and_stays_in_range(
    schedule: ConstantSparsity | PolynomialDecay, steps: int
) -> None:
    if isinstance(schedule, ConstantSparsity):
        low = high = target = schedule.target_sparsity
    else:
        target = schedule.final_sparsity
        low, high = sorted((schedule.initial_sparsity, target))
    try:
        planned = updates(schedule, steps)
    except InputError:
        ends_late = schedule.end_step is not None and schedule.end_step > steps
        assert schedule.begin_step > steps or ends_late
        return
    assert planned[0][0] == schedule.begin_step
    assert planned[-1][1] == target
    assert all(low <= sparsity <= high for _, sparsity in planned)


@given(constants() | decays())
def test_config_makes_the_round_trip_through_json(
    schedule: ConstantSparsity | PolynomialDecay,
) -> None:
    config = json.loads(json.dumps(schedule.get_config()))
    copy = type(schedule).from_config(config)
    assert copy == schedule
    assert hash(copy) == hash(schedule)


def test_config_holds_the_constructors_arguments() -> None:
    assert PolynomialDecay(0.1, 0.5, 1, 9, 2, 4).get_config() == {
        "initial_sparsity": 0.1,
        "final_sparsity": 0.5,
        "begin_step": 1,
        "end_step": 9,
        "power": 2.0,
        "frequency": 4,
    }


@pytest.mark.parametrize("config", [{}, {"target_sparsity": 0.5, "end": 3}, None])
def test_a_config_of_something_else_is_refused(config: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"must hold the arguments of ConstantSparsity.*Received"):
        ConstantSparsity.from_config(config)


def test_numpy_numbers_become_plain_ones() -> None:
    schedule = PolynomialDecay(
        np.float64(0.25),
        np.float32(0.5),  # type: ignore[arg-type]
        np.int32(1),  # type: ignore[arg-type]
        np.int64(9),  # type: ignore[arg-type]
        np.int64(2),  # type: ignore[arg-type]
        np.uint8(4),  # type: ignore[arg-type]
    )
    values = dataclasses.astuple(schedule)
    assert values == (0.25, 0.5, 1, 9, 2.0, 4, "trimgrid")
    assert [type(value) for value in values] == [float, float, int, int, float, int, str]


def test_schedules_are_frozen_and_meet_the_protocol() -> None:
    schedule = ConstantSparsity(0.5)
    assert isinstance(schedule, Schedule)
    assert isinstance(PolynomialDecay(0.1, 0.5), Schedule)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.target_sparsity = 0.6  # type: ignore[misc]


@pytest.mark.parametrize(
    "sparsity",
    [-0.001, -1, 1, 10, NAN, math.inf, True, "0.5", None, 10**400, np.array(0.5), NEARLY_ONE],
)
def test_a_sparsity_outside_its_range_is_refused(sparsity: float) -> None:
    rule = r"{} must be a fraction in \[0, 1\)\. Received: {}="
    with pytest.raises(InputError, match=rule.format(*["target_sparsity"] * 2)):
        ConstantSparsity(sparsity)
    with pytest.raises(InputError, match=rule.format(*["initial_sparsity"] * 2)):
        PolynomialDecay(sparsity, 0.5)
    with pytest.raises(InputError, match=rule.format(*["final_sparsity"] * 2)):
        PolynomialDecay(0.1, sparsity)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"begin_step": -1}, r"begin_step must be an integer of at least 0\. .*begin_step=-1"),
        ({"begin_step": -5}, r"begin_step=-5"),
        ({"begin_step": 1.0}, r"begin_step=1\.0"),
        ({"begin_step": None}, r"begin_step=None"),
        ({"begin_step": True}, r"begin_step=True"),
        ({"begin_step": NAN}, r"begin_step=nan"),
        ({"end_step": -1}, r"Give None where TFMOT has -1"),
        ({"end_step": -5}, r"end_step must be an integer of at least 0\. .*end_step=-5"),
        ({"end_step": -5}, r"end_step=-5"),
        ({"end_step": 2.5}, r"end_step=2\.5"),
        ({"end_step": np.bool_(True)}, r"end_step="),
        ({"begin_step": 10, "end_step": 9}, r"before begin_step.*begin_step=10, end_step=9\."),
        ({"frequency": 0}, r"frequency must be an integer of at least 1\. .*frequency=0"),
        ({"frequency": -1}, r"frequency=-1"),
        ({"frequency": -5}, r"frequency=-5"),
        ({"frequency": "10"}, r"frequency='10'"),
        ({"timing": "TFMOT"}, r"timing must be 'trimgrid'.* or 'tfmot'.*Received: timing='TFMOT'"),
    ],
)
def test_a_wrong_timing_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConstantSparsity(0.5, **arguments)
    with pytest.raises(InputError, match=message):
        PolynomialDecay(0.1, 0.5, **arguments)


@pytest.mark.parametrize("power", [0, -1, NAN, math.inf, True, "3", None])
def test_a_power_that_is_not_positive_is_refused(power: float) -> None:
    with pytest.raises(InputError, match=r"power must be a positive number\. Received: power="):
        PolynomialDecay(0.1, 0.5, power=power)


def test_a_decay_without_an_end_has_no_sparsity_at_a_step() -> None:
    with pytest.raises(InputError, match=r"Received: end_step=None\. .*plan\(steps\)"):
        PolynomialDecay(0.1, 0.5)(0)


@pytest.mark.parametrize("schedule", [ConstantSparsity(0.5, 301), PolynomialDecay(0.1, 0.5, 301)])
@pytest.mark.parametrize("method", ["plan", "resolved"])
def test_a_schedule_that_begins_too_late_is_refused(schedule: Schedule, method: str) -> None:
    with pytest.raises(InputError, match=r"begin_step=301, steps=300\. Planned updates: none\."):
        getattr(schedule, method)(300)


@pytest.mark.parametrize(
    ("decay", "listing"),
    [
        (
            PolynomialDecay(0.1, 0.5, 0, 400),
            "0: 10.0 %, 100: 33.1 %, 200: 45.0 %, 300: 49.4 %.",
        ),
        (
            PolynomialDecay(0.0, 0.5, 0, 1000, 1, 20),
            "0: 0.0 %, 20: 1.0 %, 40: 2.0 %, 60: 3.0 %, ..., 280: 14.0 %, 300: 15.0 %.",
        ),
    ],
)
@pytest.mark.parametrize("method", ["plan", "resolved"])
def test_a_decay_that_misses_its_target_is_refused_with_its_plan(
    decay: PolynomialDecay, listing: str, method: str
) -> None:
    with pytest.raises(InputError) as refused:
        getattr(decay, method)(300)
    assert f"Planned updates: {listing} " in str(refused.value)
    assert "final_sparsity=0.5" in str(refused.value)
    assert "steps=300" in str(refused.value)


@pytest.mark.parametrize("steps", [-1, 2.5, True, None])
def test_a_training_length_must_be_a_whole_number(steps: int) -> None:
    with pytest.raises(InputError, match="steps must be an integer of at least 0"):
        ConstantSparsity(0.5).plan(steps)


@pytest.mark.parametrize(
    ("schedule", "steps", "end"),
    [
        (ConstantSparsity(0.5), 750, 750),
        (ConstantSparsity(0.5, end_step=200), 750, 200),
        (ConstantSparsity(0.5, end_step=900), 750, 750),
        (PolynomialDecay(0.1, 0.5), 750, 750),
        (PolynomialDecay(0.1, 0.5, end_step=200), 750, 200),
    ],
)
def test_resolved_changes_nothing_but_the_end(
    schedule: ConstantSparsity | PolynomialDecay, steps: int, end: int
) -> None:
    assert schedule.resolved(steps) == dataclasses.replace(schedule, end_step=end)
