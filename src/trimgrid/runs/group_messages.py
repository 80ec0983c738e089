"""What workers of a run tell its driver; without Keras, for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trained:
    """An epoch is over, from 1, of the trainings of these attempts, with their losses."""

    names: Sequence[str]
    epoch: int
    losses: Sequence[float]


@dataclass(frozen=True)
class Said:
    """A line on a choice made."""

    line: str


@dataclass(frozen=True)
class Finished:
    """The result of an attempt is in the run directory."""

    name: str


@dataclass(frozen=True)
class Refused:
    """The run can't be done as it was asked for: the text of an `InputError`."""

    why: str
