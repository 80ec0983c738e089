"""The data of a training as windows of steps, in the form in which the program takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.data.batches import epoch_order
from trimgrid.data.sources import ArrayData, Batch, StreamData
from trimgrid.engines.shapes import Window

# Bytes of the orders of the data, and of batches that come in chunks, in one window.
_TAKE_BYTES = 64 << 20
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Source:
    """The data of a training on the devices, or a stream of chunks.

    `steps` is the length of an epoch, `capacity` the steps of a window, `epochs` how many epochs a
    window holds (1 where an epoch comes in chunks).
    """

    data: ArrayData | StreamData
    resident: bool
    orders: int
    epochs: int
    capacity: int
    chunk_bytes: int = 0

    @classmethod
    def of(
        cls, data: ArrayData | StreamData, resident: bool, orders: int, epochs: int, most: int
    ) -> Source:
        """Plan windows for data that stays on the devices, or comes in chunks of `most` bytes."""
        steps, largest = len(data.sizes), max(data.sizes)
        if resident:
            held = _TAKE_BYTES // (orders * steps * largest * 4)
            held = max(1, min(epochs, held))
            return cls(data, True, orders, held, held * steps)
        example = next(data.epoch(None, 0))
        batch_bytes = sum(array.nbytes for array in keras.tree.flatten(example))
        held = min(most, _CHUNK_BYTES) // max(1, batch_bytes)
        held = max(1, min(steps, held))
        return cls(data, False, 1, 1, held, held * batch_bytes)

    @property
    def steps(self) -> int:
        """The number of batches of an epoch."""
        return len(self.data.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of batches that occur, largest first."""
        return sizes_that_occur(self.data.sizes)

    def window(self, first_epoch: int, seeds: Sequence[int]) -> Window:
        """A window of whole epochs of resident data; one order for each seed."""
        assert isinstance(self.data, ArrayData)
        size, count = self.sizes[0], self.data.examples
        take = np.zeros((self.orders, self.epochs, self.steps * size), np.int32)
        for place, seed in enumerate(seeds):
            for epoch in range(self.epochs):
                take[place, epoch, :count] = epoch_order(count, seed, first_epoch + epoch)
        return self._window(
            self.data.arrays,
            take.reshape(self.orders, self.capacity, size),
            [self.sizes.index(each) for each in self.data.sizes] * self.epochs,
            first_epoch * self.steps,
        )

    def chunks(self, epoch: int, seed: int, done: int = 0) -> Iterator[tuple[Window, int]]:
        """Windows of one epoch of data that comes in chunks, and how many steps each has.

        They begin after the first `done` batches of the epoch.
        """
        batches: list[Batch] = []
        for batch in islice(self.data.epoch(seed, epoch), done, None):
            batches.append(batch)
            if len(batches) == self.capacity:
                yield self._chunk(epoch, done, batches), len(batches)
                done += len(batches)
                batches = []
        if batches:
            yield self._chunk(epoch, done, batches), len(batches)

    def _chunk(self, epoch: int, done: int, batches: list[Batch]) -> Window:
        rows = self.capacity * self.sizes[0]
        data = jax.tree.map(lambda *arrays: _joined(arrays, rows), *batches)
        sizes = self.data.sizes[done : done + len(batches)]
        take, kinds = _in_order(sizes, self.sizes, self.capacity)
        return self._window(data, take[None], kinds, epoch * self.steps + done)

    def _window(self, data: Any, take: NDArray[np.int32], kinds: list[int], offset: int) -> Window:
        kind = np.zeros(self.capacity, np.int32)
        kind[: len(kinds)] = kinds
        place = (np.arange(self.capacity) + offset) % self.steps
        ends = place == self.steps - 1
        slot = np.where(ends, np.cumsum(ends) - 1, self.epochs).astype(np.int32)
        return Window(
            data=data,
            take=take,
            kind=kind,
            fresh=place == 0,
            slot=slot,
            offset=np.int32(offset),
            validation=None,
            validation_take=None,
            validation_kind=None,
        )


def sizes_that_occur(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of batches that occur, largest first.

    >>> sizes_that_occur((16, 16, 2))
    (16, 2)
    """
    return tuple(sorted(set(sizes), reverse=True))


def _in_order(
    sizes: Sequence[int], occurring: tuple[int, ...], length: int
) -> tuple[NDArray[np.int32], list[int]]:
    """What `length` batches take of examples that lie in their order, and the kind of each size."""
    take = np.zeros((length, occurring[0]), np.int32)
    start = 0
    for place, size in enumerate(sizes):
        take[place, :size] = np.arange(start, start + size)
        start += size
    return take, [occurring.index(size) for size in sizes]


def _joined(arrays: Sequence[Any], rows: int) -> NDArray[Any]:
    """Batches one after the other in an array of fixed length, so that the program fits it."""
    first = np.asarray(arrays[0])
    joined = np.zeros((rows, *first.shape[1:]), first.dtype)
    start = 0
    for array in arrays:
        joined[start : start + len(array)] = array
        start += len(array)
    return joined


def with_validation(window: Window, validation: ArrayData | None) -> Window:
    """Add the validation data, in batches in the order of its arrays."""
    if validation is None:
        return window
    sizes = validation.sizes
    take, kinds = _in_order(sizes, sizes_that_occur(sizes), len(sizes))
    return window._replace(
        validation=validation.arrays,
        validation_take=take,
        validation_kind=np.asarray(kinds, np.int32),
    )
