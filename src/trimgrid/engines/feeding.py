"""What the program is called with, call after call: windows of data that lie on the devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trimgrid.data import ArrayData
from trimgrid.engines.program import Window
from trimgrid.engines.windows import Source, with_validation

# A call of the program is to last about so long: then progress shows, and Ctrl-C is answered.
_CALL_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """The steps from `first` to before `stop` of a window, whose first step is step `begin`.

    `ended` holds the epochs that end in them, from 0, and their slots in the history.
    """

    window: Window
    begin: int
    first: int
    stop: int
    ended: list[tuple[int, int]]


class Feeder:
    """Gives the calls of a training; keeps what they share on the devices."""

    def __init__(self, source: Source, validation: ArrayData | None, mesh: Mesh) -> None:
        self.source = source
        self._validation = validation
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._resident: Any = None
        self._first: Window | None = None

    def shapes(self) -> Any:
        """The shapes of a window's arrays, as every call has them."""
        if self._first is None:
            source = self.source
            self._first = with_validation(
                source.window(0, [0] * source.orders)
                if source.resident
                else next(source.chunks(0, 0))[0],
                self._validation,
            )
        return self._first

    def calls(self, epochs: int, seeds: Sequence[int], pace: Pace) -> Iterator[Call]:
        """The calls of a training of so many epochs, which follows the orders of the seeds."""
        if self.source.resident:
            return self._resident_calls(epochs, seeds, pace)
        return self._chunk_calls(epochs, seeds[0])

    def _resident_calls(self, epochs: int, seeds: Sequence[int], pace: Pace) -> Iterator[Call]:
        source = self.source
        for base in range(0, epochs, source.epochs):
            window = self._place(source.window(base, seeds))
            last = min(epochs, base + source.epochs)
            epoch = base
            while epoch < last:
                until = min(last, epoch + pace.epochs)
                first, stop = ((each - base) * source.steps for each in (epoch, until))
                ended = [(each, each - base) for each in range(epoch, until)]
                yield Call(window, base * source.steps, first, stop, ended)
                epoch = until

    def _chunk_calls(self, epochs: int, seed: int) -> Iterator[Call]:
        for epoch in range(epochs):
            done = 0
            for window, count in self.source.chunks(epoch, seed):
                done += count
                ended = [(epoch, 0)] if done == self.source.steps else []
                yield Call(self._place(window), int(window.offset), 0, count, ended)

    def _place(self, window: Window) -> Window:
        """Put a window on all devices; what stays the same is there already."""
        window = with_validation(window, self._validation)
        if self._resident is None:
            kept = window.data if self.source.resident else None
            self._resident = jax.device_put(
                (kept, window.validation, window.validation_take, window.validation_kind),
                self._everywhere,
            )
        data, validation, take, kind = self._resident
        window = window._replace(validation=None, validation_take=None, validation_kind=None)
        if self.source.resident:
            window = window._replace(data=None)
        placed: Window = jax.device_put(window, self._everywhere)
        return placed._replace(
            data=data if self.source.resident else placed.data,
            validation=validation,
            validation_take=take,
            validation_kind=kind,
        )


class Pace:
    """How many epochs one call does, learnt from how long the last one took.

    >>> pace = Pace()
    >>> pace.took(epochs=1, seconds=0.25)
    >>> pace.epochs
    4
    """

    def __init__(self) -> None:
        self.epochs = 1

    def took(self, epochs: int, seconds: float) -> None:
        """Learn from a call."""
        self.epochs = max(1, int(_CALL_SECONDS * epochs / max(seconds, 1e-6)))
