"""What makes functions different from one another, and what does not."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.digests import digest
from trimgrid.function_facts import function_facts, required_arguments


def make(value: Any) -> Callable[[Any], Any]:
    return lambda y: y + value


def with_default(value: Any) -> Callable[..., Any]:
    def error(y: Any, weight: Any = value, *, power: Any = value) -> Any:
        return weight * y**power

    return error


def helper_named(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda y: inner(y)


class Scaled:
    def __init__(self, scale: Any) -> None:
        self.scale = scale

    def __call__(self, y: Any) -> Any:
        return y * self.scale


@pytest.mark.parametrize("build", [make, with_default, Scaled, lambda v: helper_named(make(v))])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (0.5, 1.5),
        ("a", "b"),
        ([1, 2], [1, 3]),
        ({"a": (1, None)}, {"a": (2, None)}),
        (np.zeros(3), np.ones(3)),
    ],
)
def test_what_is_used_counts(build: Callable[[Any], Any], one: Any, other: Any) -> None:
    assert digest(function_facts(build(one))) == digest(function_facts(build(one)))
    assert digest(function_facts(build(one))) != digest(function_facts(build(other)))


def test_the_arguments_of_a_partial_count() -> None:
    one, other = (functools.partial(pow, exp=value) for value in (2, 3))
    assert function_facts(one) != function_facts(other)


def test_a_function_that_calls_itself() -> None:
    def again(y: int) -> int:
        return y if y == 0 else again(y - 1)

    assert function_facts(again)["function"].endswith("again")


def test_the_same_in_a_program_and_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        "from trimgrid.digests import digest\n"
        "from trimgrid.function_facts import function_facts\n"
        "LIMIT = 3\n"
        "def error(y, p):\n    return abs(y - p) + LIMIT\n"
        "print(digest(function_facts(error)))\n"
    )
    told = {
        subprocess.run(
            [sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for how in (["study.py"], ["-c", "import study"])
    }
    assert len(told) == 1


@pytest.mark.parametrize(
    ("function", "count"),
    [(lambda model: 0, 1), (lambda y, p: 0, 2), (lambda y, p, w=None: 0, 2), (Scaled(1), 1)],
)
def test_required_arguments(function: Callable[..., Any], count: int) -> None:
    assert required_arguments(function) == count
