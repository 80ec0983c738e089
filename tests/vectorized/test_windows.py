"""Windows of data against a plain reading of it: every step gets the right examples."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.data.batches import epoch_order
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.engines import windows
from trimgrid.engines.shapes import Window
from trimgrid.engines.windows import Source, with_validation


def examples_of(window: Window, order: int, step: int, sizes: tuple[int, ...]) -> list[float]:
    """The examples that the program takes at a step: their first numbers."""
    taken = window.take[order, step, : sizes[window.kind[step]]]
    np.testing.assert_array_equal(window.data[0]["a"][taken][:, 0], window.data[1][taken])
    numbers: list[float] = window.data[1][taken].tolist()
    return numbers


def check_marks(window: Window, step: int, place: int, source: Source) -> None:
    """Whether metrics begin anew before a step, and an epoch ends after it."""
    assert window.fresh[step] == (place == 0)
    assert (window.slot[step] < source.epochs) == (place == source.steps - 1)


def arrays(examples: int) -> Any:
    numbers = np.arange(examples, dtype="float32")
    return {"a": np.stack([numbers, -numbers], axis=1)}, numbers


@given(
    examples=st.integers(1, 30),
    batch=st.integers(1, 12),
    epochs=st.integers(1, 7),
    held=st.integers(1, 4),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
)
def test_resident(examples: int, batch: int, epochs: int, held: int, seeds: list[int]) -> None:
    data = ArrayData(arrays(examples), batch)
    epoch_bytes = len(seeds) * len(data.sizes) * max(data.sizes) * 4
    with patch.object(windows, "_TAKE_BYTES", held * epoch_bytes):
        source = Source.of(data, True, len(seeds), epochs, 0)
    assert source.epochs == min(held, epochs)
    for first in range(0, epochs, source.epochs):
        window = source.window(first, seeds)
        assert window.offset == first * source.steps
        for order, seed in enumerate(seeds):
            for step in range(min(source.capacity, (epochs - first) * source.steps)):
                epoch, place = divmod(step, source.steps)
                start = place * batch
                wanted = epoch_order(examples, seed, first + epoch)[start : start + batch]
                assert examples_of(window, order, step, source.sizes) == wanted.tolist()
                check_marks(window, step, place, source)
                if place == source.steps - 1:
                    assert window.slot[step] == epoch


def check_chunks(source: Source, epochs: int, seed: int, wanted: list[list[list[float]]]) -> None:
    for epoch in range(epochs):
        # From its begin, and in the last epoch from anywhere in it.
        for begin in range(source.steps) if epoch == epochs - 1 else [0]:
            check_epoch(source, epoch, seed, begin, wanted)


def check_epoch(source: Source, epoch: int, seed: int, begin: int, wanted: Any) -> None:
    done, slots = begin, []
    for window, count in source.chunks(epoch, seed, begin):
        assert 1 <= count <= source.capacity
        assert window.offset == epoch * source.steps + done
        for step in range(count):
            place = done + step
            assert examples_of(window, 0, step, source.sizes) == wanted[epoch][place]
            check_marks(window, step, place, source)
        slots += window.slot[:count].tolist()
        done += count
    assert done == source.steps
    assert slots[-1] == 0, "an epoch ends in the only slot there is"


@given(
    examples=st.integers(1, 30),
    batch=st.integers(1, 12),
    epochs=st.integers(1, 3),
    most=st.integers(0, 400),
    seed=st.integers(0, 99),
)
def test_arrays_in_chunks(examples: int, batch: int, epochs: int, most: int, seed: int) -> None:
    data = ArrayData(arrays(examples), batch)
    source = Source.of(data, False, 1, epochs, most)
    orders = [epoch_order(examples, seed, epoch).tolist() for epoch in range(epochs)]
    wanted = [[o[start : start + batch] for start in range(0, examples, batch)] for o in orders]
    check_chunks(source, epochs, seed, wanted)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    epochs=st.integers(1, 3),
    most=st.integers(0, 400),
)
def test_streams_in_chunks(sizes: list[int], epochs: int, most: int) -> None:
    ends = np.cumsum(sizes)
    x, y = arrays(int(ends[-1]))
    batches = [
        ({"a": x["a"][end - size : end]}, y[end - size : end])
        for size, end in zip(sizes, ends, strict=True)
    ]
    source = Source.of(StreamData(batches, "data"), False, 1, epochs, most)
    check_chunks(source, epochs, 0, [[batch[1].tolist() for batch in batches]] * epochs)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_validation(sizes: list[int]) -> None:
    ends = np.cumsum(sizes)
    x, y = arrays(int(ends[-1]))
    batches = [
        ({"a": x["a"][end - size : end]}, y[end - size : end])
        for size, end in zip(sizes, ends, strict=True)
    ]
    held = ArrayData.of_stream(StreamData(batches, "data"))
    source = Source.of(held, True, 1, 1, 0)
    window = with_validation(source.window(0, [0]), held)
    largest_first = sorted(set(sizes), reverse=True)
    for place, batch in enumerate(batches):
        size = largest_first[window.validation_kind[place]]
        taken = window.validation_take[place, :size]
        assert window.validation[1][taken].tolist() == batch[1].tolist()
