"""Grids from lists: the order of scikit-learn, names, and every way to get one wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import ParameterGrid

from trimgrid.errors import InputError
from trimgrid.grids.expansion import AttemptGrid, expand_grid
from trimgrid.grids.grid import AttemptConfig, article_grid, check_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay


class Every:
    """A schedule of the user's own, without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, sparsity: float) -> None:
        self.sparsity = sparsity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Every) and other.sparsity == self.sparsity

    def plan(self, steps: int) -> NDArray[np.float64]:
        """The same at every step."""
        return np.full(steps + 1, self.sparsity)


class Adam:
    """What floor 0 knows of an optimizer."""

    def __init__(self, rate: Any) -> None:
        self.rate = rate

    def get_config(self) -> dict[str, Any]:
        """As Keras' own."""
        return {"name": "adam", "learning_rate": self.rate}


SPECS: list[Any] = [
    {"target_sparsity": [0.5, 0.9], "frequency": [10, 20, 30], "begin_step": 5, "seed": [1, 2]},
    [
        {"target_sparsity": (0.2, 0.4), "end_step": [None, 300]},
        {"initial_sparsity": [0.1], "final_sparsity": [0.5], "power": range(1, 4)},
    ],
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_order_is_that_of_scikit_learn(spec: Any) -> None:
    dicts = spec if isinstance(spec, list) else [spec]
    listed = [
        {key: [each] if np.isscalar(each) else list(each) for key, each in entry.items()}
        for entry in dicts
    ]
    grid = expand_grid(spec)
    expected = list(ParameterGrid(listed))
    assert len(grid) == len(expected)
    for attempt, values in zip(grid, expected, strict=True):
        found = {**attempt.pruning_schedule.get_config(), "seed": attempt.seed}  # type: ignore[attr-defined]
        assert {key: found[key] for key in values} == values


def test_a_grid_is_a_sequence() -> None:
    grid = expand_grid({"target_sparsity": [0.5, 0.8, 0.9]})
    assert [each.name for each in grid] == [f"const sparsity {s}" for s in (0.5, 0.8, 0.9)]
    assert grid[0] == AttemptConfig("const sparsity 0.5", ConstantSparsity(0.5))
    assert grid[-1] == grid[2]
    assert isinstance(grid[1:], AttemptGrid)
    assert list(grid[::-1]) == list(grid)[::-1]
    assert grid[1] in grid
    assert grid.index(grid[1]) == 1
    with pytest.raises(IndexError):
        grid[3]
    check_grid(grid, 100)
    many = expand_grid({"target_sparsity": np.arange(10) / 10})
    assert repr(many) == (
        "AttemptGrid of 10 attempts: 'const sparsity 0.0', 'const sparsity 0.1', "
        "'const sparsity 0.2', 'const sparsity 0.3', ..., 'const sparsity 0.8', "
        "'const sparsity 0.9'"
    )


def test_the_article_s_grid_has_the_names_of_the_article() -> None:
    found: list[AttemptConfig] = []
    for attempt in article_grid():
        config = attempt.pruning_schedule.get_config()  # type: ignore[attr-defined]
        found += expand_grid(config)
    assert found == article_grid()


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"initial_sparsity": 0.125, "final_sparsity": 0.29}, ["poly decay 12.5/29"]),
        (
            {"target_sparsity": 0.5, "learning_rate": [0.001, 1e-5]},
            ["const sparsity 0.5, learning_rate 0.001", "const sparsity 0.5, learning_rate 1e-05"],
        ),
        (
            {"target_sparsity": 0.5, "end_step": [None, 300], "seed": 3},
            ["const sparsity 0.5", "const sparsity 0.5, end_step 300"],
        ),
        (
            [
                {"target_sparsity": 0.5, "frequency": 10},
                {"initial_sparsity": 0.1, "final_sparsity": 0.5, "learning_rate": 0.1},
            ],
            ["const sparsity 0.5", "poly decay 10/50, learning_rate 0.1"],
        ),
        (
            {"target_sparsity": 0.5, "optimizer": ["sgd", Adam(np.float32(0.001)), Adam(0.1)]},
            [
                "const sparsity 0.5, optimizer sgd",
                "const sparsity 0.5, optimizer Adam(0.001)",
                "const sparsity 0.5, optimizer Adam(0.1)",
            ],
        ),
        (
            {"target_sparsity": 0.5, "optimizer": [Adam(0.1), Adam(0.1)]},
            [
                "const sparsity 0.5, optimizer Adam(0.1)",
                "const sparsity 0.5, optimizer Adam(0.1) (2)",
            ],
        ),
        (
            {"pruning_schedule": [ConstantSparsity(0.5), PolynomialDecay(0.1, 0.5), Every(0.1)]},
            ["const sparsity 0.5", "poly decay 10/50", "Every"],
        ),
        (
            {"pruning_schedule": [Every(0.1), Every(0.2), Every(0.3)]},
            ["Every", "Every (2)", "Every (3)"],
        ),
        (
            {"target_sparsity": [0.5], "learning_rate": [0.1, 0.01], "name": "lr {learning_rate}"},
            ["lr 0.1", "lr 0.01"],
        ),
        (
            {"target_sparsity": 0.5, "name": "{{{target_sparsity:.0%}}} {frequency} {seed}"},
            ["{50%} 100 None"],
        ),
    ],
)
def test_names(spec: Any, names: list[str]) -> None:
    assert [attempt.name for attempt in expand_grid(spec)] == names


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], r"dict of lists, or a list of such dicts\. Received: \[\]\."),
        ("polynomial", r"dict of lists.*Received: 'polynomial'"),
        ({}, r"The grid: A grid must tell its schedule\. Received: no sparsity\."),
        ([{"target_sparsity": 0.5}, 3], r"Entry 2 of the grid must be a dict.*Received: 3\."),
        (
            {"target_sparsity": 0.5, "learning_rat": 0.1},
            r"Received: 'learning_rat'\. Did you mean 'learning_rate'\? Known are: allocation, ",
        ),
        ({"target_sparsity": 0.5, 3: 1}, r"Received: 3\."),
        (
            {"target_sparsity": 0.5, "schedule": "polynomial"},
            r"Received: schedule='polynomial'\. Did you mean 'polynomial_decay'\?",
        ),
        ({"target_sparsity": 0.5, "schedule": ConstantSparsity(0.5)}, "must be the name of one"),
        ({"target_sparsity": []}, r"at least one value\. Received: target_sparsity=\[\]\."),
        ({"target_sparsity": [0.5, 0.6, 0.5]}, r"must differ\. Received more than once: 0\.5\."),
        ({"target_sparsity": {0.5, 0.6}}, r"must be a list, which has an order\. Received: set\."),
        ({"target_sparsity": iter([0.5])}, r"Received: list_iterator\."),
        (
            {"target_sparsity": 0.5, "power": 3},
            r"constant_sparsity takes the arguments target_sparsity, begin_step, end_step, "
            r"frequency, timing\. Received: power=3\.",
        ),
        (
            {
                "schedule": ["polynomial_decay", "constant_sparsity"],
                "initial_sparsity": 0.1,
                "final_sparsity": 0.5,
            },
            r"constant_sparsity takes .*Received: final_sparsity=0\.5.*give each schedule a dict",
        ),
        (
            {"target_sparsity": 0.5, "final_sparsity": 0.5},
            r"must tell its schedule\. Received: target_sparsity and final_sparsity\.",
        ),
        ({"final_sparsity": 0.5}, r"polynomial_decay must have initial_sparsity\."),
        (
            [{"target_sparsity": 0.5}, {"target_sparsity": [0.6, 1.5]}],
            r"^Entry 2 of the grid: target_sparsity must be a fraction.*target_sparsity=1\.5",
        ),
        ({"target_sparsity": 0.5, "learning_rate": 0}, r"^The grid: learning_rate must be a"),
        ({"target_sparsity": 0.5, "seed": "3"}, r"^The grid: seed must be an integer"),
        (
            {"pruning_schedule": ConstantSparsity(0.5), "frequency": 10},
            r"stand alone\. Received: pruning_schedule=ConstantSparsity\(.*\) with frequency\.",
        ),
        ({"pruning_schedule": 0.5}, r"Received: pruning_schedule=0\.5 with nothing else\."),
        (
            [{"target_sparsity": 0.5}, {"target_sparsity": [0.4, 0.5], "frequency": 100}],
            r"must differ\. Received twice: 'const sparsity 0\.5' and 'const sparsity 0\.5 \(2\)'",
        ),
        (
            {"schedule": "one_shot", "final_sparsity": 0.5},
            r"The sparsity of one_shot is its target_sparsity\. Received: final_sparsity=0\.5\. R",
        ),
        (
            [{"pruning_schedule": Every(0.1)}, {"pruning_schedule": Every(0.1)}],
            r"Received twice: 'Every' and 'Every \(2\)'",
        ),
        (
            {"target_sparsity": [0.5, 0.6], "name": "same"},
            r"Names in a grid must differ.*'same'\. Rename one of them; in a template, name what",
        ),
        ({"target_sparsity": 0.5, "name": ["a", "b"]}, r"one text .*Received: name=\['a', 'b'\]"),
        ({"target_sparsity": 0.5, "name": " "}, r"Received: name=' '\."),
        ({"target_sparsity": 0.5, "name": "{sparsity}"}, r"'sparsity'\. Did you mean 'target_sp"),
        ({"target_sparsity": 0.5, "name": "{seed.__class__}"}, r"'seed\.__class__'\. "),
        ({"target_sparsity": 0.5, "name": "{seed!r}"}, r"with 'seed'\."),
        ({"target_sparsity": 0.5, "name": "{seed:{seed}}"}, r"with 'seed'\."),
        ({"target_sparsity": 0.5, "name": "{seed:d}"}, r"must be a format of Python"),
        ({"target_sparsity": 0.5, "name": "{seed"}, r"must be a format of Python"),
        ({"target_sparsity": 0.5, "name": "{}"}, r"with ''\."),
    ],
)
def test_what_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        expand_grid(spec)


@pytest.mark.parametrize("change", [lambda d: d, lambda d: dict(reversed(d.items()))])
def test_the_order_of_the_keys_counts_for_nothing(change: Callable[[Any], Any]) -> None:
    spec = {"target_sparsity": [0.5, 0.6], "frequency": [1, 2], "optimizer": ["sgd", "adam"]}
    assert list(expand_grid(change(spec))) == list(expand_grid(spec))
