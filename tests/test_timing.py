"""`.tflite` files timed in a process of their own: in turns, warmed up, with what goes wrong."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.cores import usable_cores
from trimgrid.errors import InputError, RunError
from trimgrid.export.exporting import export_model
from trimgrid.export.files import write_keras
from trimgrid.export.latency import LatencyModel, measure_latency
from trimgrid.export.samples import Samples
from trimgrid.export.timing import time_files
from trimgrid.export.timing_program import time_in_turns
from trimgrid.latency import TimedFile
from trimgrid.masks import magnitude_mask
from trimgrid.report.latency_text import latency_text


def dense(inputs: int, units: int, name: str) -> Any:
    model = keras.Sequential([keras.Input((inputs,)), layers.Dense(units), layers.Dense(3)])
    first, _, second, _ = (keras.ops.convert_to_numpy(each) for each in model.weights)
    if name == "pruned":
        model.weights[0].assign(first * magnitude_mask(first, 0.9))
        model.weights[2].assign(second * (np.arange(units) % 4 == 0)[:, None])
    if name == "crossed":  # zeros, but every unit has a use
        model.weights[0].assign(first * ((np.arange(units) + np.arange(inputs)[:, None]) % 2))
    return model


def rows(inputs: int) -> Samples:
    x = np.random.default_rng(0).normal(size=(20, inputs)).astype("float32")
    return Samples(x, x, np.zeros((20, 3), "float32"), 20, 20)


def models(folder: Path, inputs: int, other: str) -> list[LatencyModel]:
    made = []
    for name in ("original", other):
        keras.utils.set_random_seed(0)
        file = folder / f"{name}.keras"
        write_keras(dense(inputs, 16, name), file)
        made.append(LatencyModel(name, file, pruned=name == other))
    return made


@pytest.fixture(scope="module")
def two_sizes(one_child: None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small and a large `.tflite`: the second has 400 times the products."""
    folder = tmp_path_factory.mktemp("sizes")
    paths = []
    for inputs, units in ((32, 32), (640, 640)):
        keras.utils.set_random_seed(0)
        write_keras(dense(inputs, units, "dense"), folder / "model.keras")
        paths.append(folder / f"{inputs}.tflite")
        export_model(folder / "model.keras", paths[-1], samples=rows(inputs))
    return paths


def test_all_have_their_turn_in_each_round() -> None:
    called: list[str] = []

    def run(name: str) -> None:
        called.append(name)
        time.sleep(0.006)

    times = time_in_turns([partial(run, name) for name in "abc"], 0.01)
    assert np.shape(times) == (3, 15)
    assert np.min(times) >= 6
    # After warming up: each twice in a turn, of which the first does not count, to and fro.
    turns = "".join(called[-3 * 2 * 15 :])
    assert turns == ("aabbccccbbaa" * 8)[: len(turns)]


def test_it_goes_on_for_the_time_that_is_given() -> None:
    started = time.perf_counter()
    times = time_in_turns([lambda: time.sleep(0.001)], 0.5)
    assert 0.5 <= time.perf_counter() - started < 5
    assert len(times[0]) > 15


def test_a_larger_network_takes_longer(two_sizes: list[Path]) -> None:
    files = [TimedFile(name, "none", "dense") for name in ("small", "large")]
    measured = time_files(files, two_sizes, seconds=0.5)
    assert measured.threads == tuple(sorted({1, usable_cores()}))
    assert measured.rounds >= 15
    assert measured.runtime.startswith("LiteRT ")
    large = measured.files[1]
    assert large.ratios[1].median > 3  # 400 times the products, beside what every call costs
    assert large.faster(1) is False
    assert measured.all_of("none") == [*measured.files]
    assert measured.all_of("none", "sparse") == []


def test_a_file_that_can_not_be_run(two_sizes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "wrong.tflite").write_bytes(b"TFL3" * 10)
    files = [TimedFile(name, "none", "dense") for name in ("small", "wrong")]
    with pytest.raises(RunError, match="The files could not be timed: "):
        time_files(files, [two_sizes[0], tmp_path / "wrong.tflite"], seconds=0.1)
    with pytest.raises(InputError, match="more than 0 seconds"):
        time_files(files, two_sizes, seconds=0)


@pytest.mark.usefixtures("one_child")
def test_dense_and_sparse_beside_the_original(tmp_path: Path) -> None:
    measured = measure_latency(models(tmp_path, 16, "pruned"), samples=rows(16), seconds=0.5)
    found = [(file.model, file.quantize, file.storage) for file in measured.files]
    assert found == [
        ("original", "none", "dense"),
        ("pruned", "none", "dense"),
        ("pruned", "none", "sparse"),
        ("pruned", "none", "shrunk"),
        ("original", "dynamic", "dense"),
        ("pruned", "dynamic", "dense"),
        ("pruned", "dynamic", "shrunk"),
    ]
    assert all(file.reason is None and len(file.milliseconds) for file in measured.files)
    sizes = [file.size.plain for file in measured.files if file.size is not None]
    assert sizes[1] == pytest.approx(sizes[0], abs=50)
    assert sizes[1] > sizes[2] > sizes[3]  # three of four units have gone
    assert sizes[6] < sizes[5]
    assert max(map(len, latency_text(measured).splitlines())) <= 80


@pytest.mark.usefixtures("one_child")
def test_too_few_zeros_save_nothing(tmp_path: Path) -> None:
    original, _ = models(tmp_path, 16, "pruned")
    same = LatencyModel("same", original.file, pruned=True)
    measured = measure_latency([original, same], samples=rows(16), seconds=0.2)
    (sparse,) = [file for file in measured.files if file.storage == "sparse"]
    assert sparse.reason == "No tensor has so many zeros that it saves bytes"


def test_what_can_not_be_had_has_its_reason(tmp_path: Path) -> None:
    """Layers with fewer than four inputs are read wrongly where they are stored sparsely."""
    missing = LatencyModel("missing", None, pruned=False, reason="It is not finished")
    made = [missing, *models(tmp_path, 2, "crossed")]
    measured = measure_latency(made, "float16", samples=rows(2), seconds=0.5)
    reasons = {(file.quantize, file.storage): file.reason for file in measured.files if file.reason}
    dense, sparse, shrunk = ("float16", "dense"), ("float16", "sparse"), ("float16", "shrunk")
    assert list(reasons) == [dense, sparse, shrunk, ("dynamic", "dense")]
    assert reasons[dense] == "It is not finished"
    wrong, whole = reasons[sparse], reasons[shrunk]
    assert wrong is not None
    assert wrong.startswith("LiteRT answers wrongly where this model's zeros are left out")
    assert whole == "No unit could be left out"
    assert len([file for file in measured.files if file.milliseconds]) == 4
