"""The calls of a training: every step once, wherever it begins and however long calls may be."""

from __future__ import annotations

from unittest.mock import patch

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh

from trimgrid.data.sources import ArrayData
from trimgrid.engines import windows
from trimgrid.engines.feeding import Call, Feeder, Pace
from trimgrid.engines.shapes import AXIS
from trimgrid.engines.windows import Source


def calls_of(source: Source, epochs: int, pace: list[int], begin: int) -> list[Call]:
    """The calls, whose lengths the pace allows in turn."""
    feeder = Feeder(source, None, Mesh(np.array(jax.local_devices()[:1]), (AXIS,)))
    measured, made = Pace(), []
    with patch.object(feeder, "_place", lambda window: window):  # no need of devices here
        measured.steps = pace[0]
        for call in feeder.calls(epochs, [7], measured, begin):
            made.append(call)
            measured.steps = pace[len(made) % len(pace)]
    return made


@given(
    examples=st.integers(1, 12),
    epochs=st.integers(1, 5),
    held=st.integers(1, 3),
    resident=st.booleans(),
    pace=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    where=st.floats(0, 1),
)
def test_every_step_once(
    examples: int, epochs: int, held: int, resident: bool, pace: list[int], where: float
) -> None:
    data = ArrayData((np.zeros((examples, 1)), np.zeros(examples)), 2)
    length = len(data.sizes)
    with patch.object(windows, "_TAKE_BYTES", held * length * 2 * 4):
        source = Source.of(data, resident, 1, epochs, held * 32)
    total = length * epochs
    step = begin = int(where * (total - 1))
    for call in calls_of(source, epochs, pace, begin):
        assert call.begin + call.first == step
        assert call.first < call.stop <= source.capacity
        assert call.window.offset == call.begin
        stop = call.begin + call.stop
        ends = [epoch for epoch in range(epochs) if step < (epoch + 1) * length <= stop]
        assert [epoch for epoch, _ in call.ended] == ends
        for epoch, slot in call.ended:
            last = (epoch + 1) * length - 1 - call.begin
            assert call.window.slot[last] == slot < source.epochs
        if resident and ends:
            assert stop % length == 0, "a call in which an epoch ends ends with it"
        step = stop
    assert step == total


@pytest.mark.parametrize(
    ("steps", "seconds", "following"),
    [(10, 0.1, 100), (10, 10.0, 1), (10, 100.0, 1), (10, 0.0, 10_000_000), (3, 1.0, 3)],
)
def test_the_pace(steps: int, seconds: float, following: int) -> None:
    pace = Pace()
    pace.took(steps, seconds)
    assert pace.steps == following
