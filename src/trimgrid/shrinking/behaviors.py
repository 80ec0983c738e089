"""What a layer can do to channels: the answers that the rules give for each call.

A channel is a place on the last axis of a tensor. Of each it is known whether it is a constant: the
same number for every example, at every place of the other axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[Any]
Places: TypeAlias = NDArray[np.intp]
Axes: TypeAlias = Mapping[int, Literal["in", "out"]]
"""Which axes of a weight lie along the channels of the input and of the output."""


@dataclass(frozen=True)
class Known:
    """Of each channel of a tensor: whether it is a constant, and which (0 where it is none)."""

    constant: Mask
    value: Floats

    @classmethod
    def nothing(cls, channels: int) -> Known:
        """Return what is known of channels that vary.

        >>> Known.nothing(2).constant.tolist()
        [False, False]
        """
        return cls(np.zeros(channels, bool), np.zeros(channels))

    @classmethod
    def checked(cls, constant: Mask, value: Floats) -> Known:
        """Return what is known where constants that are not finite count as varying.

        >>> Known.checked(np.array([True, True]), np.array([2.0, np.inf])).constant.tolist()
        [True, False]
        """
        constant = constant & np.isfinite(value)
        return cls(constant, np.where(constant, value, 0.0))


@dataclass(frozen=True)
class Mixing:
    """A layer whose units are each a weighted sum of the channels: Dense, convolutions.

    `reads` is [channels, units], whether a unit has a weight for a channel that is not 0; `gains`
    is what a channel that is 1 everywhere adds to a unit. `folds` says that a constant other than
    0 adds the same at every place. `axes` are those of each weight, in the layer's order.
    """

    reads: Mask
    gains: Floats
    folds: bool
    given: Callable[[Floats], Known]
    """The units, each known to be constant, for the sums that come in beside the bias: [units]."""
    axes: Sequence[Axes]
    size: str | None
    """The argument of the layer that is the number of its units."""
    units_stay: str | None = None
    rows_stay: str | None = None

    def forward(self, inputs: Known) -> Known:
        """Return what is known of the units."""
        moving = ~inputs.constant if self.folds else ~inputs.constant | (inputs.value != 0)
        constant = ~self.reads[moving].any(axis=0)
        settled = inputs.constant & (inputs.value != 0)
        known = self.given(inputs.value[settled] @ self.gains[settled])
        return Known.checked(constant & known.constant, known.value)


@dataclass(frozen=True)
class Reading:
    """A layer that reads channels by weights, but whose units are no business of ours: LSTM."""

    reads: Mask
    axes: Sequence[Axes]
    units_stay: str
    folds: bool = False
    rows_stay: str | None = None


@dataclass(frozen=True)
class Giving:
    """A layer that makes channels of its own from an input that it reads as a whole: Embedding."""

    known: Known
    axes: Sequence[Axes]
    size: str
    units_stay: str | None = None


@dataclass(frozen=True)
class Passing:
    """A layer that keeps channels apart: activations, pooling, sums, concatenation.

    `ties` has for each input the pairs of its channels and those of the output that are made of
    them. Channels that are tied leave together or not at all.
    """

    ties: Sequence[tuple[Places, Places]]
    forward: Callable[[Sequence[Known]], Known]
    channels: int
    axes: Sequence[Axes] = ()
    size: str | None = None
    """The argument of the layer that ends with the number of channels: `target_shape`."""


@dataclass(frozen=True)
class Blocking:
    """A layer that may read anything: its inputs' channels stay, and so do its own."""

    reason: str


Behavior: TypeAlias = Mixing | Reading | Giving | Passing | Blocking
