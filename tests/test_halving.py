"""The rule of halving: who stops at a rung, against a search through all pairs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.halving import Decisions, Halving, rungs_of

POINTS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9).map(float)), min_size=1, max_size=12
)


@given(POINTS)
def test_who_stops_is_beaten_and_no_more_than_half_stop(points: list[tuple[int, float]]) -> None:
    names = [str(place) for place in range(len(points))]
    kept = {name: float(each[0]) for name, each in zip(names, points, strict=True)}
    losses = [each[1] for each in points]
    lost = Halving([3], kept).hopeless(3, names, losses)
    assert len(lost) <= len(points) // 2
    for name in lost:
        mine = points[int(name)]
        assert any(
            (other[0] <= mine[0] and other[1] <= mine[1] and other != mine)
            or (other == mine and place < int(name))
            for place, other in enumerate(points)
        )


def test_only_at_a_rung_and_never_without_a_finite_loss() -> None:
    halving = Halving([2], {"a": 1, "b": 2, "c": 3})
    assert halving.hopeless(1, ["a", "b", "c"], [0.1, 0.2, 0.3]) == set()
    assert halving.hopeless(2, ["a", "b", "c"], [0.1, math.nan, 0.3]) == {"c"}


def test_one_after_the_other_each_is_compared_with_those_before() -> None:
    halving = Halving([2], {"a": 1, "b": 2, "c": 3})
    assert halving.hopeless(2, ["b"], [0.2]) == set()
    assert halving.hopeless(2, ["c"], [0.3]) == {"c"}
    assert halving.hopeless(2, ["a"], [0.1]) == set()


def test_what_was_decided_stays_whoever_is_there() -> None:
    told: list[Decisions] = []
    first = Halving([2], {"a": 1, "b": 2}, on_decision=told.append)
    assert first.hopeless(2, ["a", "b"], [0.1, 0.2]) == {"b"}
    again = Halving([2], {"a": 1, "b": 2}, told[-1])
    assert again.hopeless(2, ["b"], [0.001]) == {"b"}
    assert again.hopeless(2, ["a"], [9.0]) == set()


def test_a_rung_is_an_epoch() -> None:
    with pytest.raises(InputError, match="A rung is an epoch"):
        Halving([0], {})


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, []), (2, [1]), (3, [1, 2]), (4, [2, 3]), (100, [50, 75])]
)
def test_rungs(epochs: int, expected: list[int]) -> None:
    assert rungs_of(epochs) == expected
