"""Side by side or in a loop: the rule for short trainings, the measurement for long ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import open_data
from trimgrid.engines import width
from trimgrid.engines.memory import NoRoomError
from trimgrid.engines.programs import Programs
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
TRAINING = Training("mse", keras.optimizers.Adam(0.01), epochs=2, batch_size=16, seed=3)
TASKS = [Task(f"{i}", ConstantSparsity(i / 10, frequency=2), TRAINING) for i in range(1, 6)]


def engine(*parts: Any) -> tuple[VectorizedEngine, str]:
    keras.utils.set_random_seed(5)
    # Names are given: they belong to what a measurement is kept for.
    model = keras.Sequential(
        [keras.Input((6,), name="x"), *parts, layers.Dense(1, name="z")], name="m"
    )
    said: list[str] = []
    data = open_data((X, Y), TRAINING, "data")
    opened = VectorizedEngine(model, data, TRAINING, attempts=5, say=said.append)
    (sentence,) = said
    return opened, sentence


def dense() -> tuple[VectorizedEngine, str]:
    return engine(layers.Dense(8, activation="relu", name="a"))


def test_the_rule_for_small_models() -> None:
    assert dense()[1] == (
        "2 attempts side by side (vmap) on each of 2 cpu devices, as is best for short trainings."
    )
    sentence = engine(layers.Reshape((3, 2)), layers.GRU(2))[1]
    assert sentence == (
        "Attempts one after the other in a loop on each of 2 cpu devices, "
        "for its recurrent layers or convolutions."
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Every training is worth measuring; the widths of the programs that were measured."""
    widths: list[int] = []
    seconds = width._seconds_a_row

    def counted(program: Any, *arguments: Any) -> float:
        widths.append(program.width)
        return seconds(program, *arguments)

    monkeypatch.setattr(width, "_seconds_a_row", counted)
    monkeypatch.setattr(width, "_WORTH_MEASURING", {"cpu": 0.0})
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path))
    return widths


def test_long_trainings_are_measured_once(
    measured: list[int], tmp_path: Path, results: Any
) -> None:
    _, sentence = dense()
    assert sorted(measured) == [1, 2]
    (file,) = (tmp_path / "widths").iterdir()
    times = json.loads(file.read_text())
    assert set(times) == {"vmap", "loop"}
    assert all(0 < each < 60 for each in times.values())
    figures = f"{times['vmap'] * 1e3:.3g} ms against {times['loop'] * 1e3:.3g} ms"
    assert sentence.endswith(f"measured {figures} (vmap, loop) a step and attempt.")
    assert sentence.startswith("Attempts one" if times["loop"] <= times["vmap"] else "2 attempts")
    # What is kept decides from now on, and nothing is measured again.
    file.write_text('{"vmap": 0.002, "loop": 0.001}')
    loop, sentence = dense()
    assert sentence == (
        "Attempts one after the other in a loop on each of 2 cpu devices: "
        "measured 2 ms against 1 ms (vmap, loop) a step and attempt."
    )
    file.write_text('{"vmap": 0.001, "loop": 0.002}')
    vmap, sentence = dense()
    assert sentence.startswith("2 attempts side by side (vmap) on each of 2 cpu devices: measured")
    assert sorted(measured) == [1, 2]
    for one, other in zip(results(loop, TASKS), results(vmap, TASKS), strict=True):
        one.check_close(other)
    # Another training is another measurement; a damaged file is measured anew.
    file.write_text('{"vmap": 0.001')
    dense()
    assert sorted(measured) == [1, 1, 2, 2]
    assert set(json.loads(file.read_text())) == {"vmap", "loop"}


def test_two_that_have_no_room_side_by_side(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = Programs._fitting

    def room_for_one(self: Programs, program: Any, lowered: Any = None) -> Any:
        if program.width > 1:
            raise NoRoomError("no room")
        return fitting(self, program, lowered)

    monkeypatch.setattr(Programs, "_fitting", room_for_one)
    _, sentence = dense()
    assert sentence == (
        "Attempts one after the other in a loop on each of 2 cpu devices: "
        "two side by side have no room."
    )
    # Nothing was measured, so nothing is kept.
    assert measured == []
    assert not (tmp_path / "widths").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"vmap": 1}', '{"vmap": "fast", "loop": 1}', '{"vmap": null}', "\x00"]
)
def test_what_is_no_measurement(measured: list[int], tmp_path: Path, text: str) -> None:
    (tmp_path / "widths").mkdir()
    (tmp_path / "widths" / "key.json").write_text(text)
    assert width._known(width._places("key", None)) is None
    (tmp_path / "widths" / "key.json").write_bytes(b"\xff\xfe")
    assert width._known(width._places("key", None)) is None


def test_a_cache_that_can_not_be_written(
    measured: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path / "file"))
    width._remember(width._places("key", None), {"vmap": 1.0, "loop": 2.0})
    assert width._known(width._places("key", None)) is None
    monkeypatch.delenv("TRIMGRID_CACHE")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    width._remember(width._places("key", None), {"vmap": 1.0, "loop": 2.0})
    assert width._known(width._places("key", None)) is None


def test_what_was_measured_stays_with_the_run(measured: list[int], tmp_path: Path) -> None:
    run = tmp_path / "run"
    width._remember(width._places("key", run), {"vmap": 1.0, "loop": 2.0})
    (tmp_path / "widths" / "key.json").write_text('{"vmap": 3.0, "loop": 2.0}')
    assert width._known(width._places("key", run)) == {"vmap": 1.0, "loop": 2.0}
    assert width._known(width._places("key", None)) == {"vmap": 3.0, "loop": 2.0}
