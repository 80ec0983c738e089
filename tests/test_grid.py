from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.grid import AttemptConfig, article_grid, check_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule

HALF = ConstantSparsity(0.5)


class EveryStep:
    """A schedule of the user's own: all that counts is the plan."""

    def plan(self, steps: int) -> NDArray[np.float64]:
        return np.full(steps + 1, 0.25)


@pytest.mark.parametrize("end_step", [None, 600])
def test_article_grid(end_step: int | None) -> None:
    expected: dict[str, Schedule] = {
        "poly decay 10/50": PolynomialDecay(0.1, 0.5, 0, end_step, 3, 100),
        "poly decay 20/50": PolynomialDecay(0.2, 0.5, 0, end_step, 3, 100),
        "poly decay 30/60": PolynomialDecay(0.3, 0.6, 0, end_step, 3, 100),
        "poly decay 30/70": PolynomialDecay(0.3, 0.7, 0, end_step, 3, 100),
        "poly decay 40/50": PolynomialDecay(0.4, 0.5, 0, end_step, 3, 100),
        "poly decay 10/90": PolynomialDecay(0.1, 0.9, 0, end_step, 3, 100),
        "const sparsity 0.1": ConstantSparsity(0.1, 0, end_step, 100),
        "const sparsity 0.4": ConstantSparsity(0.4, 0, end_step, 100),
        "const sparsity 0.5": ConstantSparsity(0.5, 0, end_step, 100),
        "const sparsity 0.6": ConstantSparsity(0.6, 0, end_step, 100),
        "const sparsity 0.9": ConstantSparsity(0.9, 0, end_step, 100),
    }
    assert article_grid(end_step) == [AttemptConfig(*item) for item in expected.items()]


def test_article_grid_refuses_a_wrong_end() -> None:
    with pytest.raises(InputError, match="end_step=-1"):
        article_grid(-1)


def test_an_attempt_is_frozen() -> None:
    attempt = AttemptConfig("half", HALF)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attempt.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("grid", "steps"),
    [
        (article_grid(), 600),
        (article_grid(600), 600),
        (article_grid(), 1),
        ([AttemptConfig("own", EveryStep())], 10),
        (tuple(article_grid(450)), 600),
    ],
)
def test_a_good_grid_passes(grid: list[AttemptConfig], steps: int) -> None:
    check_grid(grid, steps)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], r"at least one attempt\. Received: grid=\[\]\."),
        ([AttemptConfig("", HALF)], r"needs a name .* Received: name=''\."),
        ([AttemptConfig("a", HALF), AttemptConfig(" \t", HALF)], r"Received: name=' \\t'\."),
        ([AttemptConfig(3, HALF)], r"Received: name=3\."),  # type: ignore[arg-type]
        (
            [AttemptConfig(name, HALF) for name in ("a", "b", "a", "c", "c")],
            r"Names in a grid must differ.*Received more than once: 'a', 'c'\.",
        ),
        (
            [AttemptConfig("a", 0.5)],  # type: ignore[arg-type]
            r"^a: a pruning schedule must have a plan\. Received: pruning_schedule=0\.5\.",
        ),
        (
            [AttemptConfig("a", HALF), AttemptConfig("late", ConstantSparsity(0.5, 301))],
            r"^late: A schedule must begin .* begin_step=301, steps=300\.",
        ),
        (article_grid(301), r"^poly decay 10/50: .*Planned updates: 0: 10\.0 %, 100: 38\.1 %, "),
    ],
)
def test_a_bad_grid_is_refused(grid: list[AttemptConfig], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_grid(grid, 300)
