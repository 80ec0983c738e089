"""Rounds of pruning and the cut without training: what they plan, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig, check_grid
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.toml_file import load_grid
from trimgrid.iterative import IterativePruning, planned_rewinds
from trimgrid.one_shot import OneShot
from trimgrid.schedule_kinds import SCHEDULES, is_trained, short_name
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule


def updates(schedule: Schedule, steps: int) -> list[tuple[int, float]]:
    plan = schedule.plan(steps)
    assert plan.shape == (steps + 1,)
    return [(step, float(value)) for step, value in enumerate(plan) if not math.isnan(value)]


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        # 0.8 ** 3 is 0.512: three rounds, though log(0.512) / log(0.8) is a little above 3.
        (IterativePruning(0.488), 30, [(0, 0.2), (10, 0.36), (20, 0.488)]),
        (IterativePruning(0.4881), 40, [(0, 0.2), (10, 0.36), (20, 0.488), (30, 0.4881)]),
        (IterativePruning(0.75, 0.5), 7, [(0, 0.5), (3, 0.75)]),
        (IterativePruning(0.75, 0.5, begin_step=4), 7, [(4, 0.5), (5, 0.75)]),
        (IterativePruning(0.75, 0.5, begin_step=5), 7, [(5, 0.5), (6, 0.75)]),
        (IterativePruning(0.9, 0.9), 3, [(0, 0.9)]),
        (IterativePruning(0.5, 0.9), 3, [(0, 0.5)]),
        (IterativePruning(0.0), 1, [(0, 0.0)]),
        (OneShot(0.9), 3, [(0, 0.9)]),
        (OneShot(0), 0, [(0, 0.0)]),
    ],
)
def test_plans(schedule: Schedule, steps: int, expected: list[tuple[int, float]]) -> None:
    found = updates(schedule, steps)
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=1e-12)
    assert found[-1] == expected[-1]


finals = st.floats(0, 1, exclude_max=True)
shares = st.floats(0.01, 1, exclude_min=True, exclude_max=True)


@given(finals, shares, st.integers(0, 50), st.integers(0, 400), st.sampled_from(["weights", None]))
def test_every_plan(final: float, share: float, begin: int, steps: int, rewind: str | None) -> None:
    schedule = IterativePruning(final, share, rewind, begin)
    try:
        rounds = schedule.rounds(steps)
    except InputError:
        # One batch a round would not do.
        assert steps - begin < math.log1p(-final) / math.log1p(-share) + 1
        return
    sparsities = [value for _, value in updates(schedule, steps)]
    assert [step for step, _ in updates(schedule, steps)] == rounds
    assert rounds[0] == begin
    lengths = np.diff([*rounds, steps])
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1
    assert sparsities[-1] == final
    assert sparsities == sorted(sparsities)
    # Each round but the last prunes its share of what is left, the last one at most.
    left = 1 - np.array([0, *sparsities])
    cut = 1 - left[1:] / left[:-1]
    np.testing.assert_allclose(cut[:-1], share, rtol=1e-6, atol=1e-9)
    assert cut[-1] <= share + 1e-6
    rewinds = np.flatnonzero(schedule.rewinds(steps)).tolist()
    assert rewinds == ([step for step in rounds if step > 0] if rewind else [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"final_sparsity": 1.0}, "final_sparsity must be a fraction"),
        ({"final_sparsity": 0.5, "share": 0}, r"share must be a fraction above 0 .* share=0\."),
        ({"final_sparsity": 0.5, "share": 1}, "share must be a fraction"),
        ({"final_sparsity": 0.5, "share": "0.2"}, "share must be a fraction"),
        ({"final_sparsity": 0.5, "share": True}, "share must be a fraction"),
        ({"final_sparsity": 0.5, "share": math.nan}, "share must be a fraction"),
        ({"final_sparsity": 0.5, "rewind": "weight"}, "rewind must say .* rewind='weight'"),
        ({"final_sparsity": 0.5, "rewind": True}, "rewind must say"),
        ({"final_sparsity": 0.5, "begin_step": -1}, "begin_step must be an integer"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IterativePruning(**arguments)


@pytest.mark.parametrize("target", [1, -0.1, math.nan, "0.5", None])
def test_targets_that_one_shot_refuses(target: Any) -> None:
    with pytest.raises(InputError, match="target_sparsity must be a fraction"):
        OneShot(target)


@pytest.mark.parametrize(
    ("schedule", "steps", "rounds"),
    [
        (IterativePruning(0.9), 10, "11 in 10"),
        (IterativePruning(0.9, begin_step=90), 100, "11 in 10"),
        (IterativePruning(0.5, begin_step=7), 5, "4 in 0"),
        (IterativePruning(0.5), 0, "4 in 0"),
        (IterativePruning(0.9, 5e-324), 100, f"{2**53} in 100"),
    ],
)
def test_trainings_too_short_for_the_rounds(
    schedule: IterativePruning, steps: int, rounds: str
) -> None:
    with pytest.raises(InputError, match=f"at least a batch in each round.*Rounds: {rounds} steps"):
        schedule.plan(steps)
    with pytest.raises(InputError, match=r"^mine: IterativePruning must train"):
        check_grid([AttemptConfig("mine", schedule)], steps)


@pytest.mark.parametrize("schedule", [IterativePruning(0.9, 0.3, "weights", 5), OneShot(0.9)])
def test_configs(schedule: IterativePruning | OneShot) -> None:
    config = json.loads(json.dumps(schedule.get_config()))
    assert list(config) == [field.name for field in dataclasses.fields(schedule)]
    assert type(schedule).from_config(config) == schedule
    assert isinstance(schedule, Schedule)
    with pytest.raises(InputError, match="must hold the arguments"):
        type(schedule).from_config({"sparsity": 0.9})


def test_what_is_trained() -> None:
    schedules = [None, ConstantSparsity(0.5), PolynomialDecay(0.1, 0.5), IterativePruning(0.5)]
    assert all(is_trained(each) for each in schedules)
    assert not is_trained(OneShot(0.5))
    assert {type(each) for each in schedules[1:]} == {*SCHEDULES.values()} - {OneShot}


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        (OneShot(0.9), "one-shot 0.9"),
        (IterativePruning(0.95), "iterative 0.95"),
        (ConstantSparsity(0.9), "const sparsity 0.9"),
        (PolynomialDecay(0.29, 0.5), "poly decay 29/50"),
    ],
)
def test_short_names(schedule: Schedule, name: str) -> None:
    assert short_name(schedule) == name


def test_in_grids() -> None:
    grid = expand_grid(
        [
            {"schedule": "one_shot", "target_sparsity": [0.5, 0.9]},
            {"target_sparsity": 0.9},
            {
                "schedule": ["iterative_pruning"],
                "final_sparsity": 0.9,
                "rewind": [None, "weights"],
                "share": [0.2, 0.5],
            },
        ]
    )
    expected: dict[str, Schedule] = {
        "one-shot 0.5": OneShot(0.5),
        "one-shot 0.9": OneShot(0.9),
        "const sparsity 0.9": ConstantSparsity(0.9),
        "iterative 0.9, share 0.2": IterativePruning(0.9),
        "iterative 0.9, share 0.5": IterativePruning(0.9, 0.5),
        "iterative 0.9, share 0.2, rewind weights": IterativePruning(0.9, rewind="weights"),
        "iterative 0.9, share 0.5, rewind weights": IterativePruning(0.9, 0.5, "weights"),
    }
    assert {each.name: each.pruning_schedule for each in grid} == expected


def test_in_toml(tmp_path: Any) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(
        """
        [[grid]]
        schedule = "iterative_pruning"
        final_sparsity = [0.8, 0.9]
        rewind = "weights"

        [[attempt]]
        name = "cut"
        schedule = "one_shot"
        target_sparsity = 0.7
        """
    )
    expected: list[Schedule] = [
        IterativePruning(0.8, rewind="weights"),
        IterativePruning(0.9, rewind="weights"),
        OneShot(0.7),
    ]
    assert [each.pruning_schedule for each in load_grid(path)] == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schedule": "one_shot"}, "one_shot must have target_sparsity"),
        ({"schedule": "iterative_pruning"}, "iterative_pruning must have final_sparsity"),
        (
            {"schedule": "one_shot", "target_sparsity": 0.5, "frequency": 3},
            "one_shot takes the arguments target_sparsity.*frequency=3.*'constant_sparsity'",
        ),
        (
            {"final_sparsity": 0.5, "share": 0.3},
            "polynomial_decay takes .*share=0.3.* or give schedule='iterative_pruning'",
        ),
        ({"schedule": "oneshot", "target_sparsity": 0.5}, "one_shot"),
        (
            {"schedule": "one_shot", "target_sparsity": 0.5, "learning_rate": 0.1},
            "is not trained has no settings of a training",
        ),
        (
            {"schedule": "one_shot", "target_sparsity": 0.5, "optimizer": "sgd"},
            "is not trained has no settings of a training",
        ),
    ],
)
def test_grids_that_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        expand_grid(spec)


class Own:
    """A schedule of the user's own that rewinds, or does not."""

    def __init__(self, places: list[int]) -> None:
        self.places = places

    def plan(self, steps: int) -> NDArray[np.float64]:
        """A half at every step."""
        return np.full(steps + 1, 0.5)

    def rewinds(self, steps: int) -> NDArray[np.bool_]:
        """As given."""
        return np.isin(np.arange(steps + 1), self.places)


