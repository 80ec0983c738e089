"""Where the attempts of a group lie among a program's rows, and their stacked states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from trimgrid.engines.shapes import State


@dataclass(frozen=True)
class Places:
    """The rows of a group: `of_attempt` gives each attempt's, `blocks` how many a device has to do.

    A device has `capacity` rows, of which it does whole blocks of `width`; blocks are dealt out to
    the devices in turn. Rows of a block that are no attempt's repeat the first attempt.

    >>> places = Places.of(attempts=5, devices=2, capacity=4, width=2)
    >>> places.of_attempt.tolist(), places.blocks.tolist()
    ([0, 1, 4, 5, 2], [2, 1])
    """

    of_attempt: NDArray[np.intp]
    blocks: NDArray[np.int32]
    rows: int

    @classmethod
    def of(cls, attempts: int, devices: int, capacity: int, width: int) -> Places:
        """Deal out so many attempts; they must find room on the devices."""
        block, lane = np.divmod(np.arange(attempts), width)
        needed = math.ceil(attempts / width)
        blocks = [needed // devices + (device < needed % devices) for device in range(devices)]
        assert max(blocks) * width <= capacity
        rows = (block % devices) * capacity + (block // devices) * width + lane
        return cls(rows, np.asarray(blocks, np.int32), devices * capacity)

    def spread(self, values: Sequence[Any], fill: Any) -> NDArray[Any]:
        """An array of all rows, [rows, ...], with the attempts' values in their places."""
        first = np.asarray(values[0])
        spread = np.empty((self.rows, *first.shape), first.dtype)
        spread[:] = fill
        for row, value in zip(self.of_attempt, values, strict=True):
            spread[row] = value
        return spread


def stack(places: Places, rows: Sequence[State]) -> State:
    """The state of all rows, in NumPy arrays, from that of each attempt."""
    stacked: State = jax.tree.map(lambda *arrays: places.spread(arrays, arrays[0]), *rows)
    return stacked


def unstack(places: Places, state: State) -> list[State]:
    """The state of each attempt's row, in NumPy arrays, from that of all rows."""
    arrays = jax.tree.map(np.asarray, state)
    return [jax.tree.map(lambda a, at=row: a[at], arrays) for row in places.of_attempt]


def width_of_blocks(attempts: int, devices: int, largest: int) -> int:
    """How many rows go side by side, so that blocks of at most `largest` are evenly filled.

    At least 2: XLA computes one single row in another way, with other last bits.

    >>> [width_of_blocks(attempts, 2, 8) for attempts in (1, 11, 55, 1000)]
    [2, 6, 7, 8]
    """
    on_a_device = math.ceil(attempts / devices)
    blocks = math.ceil(on_a_device / largest)
    return max(2, math.ceil(on_a_device / blocks))
