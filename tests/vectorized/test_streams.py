"""Streams of batches: as the sequential engine trains on them, and decoded once for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, StreamData, open_data
from trimgrid.engines import windows
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.errors import InputError, RunError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.runs.running import run_grid
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
LABELS = (X.sum(axis=1) * 2).astype("int64") % 3
TRAINING = Training(
    "sparse_categorical_crossentropy",
    keras.optimizers.Adam(0.01),
    epochs=3,
    batch_size=999,  # a stream has its own
    seed=3,
    metrics=("accuracy",),
    class_weight={0: 3.0, 1: 0.5},
)
SIZES = (8, 12, 8, 12, 3, 7)
TASKS = [Task(f"{i}", ConstantSparsity(i / 10, frequency=4), TRAINING) for i in range(1, 6, 2)]


class Stream:
    """Gives batches of several sizes, and counts them."""

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        self.sizes = sizes
        self.decoded = 0

    def __call__(self) -> Iterator[Any]:
        start = 0
        for size in self.sizes:
            self.decoded += 1
            yield {"x": X[start : start + size]}, LABELS[start : start + size]
            start += size


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6,), name="x")
    hidden = layers.Dropout(0.2)(layers.Dense(9, activation="relu")(inputs))
    return keras.Model({"x": inputs}, layers.Dense(3, activation="softmax")(hidden))


@pytest.mark.slow
def test_trained_as_by_the_sequential_engine_and_decoded_once(
    model: Any, results: Any, by_both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Room for two batches in a chunk: an epoch has three of them.
    monkeypatch.setattr(windows, "_CHUNK_BYTES", 2 * (8 * 6 * 4 + 8 * 8 + 8 * 4))
    validation = Stream((5, 9, 2))
    ones, others = by_both(model, Stream(), TRAINING, [task.schedule for task in TASKS], validation)
    for one, other in zip(ones, others, strict=True):
        assert len(other.history["val_accuracy"]) == 3
        other.check_close(one)
    stream = Stream()
    data = open_data(stream, TRAINING, "training data", class_weight=True)
    watched = ArrayData.of_stream(StreamData(validation, "validation data"))
    engine = VectorizedEngine(model, data, TRAINING, watched, attempts=3)
    assert engine._source.capacity == 2
    stream.decoded = validation.decoded = 0
    for one, other in zip(results(engine, TASKS), others, strict=True):
        one.check_same(other)
    assert stream.decoded == 3 * len(SIZES)
    assert validation.decoded == 0


def test_a_stream_that_changes(model: Any, results: Any) -> None:
    stream = Stream()
    data = open_data(stream, TRAINING, "training data", class_weight=True)
    engine = VectorizedEngine(model, data, TRAINING, attempts=5)
    for sizes, place in (
        ((8, 12, 8, 12, 3, 6), 6),
        (SIZES[:-1], 6),
        ((*SIZES[:-1], 5, 2), 6),
        ((7,), 1),
    ):
        stream.sizes = sizes
        with pytest.raises(RunError, match=f"training data changed: batch {place} of epoch 1"):
            results(engine, TASKS)


def padded() -> Iterator[Any]:
    for length in (4, 6, 5):
        yield np.ones((3, length, 2), "float32"), np.ones((3, 1), "float32")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["data", "validation"])
def test_sequences_of_several_lengths(where: str) -> None:
    """They do not fit into one program; the sequential engine takes them."""
    model = keras.Sequential([keras.Input((None, 2)), layers.GRU(2), layers.Dense(1)], name="m")
    x = np.ones((3, 4, 2), "float32"), np.ones((3, 1), "float32")
    options = {"data": x, "validation": x} | {where: padded}
    grid = [AttemptConfig("half", ConstantSparsity(0.5))]
    settings = (grid, options["data"], Training("mse"), lambda model: 0.5, None)
    with pytest.raises(InputError, match="'m', which fails with batches whose examples have"):
        run_grid(model, *settings, options["validation"], engine="vectorized")
    said: list[str] = []
    infos = list(run_grid(model, *settings, options["validation"], say=said.append))
    assert [info.status for info in infos] == ["ok", "ok"]
    assert said[-1] == (
        "Engine: sequential on jax: JAX can't trace 'm': batches whose examples have several "
        "shapes."
    )
