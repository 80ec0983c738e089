"""The simulated scheduler against closed forms, its bounds, and the table that the guide shows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scaling
from benchmarks.scheduler import Cluster, simulate
from trimgrid.executors.work import MOST_LOSSES

ROOT = Path(__file__).parents[1]
HOUR = 3600.0


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_equal_units_go_in_waves(units: int, nodes: int, slots: int, start: int) -> None:
    cluster = Cluster(nodes, slots, start=start, data_bytes=3e9)
    found = simulate(cluster, [10.0] * units)
    assert found.makespan == math.ceil(units / (nodes * slots)) * 10 + start + 3
    assert (found.worked, found.lost, found.given_up, found.unfinished) == (units * 10, 0, 0, 0)


def test_many_short_units_wait_for_the_driver() -> None:
    found = simulate(Cluster(nodes=100, driver=0.25), [1.0] * 1000)
    assert found.makespan == 1000 * 0.25 + 1


@given(st.lists(st.floats(1, 50), min_size=1, max_size=30), st.integers(1, 6))
def test_no_slot_waits_while_there_is_work(units: list[float], nodes: int) -> None:
    """Graham's bound for units that are taken in any order."""
    makespan = simulate(Cluster(nodes), units).makespan
    least = max(sum(units) / nodes, max(units))
    assert least - 1e-9 <= makespan <= sum(units) / nodes + max(units) + 1e-9


def test_a_node_that_leaves_costs_what_came_after_the_checkpoint() -> None:
    # 150 s trained, of which 120 are kept; noticed 5 s later, when the other node is still busy.
    visits = [(0.0, 150.0), (0.0, math.inf)]
    found = simulate(Cluster(2, detection=5.0, visits=visits), [200.0, 170.0, 50.0])
    assert (found.lost, found.failures) == (30.0, 0)
    assert found.makespan == 170 + (200 - 120) + 50  # what was lost goes before what has not begun
    assert found.worked == 420


def test_a_node_that_joins_later_takes_its_part() -> None:
    found = simulate(Cluster(2, start=1.0, visits=[(0.0, math.inf), (9.0, math.inf)]), [10.0] * 3)
    assert found.makespan == 21  # 1 to 11, 10 to 20, 11 to 21


def test_where_no_node_stays_units_are_left() -> None:
    found = simulate(Cluster(1, visits=[(0.0, 25.0)]), [10.0] * 4)
    assert (found.unfinished, found.worked, found.lost) == (2, 20.0, 5.0)


def test_failures_cost_what_is_expected() -> None:
    """At each half the time between checkpoints, and the way back of the only node."""
    cluster = Cluster(1, start=20, between_failures=4 * HOUR, repair=600, detection=30)
    found = [simulate(cluster, [2 * HOUR] * 2000, seed=seed) for seed in range(3)]
    failures = sum(each.failures for each in found)
    work = 3 * 2000 * 2 * HOUR
    # A node also fails while its worker starts.
    assert failures == pytest.approx(work / (4 * HOUR) * (1 + 20 / (4 * HOUR)), rel=0.06)
    assert sum(each.lost for each in found) == pytest.approx(failures * 30, rel=0.06)
    away = failures * (600 + 20)
    lost = sum(each.lost for each in found)
    assert sum(each.makespan for each in found) == pytest.approx(work + lost + away, rel=1e-3)


def test_a_unit_that_is_lost_too_often_is_given_up() -> None:
    cluster = Cluster(1, between_failures=HOUR)
    found = simulate(cluster, [1000 * HOUR, 60.0])
    assert (found.given_up, found.unfinished) == (1, 0)
    assert MOST_LOSSES <= found.failures <= MOST_LOSSES + 2


def test_failures_come_from_the_seed() -> None:
    cluster = Cluster(20, between_failures=HOUR, repair=60.0)
    units = [float(each) for each in np.random.default_rng(0).uniform(500, 900, 200)]
    one, same, other = (simulate(cluster, units, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_what_limits_is_named() -> None:
    rows = [
        scaling.simulated(10, 1, None),
        scaling.simulated(10, 100, None),
        scaling.simulated(100_000, 1_000, None, unit_seconds=0.1),
    ]
    assert [row["limit"] for row in rows] == [
        "the number of slots",
        "the longest unit",
        "the driver",
    ]


def test_the_bounds_can_fail() -> None:
    good: dict[str, Any] = dict(scaling.simulated(10, 1_000, None))
    rows = [good, {**good, "failures": "one a day and node", "units given up": 1}]
    assert [each.met for each in scaling.requirements(rows)] == [False, True, True]


def test_the_guide_shows_the_table_that_was_computed() -> None:
    written = (ROOT / "benchmarks/results/scaling.json").read_text(encoding="utf-8")
    found = json.loads(written)
    assert all(each["met"] for each in found["requirements"])
    assert scaling.table(found["rows"]) in (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    # What is written is what the code computes now.
    small = [row for row in found["rows"] if row["attempts"] <= 1_000]
    for row in small:
        between = None if row["failures"] == "none" else scaling.DAY
        assert row == dict(scaling.simulated(row["attempts"], row["nodes"], between))
