"""Schedules of learning rates: the formulas step by step, rounds, tables, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig, check_settings
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.toml_file import load_grid
from trimgrid.learning_rates import (
    Cosine,
    OneCycle,
    check_name,
    rate_from_table,
    rate_plan,
    table_of,
)
from trimgrid.schedules import ConstantSparsity

SHARES = st.floats(0, 1, exclude_max=True)
PEAKS = st.floats(1e-6, 1e3)
HALF = ConstantSparsity(0.5)


def wave(share: float) -> float:
    """From 1 to 0 along half a cosine."""
    return (1 + math.cos(math.pi * share)) / 2


def cosine_at(rate: Cosine, t: int, steps: int) -> float:
    warm = min(round(rate.warmup * steps), steps - 1)
    if t < warm:
        return rate.peak * (t + 1) / (warm + 1)
    return rate.peak * (rate.end + (1 - rate.end) * wave((t - warm) / (steps - warm)))


def one_cycle_at(rate: OneCycle, t: int, steps: int) -> float:
    warm = min(round(rate.warmup * steps), steps - 1)
    if t < warm:
        return rate.peak * (rate.start + (1 - rate.start) * (1 - wave(t / warm)))
    return rate.peak * (rate.end + (1 - rate.end) * wave((t - warm) / (steps - warm)))


def check(rate: Any, at: Callable[[Any, int, int], float], steps: int) -> None:
    plan = rate.plan(steps)
    assert plan.shape == (steps,)
    assert plan.dtype == np.float32
    np.testing.assert_allclose(
        plan, [at(rate, t, steps) for t in range(steps)], rtol=1e-6, atol=1e-6 * rate.peak
    )
    # The peak is reached once and not exceeded.
    top = plan.argmax()
    np.testing.assert_allclose(plan[top], rate.peak, rtol=1e-6)
    assert top == min(round(rate.warmup * steps), steps - 1) or plan[top] == plan[top + 1]
    assert (np.diff(plan[: top + 1]) >= 0).all()
    assert (np.diff(plan[top:]) <= 0).all()


@given(peak=PEAKS, warmup=SHARES, end=SHARES, steps=st.integers(1, 60))
def test_cosine(peak: float, warmup: float, end: float, steps: int) -> None:
    rate = Cosine(peak, warmup, min(end, 0.99))
    check(rate, cosine_at, steps)
    assert (rate.plan(steps) > 0).all()


@given(peak=PEAKS, warmup=SHARES, start=SHARES, end=SHARES, steps=st.integers(1, 60))
def test_one_cycle(peak: float, warmup: float, start: float, end: float, steps: int) -> None:
    check(OneCycle(peak, warmup, min(start, 0.99), min(end, 0.99)), one_cycle_at, steps)


def test_the_defaults_by_hand() -> None:
    plan = Cosine(0.2).plan(100)
    np.testing.assert_allclose(plan[:11] * 11 / 0.2, range(1, 12), rtol=1e-6)
    np.testing.assert_allclose(plan[55], 0.1, rtol=1e-6)
    assert 0 < plan[-1] < 0.2 * 4e-4
    plan = OneCycle(0.5).plan(1000)
    np.testing.assert_allclose(plan[[0, 150, 300, 650]], [0.02, 0.26, 0.5, 0.250025], rtol=1e-6)
    assert 0.5e-4 < plan[-1] < 0.6e-4


def test_rounds() -> None:
    rate = Cosine(0.1, warmup=0.25)
    parts = [rate.plan(each) for each in (3, 4, 2)]
    np.testing.assert_array_equal(rate_plan(rate, 9, [0, 3, 7]), np.concatenate(parts))
    # What comes before the first round is one, too, and none begins after the end.
    np.testing.assert_array_equal(rate_plan(rate, 9, [3, 7, 9]), np.concatenate(parts))
    for none in (None, [], [0], np.arange(1)):
        np.testing.assert_array_equal(rate_plan(rate, 9, none), rate.plan(9))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Cosine(0), r"peak must be a finite number above 0\. Received: peak=0\. Give"),
        (lambda: Cosine(-0.1), r"Received: peak=-0\.1\."),
        (lambda: Cosine(math.nan), r"Received: peak=nan\."),
        (lambda: OneCycle(math.inf), r"Received: peak=inf\."),
        (lambda: Cosine(1e39), r"Received: peak=1e\+39\."),  # infinite in float32
        (lambda: Cosine(1e-60), r"Received: peak=1e-60\."),  # 0 in float32
        (lambda: Cosine(10**400), r"peak must be"),
        (lambda: Cosine("0.1"), r"Received: peak='0\.1'\."),  # type: ignore[arg-type]
        (lambda: Cosine(True), r"Received: peak=True\."),
        (lambda: Cosine(0.1, warmup=1), r"warmup must be a share in \[0, 1\)\. .*warmup=1\. Give"),
        (lambda: Cosine(0.1, warmup=-0.1), r"Received: warmup=-0\.1\."),
        (lambda: Cosine(0.1, end=1.5), r"end must be a share .*end=1\.5\."),
        (lambda: OneCycle(0.1, start=1), r"start must be a share .*start=1\."),
        (lambda: OneCycle(0.1, end=math.nan), r"Received: end=nan\."),
        (lambda: rate_from_table({"peak": 1}), r"'peak': 1}\. Add the name: cosine or one_cycle\."),
        (lambda: rate_from_table({"name": "exp"}), r"name of a schedule\. .*Known are: cosine, o"),
        (lambda: rate_from_table({"name": "cosin", "peak": 1}), r"Did you mean 'cosine'\?"),
        (lambda: rate_from_table({"name": 3}), r"learning_rate=\{'name': 3\}\."),
        (
            lambda: rate_from_table({"name": "cosine", "peak": 1, "warmpu": 0}),
            r"cosine must have .*warmpu=0\. Did you mean 'warmup'\? Known are: end, peak, warmup\.",
        ),
        (lambda: rate_from_table({"name": "cosine", "start": 0}), r"Received: start=0\. "),
        (lambda: rate_from_table({"name": "one_cycle"}), r"one_cycle must have a peak"),
        (lambda: check_name("cosine"), r"cosine must have a peak.*Give Cosine\(peak=0\.002\), in"),
        (
            lambda: check_name("rewnd"),
            r"learning_rate='rewnd'\. Did you mean 'rewind'\? Known are: as_is, cosine, one_cycle, "
            r"rewind\.",
        ),
    ],
)
def test_what_is_refused(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


@pytest.mark.parametrize("rate", [Cosine(0.25, 0.0, 0.5), OneCycle(0.25), OneCycle(1, 0, 0, 0)])
def test_tables(rate: Any) -> None:
    table = table_of(rate)
    assert rate_from_table(table) == rate
    assert {type(each) for key, each in table.items() if key != "name"} == {float}
    assert hash(rate) == hash(rate_from_table(table))


@pytest.mark.parametrize("rate", ["as_is", "rewind", Cosine(0.1), OneCycle(0.1)])
def test_next_to_an_optimizer(rate: Any) -> None:
    check_settings(AttemptConfig("a", HALF, learning_rate=rate, optimizer="sgd"))
    check_settings(AttemptConfig("a", HALF, learning_rate=rate))


def test_an_attempt_with_the_name_of_no_schedule() -> None:
    with pytest.raises(InputError, match=r"learning_rate='rewound'\. Did you mean 'rewind'"):
        check_settings(AttemptConfig("a", HALF, learning_rate="rewound"))


def test_what_tells_attempts_apart() -> None:
    def told(rate: Any, original_steps: int | None = None) -> Any:
        config = attempt_config(AttemptConfig("a", HALF, learning_rate=rate), 300, original_steps)
        return config["learning_rate"]

    assert told(None) is told("as_is") is None
    assert told(None, 500) is None
    assert told(0.5) == 0.5
    assert told("rewind", 500) == {"name": "rewind", "original_steps": 500}
    assert told(Cosine(0.5)) == {"name": "cosine", "peak": 0.5, "warmup": 0.1, "end": 0.0}
    assert told(OneCycle(0.5))["name"] == "one_cycle"


RATES = ["as_is", "rewind", 0.5, Cosine(0.002), Cosine(0.002, 0.2), OneCycle(1e-2, end=0)]
NAMES = [
    "as_is",
    "rewind",
    "0.5",
    "cosine(0.002)",
    "cosine(0.002, warmup 0.2)",
    "one_cycle(0.01, end 0)",
]
FILE = """
[[grid]]
target_sparsity = 0.5
learning_rate = [
    "as_is", "rewind", 0.5, { name = "cosine", peak = 0.002 },
    { name = "cosine", peak = 0.002, warmup = 0.2 }, { name = "one_cycle", peak = 0.01, end = 0 },
]

