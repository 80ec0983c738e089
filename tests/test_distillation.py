"""The settings of a distillation: what they may be, and where grids have them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.distillation import Distillation
from trimgrid.errors import InputError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig, check_settings
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.toml_file import load_grid
from trimgrid.runs.checking import Lengths, check_attempts, tasks_of
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Training

HALF = ConstantSparsity(0.5)
WARM = Distillation(4.0, 0.7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": "2"}, "temperature='2'"),
        ({"temperature": True}, "temperature=True"),
        ({"weight": 0.0}, "weight=0.0"),
        ({"weight": 1.01}, "weight=1.01"),
        ({"weight": math.nan}, "weight=nan"),
        ({"weight": None}, "weight=None"),
    ],
)
def test_what_it_may_not_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"Received: {message}"):
        Distillation(**arguments)


def test_numbers_of_any_kind_become_floats() -> None:
    numbers: list[Any] = [np.int64(3), np.float32(0.25)]
    found = Distillation(*numbers)
    assert found == Distillation(3.0, 0.25)
    assert [type(each) for each in (found.temperature, found.weight)] == [float, float]


def test_where_it_is_no_distillation() -> None:
    wrong: Any = {"temperature": 2.0}
    with pytest.raises(InputError, match=r"distillation must be a Distillation or None"):
        check_settings(AttemptConfig("any", HALF, distillation=wrong))
    with pytest.raises(InputError, match="The grid: distillation must be a Distillation"):
        expand_grid({"target_sparsity": 0.5, "distillation": wrong})
    with pytest.raises(InputError, match="distillation must be a Distillation"):
        Training("mse", distillation=wrong)


def test_a_grid_with_and_without() -> None:
    grid = expand_grid({"target_sparsity": 0.5, "distillation": [None, WARM, Distillation(0.25)]})
    assert [attempt.name for attempt in grid] == [
        "const sparsity 0.5",
        "const sparsity 0.5, distillation T4 w0.7",
        "const sparsity 0.5, distillation T0.25 w0.5",
    ]
    named = expand_grid({"target_sparsity": 0.5, "distillation": WARM, "name": "{distillation}!"})
    assert named[0].name == "T4 w0.7!"


FILE = """
[[attempt]]
name = "taught"
target_sparsity = 0.5
distillation = { temperature = 4, weight = 0.7 }

[[grid]]
target_sparsity = [0.5, 0.75]
distillation = [{ weight = 0.25 }, {}]
"""


def test_a_grid_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(FILE)
    quarter, default = Distillation(weight=0.25), Distillation()
    found = [(attempt.pruning_schedule, attempt.distillation) for attempt in load_grid(path)]
    assert found == [
        *((ConstantSparsity(s), d) for d in (quarter, default) for s in (0.5, 0.75)),
        (HALF, WARM),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{ temprature = 4.0 }", r"\[\[attempt\]\] 1: .* 'temprature'. Did you mean 'temperature'"),
        ("{ weight = 2.0 }", r"\[\[attempt\]\] 1: The weight .* Received: weight=2.0"),
        ("4.0", "distillation=4.0"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "grid.toml"
    text = f'[[attempt]]\nname = "a"\ntarget_sparsity = 0.5\ndistillation = {table}\n'
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_grid(path)


def test_only_attempts_with_one_have_it_in_their_identity() -> None:
    plain = attempt_config(AttemptConfig("any", HALF), 300)
    assert set(plain) == {"schedule", "learning_rate", "optimizer", "seed"}
    taught = attempt_config(AttemptConfig("any", HALF, distillation=WARM), 300)
    assert taught == {**plain, "distillation": {"temperature": 4.0, "weight": 0.7}}


def test_the_trainings_of_an_attempt_have_it_and_the_others_have_not() -> None:
    training = Training("mse")
    attempts = [
        AttemptConfig("plain", HALF),
        AttemptConfig("taught", HALF, learning_rate=0.1, distillation=WARM),
    ]
    found = [
        [task.training.distillation for task in tasks_of(attempt, training, 2, Lengths(300, 300))]
        for attempt in attempts
    ]
    assert found == [[None, None], [WARM, WARM]]
    assert training.distillation is None
    with pytest.raises(InputError, match="distillation is the attempts' own setting"):
        check_attempts(attempts, Training("mse", distillation=WARM), Lengths(300, 300), None)
