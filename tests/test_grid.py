from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig, article_grid, check_grid
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


class Optimizer:
    """What floor 0 knows of a Keras optimizer."""

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": 0.5}


def test_an_attempt_has_nothing_of_its_own_unless_given() -> None:
    attempt = AttemptConfig("half", HALF)
    assert (attempt.learning_rate, attempt.optimizer, attempt.seed) == (None, None, None)
    with pytest.raises(TypeError):
        AttemptConfig("half", HALF, 0.1)  # type: ignore[call-arg]


def test_attempts_compare_and_hash_by_all_they_have() -> None:
    plain = AttemptConfig("half", HALF)
    own: list[dict[str, Any]] = [
        {"learning_rate": 0.1},
        {"seed": 3},
        {"optimizer": "sgd"},
        {"optimizer": {"class_name": "SGD", "config": {}}},
    ]
    for settings in own:
        first, second = (AttemptConfig("half", HALF, **settings) for _ in range(2))
        assert first == second != plain
        assert hash(first) == hash(second)
        assert len({first, second, plain}) == 2
    optimizer = Optimizer()
    assert AttemptConfig("a", HALF, optimizer=optimizer) != AttemptConfig(
        "a", HALF, optimizer=Optimizer()
    )
    assert AttemptConfig("a", HALF, optimizer=optimizer) == AttemptConfig(
        "a", HALF, optimizer=optimizer
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1e-3},
        {"learning_rate": 1},
        {"learning_rate": np.float32(0.1), "seed": np.int64(7)},
        {"seed": 0},
        {"optimizer": "sgd", "seed": 2**40},
        {"optimizer": {"class_name": "SGD", "config": {}}},
        {"optimizer": Optimizer()},
    ],
)
def test_good_settings_of_an_attempt_pass(settings: dict[str, Any]) -> None:
    check_grid([AttemptConfig("own", HALF, **settings)], 300)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, r"finite number above 0\. Received: learning_rate=0\. "),
        ({"learning_rate": -1e-3}, r"Received: learning_rate=-0\.001\. Give a number, a Cosine"),
        ({"learning_rate": math.nan}, r"Received: learning_rate=nan\."),
        ({"learning_rate": math.inf}, r"Received: learning_rate=inf\."),
        ({"learning_rate": 10**400}, r"Received: learning_rate=1000"),
        ({"learning_rate": True}, r"Received: learning_rate=True\."),
        ({"learning_rate": "0.1"}, r"Received: learning_rate='0\.1'\."),
        ({"learning_rate": [0.1]}, r"Received: learning_rate=\[0\.1\]\."),
        ({"seed": -1}, r"seed must be an integer of at least 0\. Received: seed=-1\."),
        ({"seed": 1.0}, r"Received: seed=1\.0\."),
        ({"seed": False}, r"Received: seed=False\."),
        (
            {"learning_rate": 0.1, "optimizer": "adam"},
            r"not both\. Received: learning_rate=0\.1, optimizer='adam'\. "
            r"Give the optimizer the learning rate\.",
        ),
        ({"optimizer": ""}, r"optimizer must be a Keras optimizer or its name\. .*=''\."),
        ({"optimizer": 0.1}, r"Received: optimizer=0\.1\. Give \"adam\" or keras\."),
        ({"optimizer": Optimizer}, r"Received: optimizer=<class "),
    ],
)
def test_bad_settings_of_an_attempt_are_refused(settings: dict[str, Any], message: str) -> None:
    grid = [AttemptConfig("good", HALF), AttemptConfig("own", HALF, **settings)]
    with pytest.raises(InputError, match=f"^own: .*{message}"):
        check_grid(grid, 300)


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
        (
            {"target_sparsity": [0.5]},
            r"a list of attempts\. Received: dict\. .*expand_grid",
        ),
        ("article", r"Received: str\. Make it with expand_grid"),
        (AttemptConfig("a", HALF), r"Received: AttemptConfig\..* give \[AttemptConfig\(name, "),
        (iter(article_grid()), r"Received: list_iterator\."),
        ([HALF], r"must hold attempts\. Received: ConstantSparsity in it, .*AttemptConfig\(name, "),
        (["half"], r"Received: str in it, 'half'\."),
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
def test_a_bad_grid_is_refused(grid: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_grid(grid, 300)
