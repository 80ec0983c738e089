"""Runs with real worker processes: the same table, whatever happens to a worker or the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import trimgrid
from tests.worker_study import table, trimgrid_run
from trimgrid.grids.grid import article_grid
from trimgrid.runs.checking import ORIGINAL

GRID = article_grid(10)[:4]


@pytest.fixture
def by_value() -> Iterator[None]:
    """What this file defines travels to workers, which can't import it."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(trimgrid_run(folder), cwd=folder, check=True, capture_output=True)
    return table(folder / "run")


def test_workers_give_the_same_table_whoever_is_killed(
    tmp_path: Path, alone: dict[str, tuple[Any, ...]]
) -> None:
    """Of four attempts one kills its worker once, and one always."""
    command = trimgrid_run(tmp_path, "--workers", "2", "--group", "1", killing=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = table(tmp_path / "run")
    assert list(found) == list(alone) == [ORIGINAL, *(each.name for each in GRID)]
    dead = [name for name, values in found.items() if values[3].startswith("worker failed")]
    (name,) = dead
    assert "70" in name
    assert "was killed by SIGKILL, twice" in found[name][3]
    assert {key: each for key, each in found.items() if key != name} == {
        key: each for key, each in alone.items() if key != name
    }
    assert (tmp_path / "killed").exists()
    assert "once more" in done.stderr
    assert "The next run tries again" in done.stderr
    assert [path.suffix for path in (tmp_path / "run" / "worker-logs").iterdir()] == [".log"]
    assert name in done.stdout


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(tmp_path: Path, alone: dict[str, tuple[Any, ...]]) -> None:
    command = trimgrid_run(tmp_path, "--workers", "2", "--group", "1")
    driver = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    results = tmp_path / "run" / "attempts"
    until = time.monotonic() + 240
    while len(list(results.glob("*/result.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    assert 2 <= len(finished) <= 5
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "run") == alone
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.slow
@pytest.mark.usefixtures("by_value")
def test_a_layer_of_the_callers_and_frozen_weights_travel(tmp_path: Path) -> None:
    import keras

    class Scaled(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    keras.utils.set_random_seed(7)
    inputs = keras.Input((6,), name="in")
    hidden = Scaled(name="scaled")(keras.layers.Dense(8, name="a")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="b")(hidden), name="net")
    model.layers[1].trainable = False
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    with keras.saving.custom_object_scope({"Scaled": Scaled}):
        study = trimgrid.Study(
            model, (x, x[:, :2]), test=(x, x[:, :2]), loss="mse", epochs=3, batch_size=8
        )
        one, two = (
            study.run(GRID[:2], tmp_path / str(n), tflite=False, progress=False, workers=n)
            for n in (1, 2)
        )
    assert [each.error for each in one] == [each.error for each in two]
    assert [each.zero_weights for each in one] == [each.zero_weights for each in two]
