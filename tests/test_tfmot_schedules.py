"""Schedules in TFMOT's timing: the cases measured with TFMOT 0.8.1, and what is said of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from trimgrid.errors import InputError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig, check_grid
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.toml_file import load_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, stops_short
from trimgrid.tfmot_schedules import known_schedule
from trimgrid.timed import TFMOT, masks_epoch_ends


def constant(**arguments: Any) -> dict[str, Any]:
    config = {"target_sparsity": 0.5, "begin_step": 0, "end_step": -1, "frequency": 100}
    return {"class_name": "ConstantSparsity", "config": config | arguments}


def decay(**arguments: Any) -> dict[str, Any]:
    config = {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 0, "end_step": 200}
    return {"class_name": "PolynomialDecay", "config": config | {"power": 3} | arguments}


class FromTFMOT:
    """An object as TFMOT makes them: a config in a config, and no plan."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def get_config(self) -> dict[str, Any]:
        return self._config

    def __call__(self, step: int) -> tuple[bool, float]:
        raise AssertionError("a schedule is recognised by its config alone")


@pytest.mark.parametrize(
    ("config", "due", "not_due"),
    [
        (constant(begin_step=100, end_step=200, frequency=1), (100, 110, 200), (90, 99, 201, 210)),
        (constant(begin_step=100, end_step=200, frequency=10), (100, 110, 200), (109, 111, 201)),
        (constant(frequency=10), (0, 10, 10**4, 10**8), (1, 9, 10**8 + 1)),
        (constant(begin_step=7, end_step=99, frequency=10), (7, 97), (0, 99, 107)),
    ],
)
def test_decisions(config: dict[str, Any], due: tuple[int, ...], not_due: tuple[int, ...]) -> None:
    schedule = known_schedule(config)
    assert [schedule(step) for step in due] == [(True, 0.5)] * len(due)
    assert [schedule(step)[0] for step in not_due] == [False] * len(not_due)


def test_the_polynomial_in_float32() -> None:
    schedule = known_schedule(
        decay(initial_sparsity=0.2, begin_step=100, end_step=110, frequency=2)
    )
    found = [schedule(step) for step in (100, 102, 105, 110)]
    assert [due for due, _ in found] == [True, True, False, True]
    assert [sparsity for _, sparsity in found] == pytest.approx([0.2, 0.4928, 0.725, 0.8])
    assert all(sparsity == np.float32(sparsity) for _, sparsity in found)


@pytest.mark.parametrize(
    ("config", "steps", "planned"),
    [
        # The first batch is step 1: what TFMOT does in front of batch t is planned at t - 1.
        (constant(), 250, {99: 0.5, 199: 0.5}),
        (constant(begin_step=1, frequency=50), 101, {0: 0.5, 50: 0.5, 100: 0.5}),
        (constant(begin_step=1, frequency=50), 100, {0: 0.5, 50: 0.5}),
        # Nothing special happens at the end.
        (decay(end_step=250), 300, {99: 0.6272, 199: 0.7936}),
        (decay(end_step=200), 300, {99: 0.7, 199: 0.8}),
        (decay(end_step=200), 200, {99: 0.7, 199: 0.8}),
        (decay(end_step=200), 199, {99: 0.7}),
        (constant(begin_step=3, end_step=3), 5, {2: 0.5}),
    ],
)
def test_plans(config: dict[str, Any], steps: int, planned: dict[int, float]) -> None:
    plan = known_schedule(config).plan(steps)
    assert plan.shape == (steps + 1,)
    found = {int(step): plan[step] for step in np.flatnonzero(~np.isnan(plan))}
    assert found == pytest.approx(planned)


def test_never_one() -> None:
    schedule = known_schedule(decay(final_sparsity=0.99999999))
    assert schedule(200)[1] < 1


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("as_object", [False, True])
def test_where_schedules_are_taken_so_are_those_of_tfmot(wrapped: bool, as_object: bool) -> None:
    config = decay(frequency=50)
    told = {"class_name": "PolynomialDecay", "config": config} if wrapped else config
    given: Any = FromTFMOT(told) if as_object else told
    expected = PolynomialDecay(0.0, 0.8, 0, 200, frequency=50, timing=TFMOT)
    assert AttemptConfig("old", given).pruning_schedule == expected
    (attempt,) = expand_grid({"pruning_schedule": [given]})
    assert (attempt.name, attempt.pruning_schedule) == ("poly decay 0/80", expected)


