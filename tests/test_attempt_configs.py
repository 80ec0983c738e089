"""What tells attempts apart is the same in every process, and differs where results may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.grids.identity import attempt_config
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule
from trimgrid.training import fresh_optimizer

HALF = ConstantSparsity(0.5)


class Every:
    """A schedule of the user's own."""

    def __init__(self, *sparsity: float) -> None:
        self.sparsity = sparsity

    def plan(self, steps: int) -> NDArray[np.float64]:
        """The sparsities, then nothing."""
        plan = np.full(steps + 1, -np.nan)
        plan[: len(self.sparsity)] = self.sparsity
        return plan


class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate of the user's own."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, step: Any) -> Any:
        return self.start / (step + 1)

    def get_config(self) -> dict[str, Any]:
        """All arguments."""
        return {"start": np.float32(self.start)}


class Untold(Rate):
    """One that does not tell."""

    def get_config(self) -> dict[str, Any]:
        """Not written."""
        raise NotImplementedError


def config(schedule: Schedule = HALF, steps: int = 300, **settings: Any) -> dict[str, Any]:
    return attempt_config(AttemptConfig("any", schedule, **settings), steps)


def test_everything_is_there() -> None:
    found = config(PolynomialDecay(0.1, 0.5), learning_rate=np.float32(0.5), seed=np.int64(3))
    plan = found["schedule"].pop("plan")
    assert len(plan) == 64
    assert found == {
        "schedule": {
            "class": "PolynomialDecay",
            "initial_sparsity": 0.1,
            "final_sparsity": 0.5,
            "begin_step": 0,
            "end_step": None,
            "power": 3.0,
            "frequency": 100,
        },
        "learning_rate": 0.5,
        "optimizer": None,
        "seed": 3,
    }


SGD = keras.optimizers.SGD
COSINE = keras.optimizers.schedules.CosineDecay
DIFFERENT: list[dict[str, Any]] = [
    {},
    {"steps": 301},
    {"schedule": ConstantSparsity(0.6)},
    {"schedule": ConstantSparsity(0.5, frequency=10)},
    {"schedule": Every(0.5)},
    {"schedule": Every(0.5, 0.6)},
    {"learning_rate": 0.1},
    {"seed": 0},
    {"optimizer": "sgd"},
    {"optimizer": SGD(0.1)},
    {"optimizer": SGD(0.1, momentum=0.5)},
    {"optimizer": SGD(COSINE(0.1, 10))},
    {"optimizer": SGD(COSINE(0.1, 20))},
    {"optimizer": SGD(Rate(0.5))},
    {"optimizer": SGD(Rate(0.25))},
    {"optimizer": keras.optimizers.LossScaleOptimizer(SGD(0.1))},
    {"optimizer": {"class_name": "sgd", "config": {"learning_rate": 0.1}}},
]


def test_what_may_differ_in_its_result_differs() -> None:
    texts = [json.dumps(config(**each), allow_nan=False) for each in DIFFERENT]
    assert len(set(texts)) == len(texts)
    for text, each in zip(texts, DIFFERENT, strict=True):
        assert json.dumps(config(**each), allow_nan=False) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizer": "SGD"}, {"optimizer": "sgd"}),
        ({"optimizer": SGD(0.1)}, {"optimizer": SGD(0.1, name="sgd_7")}),
        ({"schedule": Every(0.5, 0.0)}, {"schedule": Every(0.5, -0.0)}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
    ],
)
def test_what_does_not_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert config(**one) == config(**other)


def test_the_name_and_the_sign_of_nan_count_for_nothing() -> None:
    attempts = [AttemptConfig("a", Every(0.5)), AttemptConfig("b", Every(0.5))]
    assert attempt_config(attempts[0], 9) == attempt_config(attempts[1], 9)


def test_an_optimizer_can_be_made_from_it() -> None:
    found = config(optimizer=keras.optimizers.SGD(0.25, momentum=0.5))["optimizer"]
    made = fresh_optimizer(json.loads(json.dumps(found)))
    assert (float(made.learning_rate), made.momentum) == (0.25, 0.5)


@pytest.mark.slow
def test_another_process_says_the_same() -> None:
    code = """if True:
        import json, keras
        from trimgrid.grids.identity import attempt_config
        from trimgrid.grids.grid import AttemptConfig
        from trimgrid.schedules import PolynomialDecay
        rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
        optimizer = keras.optimizers.Adam(rate)
        attempt = AttemptConfig("a", PolynomialDecay(0.1, 0.5), optimizer=optimizer)
        print(json.dumps(attempt_config(attempt, 300), sort_keys=True))
    """
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    optimizer = keras.optimizers.Adam(COSINE(0.1, 10))
    mine = config(PolynomialDecay(0.1, 0.5), optimizer=optimizer)
    assert said[0] == said[1] == json.dumps(mine, sort_keys=True) + "\n"


class Odd:
    """An optimizer that holds what can't be told."""

    def __init__(self, value: object) -> None:
        self.value = value

    def get_config(self) -> dict[str, Any]:
        """With the value."""
        return {"value": self.value}


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Odd(abs), r"^any: .*Received: the function abs\."),
        (Odd(object()), r"an object of builtins\.object\."),
        (Odd({1, 2}), r"an object of builtins\.set\."),
        (Odd(np.array(["a"])), r"an object of numpy\.ndarray\."),
        (Odd(Untold(0.1)), r"must have a get_config\(\)\. Received: an object of .*Untold, which"),
    ],
)
def test_what_can_t_be_told(optimizer: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(optimizer=optimizer)


def test_a_schedule_that_refuses_its_plan() -> None:
    with pytest.raises(InputError, match=r"^any: A schedule must begin before"):
        config(ConstantSparsity(0.5, begin_step=301))
