"""Groups are sized by memory: too little is said before, running out in between is survived."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import keras
import numpy as np
import psutil
import pytest
from keras import layers

from trimgrid.data.sources import open_data
from trimgrid.engines import memory, vectorized
from trimgrid.engines.group_training import train_group
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.errors import InputError, RunError
from trimgrid.memory_size import parse_memory_size
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((500, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=2, batch_size=40, seed=3)
TASKS = [Task(f"{i}", ConstantSparsity(i / 10, frequency=5), TRAINING) for i in range(1, 9)]


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(100, activation="relu"), layers.Dense(1)]
    )


def engine(model: Any, **options: Any) -> VectorizedEngine:
    return VectorizedEngine(
        model, open_data((X, Y), TRAINING, "data"), TRAINING, attempts=8, **options
    )


@pytest.fixture(scope="module")
def expected(model: Any, results: Any) -> Any:
    return results(engine(model), TASKS)


def test_too_little_memory_says_how_much_is_enough(model: Any, results: Any, expected: Any) -> None:
    with pytest.raises(InputError, match="room for one attempt") as caught:
        engine(model, memory=60_000)
    needed = re.search(r"of 40 need ([\d.]+ \w+)\. Give more memory", str(caught.value))
    assert needed is not None
    enough = parse_memory_size(needed[1])
    tight = engine(model, memory=enough)
    for one, other in zip(results(tight, TASKS), expected, strict=True):
        one.check_same(other)
    # Not much too much either.
    with pytest.raises(InputError, match="room for one attempt"):
        engine(model, memory=int(0.9 * enough))


@pytest.mark.parametrize("size", [0, -5])
def test_no_memory(model: Any, size: int) -> None:
    with pytest.raises(InputError, match=f"above 0 bytes. Received: memory={size}"):
        engine(model, memory=size)


def failing(monkeypatch: pytest.MonkeyPatch, times: int, text: str = "RESOURCE_EXHAUSTED") -> Any:
    """Let the first runs of a group fail; returns how many attempts each run had."""
    groups: list[int] = []

    def first_fails(program: Any, tasks: Any, *arguments: Any) -> Any:
        groups.append(len(tasks))
        if len(groups) <= times:
            raise jax.errors.JaxRuntimeError(f"{text}: Out of memory allocating 12 bytes.")
        return train_group(program, tasks, *arguments)

    monkeypatch.setattr(vectorized, "train_group", first_fails)
    return groups


def test_running_out_of_memory_halves_the_group(
    model: Any, results: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    shared = engine(model, say=said.append)
    groups = failing(monkeypatch, times=1)
    for one, other in zip(results(shared, TASKS), expected, strict=True):
        one.check_same(other)
    assert groups == [8, 4, 4]
    assert said[1:] == ["Out of memory with 8 attempts at a time: going on with 4."]
    # The engine stays with it.
    results(shared, TASKS[:5])
    assert groups[3:] == [4, 1]


def test_running_out_of_memory_at_the_smallest_group(
    model: Any, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = engine(model)
    groups = failing(monkeypatch, times=99)
    with pytest.raises(RunError, match="alone runs out of memory: RESOURCE_EXHAUSTED: Out of mem"):
        results(shared, TASKS)
    assert groups[-1] <= 4


def test_other_errors_of_jax_go_through(
    model: Any, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = engine(model)
    failing(monkeypatch, times=99, text="INTERNAL")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        results(shared, TASKS)


def test_free_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    assert memory.free_memory() == 1000  # no control groups at all
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 70\ninactive_file 0\n")
    assert memory.free_memory() == 1000
    (tmp_path / "memory.max").write_text("700\n")
    assert memory.free_memory() == 300
    (tmp_path / "memory.stat").write_text("anon 70\ninactive_file 50\n")  # files that can go
    assert memory.free_memory() == 350
    (tmp_path / "memory.stat").write_text("anon 70\n")
    assert memory.free_memory() == 300
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.free_memory() == 1000
    (tmp_path / "memory.max").write_text("399\n")
    assert memory.free_memory() == 1
    for name in ("memory.max", "memory.current"):
        (tmp_path / name).unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("650")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("600")
    (tmp_path / "memory" / "memory.stat").write_text("total_inactive_file 0\n")
    assert memory.free_memory() == 50


def test_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    cpu = SimpleNamespace(memory_stats=lambda: None)
    assert memory.budget(None, [cpu, cpu]) == 600
    assert memory.budget(77, [cpu]) == 77
    gpu = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 5000, "bytes_in_use": 1000})
    assert memory.budget(None, [gpu, gpu]) == 4800
    assert memory.budget(None, [SimpleNamespace(memory_stats=lambda: {"bytes_limit": 10})]) == 6