def test_identities_differ() -> None:
    schedules: list[Any] = [
        ConstantSparsity(0.75, end_step=0),
        OneShot(0.75),
        IterativePruning(0.75, 0.75),  # the same plan as the ones before
        IterativePruning(0.75, 0.75, "weights"),
        IterativePruning(0.75, 0.75, "learning_rate"),
        IterativePruning(0.75, 0.5),
        Own([]),
        Own([3]),
        Own([4]),
    ]
    found = [json.dumps(attempt_config(AttemptConfig("a", each), 8)) for each in schedules]
    assert len({*found}) == len(schedules)
    assert "rewinds" not in found[6]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, []),
        (ConstantSparsity(0.5), []),
        (IterativePruning(0.75, 0.5), []),
        (IterativePruning(0.75, 0.5, "learning_rate"), []),
        (IterativePruning(0.75, 0.5, "weights"), [4]),
        (IterativePruning(0.75, 0.5, "weights", 2), [2, 5]),
        (Own([1, 8]), [1, 8]),
    ],
)
def test_where_weights_go_back(schedule: Any, expected: list[int]) -> None:
    assert np.flatnonzero(planned_rewinds(schedule, 8)).tolist() == expected


def test_rewinds_that_are_no_plan() -> None:
    own = Own([3])
    assert np.flatnonzero(planned_rewinds(own, 8)).tolist() == [3]
    own.rewinds = lambda steps: np.zeros(steps, np.bool_)  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"^own: rewinds must tell .* bool of shape \(8,\) for 8"):
        check_grid([AttemptConfig("own", own)], 8)
    own.rewinds = lambda steps: [0] * (steps + 1)  # type: ignore[assignment,return-value,method-assign]
    with pytest.raises(InputError, match="an array of bool"):
        planned_rewinds(own, 8)