def test_a_grid_has_a_timing(tmp_path: Any) -> None:
    grid = expand_grid({"target_sparsity": 0.5, "timing": ["trimgrid", "tfmot"]})
    assert [attempt.name for attempt in grid] == [
        "const sparsity 0.5, timing trimgrid",
        "const sparsity 0.5, timing tfmot",
    ]
    file = tmp_path / "grid.toml"
    file.write_text('[[grid]]\ntarget_sparsity = 0.5\ntiming = "tfmot"\nend_step = -1\n')
    (attempt,) = load_grid(file)
    assert attempt.pruning_schedule == ConstantSparsity(0.5, timing=TFMOT)


def test_a_config_goes_round() -> None:
    schedule = known_schedule(decay())
    assert schedule.get_config()["timing"] == TFMOT
    assert PolynomialDecay.from_config(schedule.get_config()) == schedule
    assert "timing" not in ConstantSparsity(0.5).get_config()


def test_the_timing_makes_another_attempt() -> None:
    # One plan, but at an epoch's end masks are chosen from other weights.
    ours = ConstantSparsity(0.5, begin_step=9, end_step=9)
    theirs = ConstantSparsity(0.5, begin_step=10, end_step=10, timing=TFMOT)
    np.testing.assert_array_equal(ours.plan(20), theirs.plan(20))
    configs = [attempt_config(AttemptConfig("a", each), 20) for each in (ours, theirs)]
    assert configs[0] != configs[1]
    assert (masks_epoch_ends(ours), masks_epoch_ends(theirs)) == (False, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            decay(begin_step=100, end_step=100),
            r"must end after it begins.*NaN.*ConstantSparsity\(0",
        ),
        (decay(end_step=-1), r"must have its end\. Received: end_step=-1"),
        (decay(end_step=None), r"must have its end"),
        (decay(final_sparsity=1.0), r"final_sparsity"),
        (constant(frequency=0), r"frequency must be an integer of at least 1"),
        (constant(end_step=-5), r"end_step"),
        (constant(block=3), r"must hold the arguments of ConstantSparsity"),
        (
            {"class_name": "Warmup", "config": {}},
            r"one of ConstantSparsity, PolynomialDecay.*'Warmu",
        ),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        known_schedule(given)
    with pytest.raises(InputError, match=f"old: .*{message}"):
        AttemptConfig("old", FromTFMOT(given))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [ConstantSparsity(0.5), None, 3, {"a": 1}, ConstantSparsity])
def test_what_is_not_tfmots_stays(other: Any) -> None:
    assert known_schedule(other) is other


@pytest.mark.parametrize(
    ("config", "steps", "message"),
    [
        (
            constant(),
            99,
            r"prune at least once\. .*begin_step=0.*first batch is step 1, and steps=99",
        ),
        (constant(begin_step=200), 199, r"prune at least once"),
        (decay(frequency=201), 300, r"frequency=201 in TFMOT's timing"),
    ],
)
def test_a_schedule_that_never_prunes_is_refused(
    config: dict[str, Any], steps: int, message: str
) -> None:
    grid = [AttemptConfig("idle", known_schedule(config))]
    with pytest.raises(InputError, match=f"idle: .*{message}"):
        check_grid(grid, steps)


@pytest.mark.parametrize(
    ("config", "steps", "said"),
    [
        (
            decay(end_step=250),
            300,
            r"stops at 79\.4 % and never reaches its 80\.0 %: .*end_step=250",
        ),
        (decay(end_step=1000), 500, r"stops at 70\.0 %.*end_step=1000 is after the training's 500"),
        (decay(end_step=200), 199, r"stops at 70\.0 %"),
        (decay(end_step=200), 200, None),
        (constant(), 100, None),
    ],
)
def test_what_is_said_of_one_that_stops_short(
    config: dict[str, Any], steps: int, said: str | None
) -> None:
    found = stops_short(known_schedule(config), steps)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(said, found)


def test_a_schedule_that_does_not_tell_its_config_is_none() -> None:
    class Silent(FromTFMOT):
        def get_config(self) -> dict[str, Any]:
            raise NotImplementedError

    schedule = Silent({})
    assert known_schedule(schedule) is schedule


def test_nothing_is_said_of_our_own_timing() -> None:
    assert stops_short(PolynomialDecay(0.0, 0.8, end_step=250), 300) is None
    assert stops_short(None, 300) is None
