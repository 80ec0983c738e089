"""Where attempts lie among the rows, for any number of attempts, devices and rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.engines.rows import Places, width_of_blocks


@given(
    attempts=st.integers(1, 300),
    devices=st.integers(1, 9),
    width=st.integers(1, 11),
    spare=st.integers(0, 3),
)
def test_places(attempts: int, devices: int, width: int, spare: int) -> None:
    # The fewest blocks a device must have room for, and some more.
    capacity = (-(-attempts // (width * devices)) + spare) * width
    places = Places.of(attempts, devices, capacity, width)
    assert places.rows == devices * capacity
    assert len(places.of_attempt) == attempts
    assert len(set(places.of_attempt.tolist())) == attempts, "each attempt has a row of its own"
    device, row = np.divmod(places.of_attempt, capacity)
    assert places.blocks.shape == (devices,)
    # Inside the blocks that its device does, and no block is done for nothing.
    assert (row < places.blocks[device] * width).all()
    done = {(int(d), int(r) // width) for d, r in zip(device, row, strict=True)}
    assert len(done) == places.blocks.sum()
    assert (places.blocks * width <= capacity).all()
    # No device has more than one block more to do than another.
    assert places.blocks.max() - places.blocks.min() <= 1


@given(attempts=st.integers(1, 40), devices=st.integers(1, 4), width=st.integers(1, 5))
def test_values_come_to_their_rows(attempts: int, devices: int, width: int) -> None:
    capacity = -(-attempts // (width * devices)) * width
    places = Places.of(attempts, devices, capacity, width)
    values = [np.full((2,), place, np.int32) for place in range(attempts)]
    spread = places.spread(values, -1)
    assert spread.shape == (places.rows, 2)
    assert spread.dtype == np.int32
    np.testing.assert_array_equal(spread[places.of_attempt], np.stack(values))
    others = np.delete(spread, places.of_attempt, axis=0)
    assert (others == -1).all()


@given(attempts=st.integers(1, 2000), devices=st.integers(1, 16), largest=st.integers(2, 64))
def test_blocks_are_evenly_filled(attempts: int, devices: int, largest: int) -> None:
    width = width_of_blocks(attempts, devices, largest)
    assert 2 <= width <= largest
    on_a_device = -(-attempts // devices)
    blocks = -(-on_a_device // largest)
    # No more blocks than the largest width needs, and less than one row a block for nothing.
    assert -(-on_a_device // width) <= blocks
    assert width == 2 or blocks * width - on_a_device < blocks
