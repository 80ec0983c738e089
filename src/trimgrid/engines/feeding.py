"""What the program is called with, call after call: windows of data that lie on the devices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trimgrid.data.sources import ArrayData
from trimgrid.engines.shapes import Window
from trimgrid.engines.windows import Source, with_validation

# A call of the program is to last about so long: then progress shows, Ctrl-C is answered, and the
# state can be saved. How long a step takes the first call shows.
_CALL_SECONDS = 1.0
_FIRST_STEPS = 10


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
        self.validation = validation
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
                self.validation,
            )
        return self._first

    def calls(
        self,
        epochs: int,
        seeds: Sequence[int],
        pace: Pace,
        begin: int = 0,
        rungs: Collection[int] = (),
    ) -> Iterator[Call]:
        """The calls of a training of so many epochs, which follows the orders of the seeds.

        They begin with step `begin`, wherever in an epoch it is. After each of the epochs in
        `rungs`, from 1, a call ends.
        """
        if self.source.resident:
            return self._resident_calls(epochs, seeds, pace, begin, rungs)
        return self._chunk_calls(epochs, seeds[0], pace, begin)

    def _resident_calls(
        self,
        epochs: int,
        seeds: Sequence[int],
        pace: Pace,
        begin: int,
        rungs: Collection[int],
    ) -> Iterator[Call]:
        source, length, step = self.source, self.source.steps, begin
        while step < epochs * length:
            epoch = step // length
            window, base = self._place(source.window(epoch, seeds)), epoch * length
            last = length * min(epochs, epoch + source.epochs)
            while step < last:
                ahead = [length * rung for rung in rungs if length * rung > step]
                stop = min([last, step + pace.steps, *ahead])
                if stop // length > step // length:  # an epoch ends: so does the call
                    stop -= stop % length
                ended = [(each, each - epoch) for each in range(step // length, stop // length)]
                yield Call(window, base, step - base, stop - base, ended)
                step = stop

    def _chunk_calls(self, epochs: int, seed: int, pace: Pace, begin: int) -> Iterator[Call]:
        first, done = divmod(begin, self.source.steps)
        for epoch in range(first, epochs):
            for window, count in self.source.chunks(epoch, seed, done):
                placed, step = self._place(window), 0
                while step < count:
                    stop = min(count, step + pace.steps)
                    done += stop - step
                    ended = [(epoch, 0)] if done == self.source.steps else []
                    yield Call(placed, int(window.offset), step, stop, ended)
                    step = stop
            done = 0

    def _place(self, window: Window) -> Window:
        """Put a window on all devices; what stays the same is there already."""
        window = with_validation(window, self.validation)
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
    """How many steps one call does, learnt from how long the last one took.

    >>> pace = Pace()
    >>> pace.took(steps=5, seconds=0.25)
    >>> pace.steps
    20
    """

    def __init__(self) -> None:
        self.steps = _FIRST_STEPS

    def took(self, steps: int, seconds: float) -> None:
        """Learn from a call."""
        self.steps = max(1, int(_CALL_SECONDS * steps / max(seconds, 1e-6)))