[[attempt]]
name = "one"
target_sparsity = 0.6
learning_rate = { name = "one_cycle", peak = 0.1, start = 0.5 }
"""


def test_grids(tmp_path: Path) -> None:
    grid = expand_grid({"target_sparsity": 0.5, "learning_rate": RATES})
    assert [each.learning_rate for each in grid] == RATES
    assert [each.name for each in grid] == [f"const sparsity 0.5, learning_rate {n}" for n in NAMES]
    named = expand_grid({"target_sparsity": 0.5, "learning_rate": RATES, "name": "{learning_rate}"})
    assert [each.name for each in named] == NAMES
    path = tmp_path / "grid.toml"
    path.write_text(FILE, encoding="utf-8")
    from_file = load_grid(path)
    assert list(from_file[:-1]) == list(grid)
    assert from_file[-1].learning_rate == OneCycle(0.1, start=0.5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"cosine"', r"\[\[grid\]\] 1: cosine must have a peak.*\{ name = \"cosine\", peak"),
        ("{ peak = 0.1 }", r"must have the name of a schedule"),
        ('{ name = "cosine", peak = -1 }', r"\[\[grid\]\] 1: peak must be .*peak=-1"),
        ('["rewind", "rewind"]', r"values of learning_rate must differ"),
    ],
)
def test_files_that_are_refused(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(f"[[grid]]\ntarget_sparsity = 0.5\nlearning_rate = {line}", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_grid(path)
