"""What the picture of the trade-off shows: which points, which names, the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trimgrid.choosing import pareto_front
from trimgrid.report.left_out import left_out
from trimgrid.results import AttemptInfo

Kind = Literal["original", "on the Pareto front", "beaten by another"]
_MOST_NAMES = 30
_CROWD = 100


@dataclass(frozen=True)
class Point:
    """An attempt: its size in kB, its error, and the range of that where it was repeated."""

    name: str
    kind: Kind
    size: float
    error: float
    error_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tradeoff:
    """What `save_tradeoff` draws: points, the front's by rising size, and the ends of the axes.

    `named` are the points that have their name beside them, where not all of them are only where
    there is room, the first of `named` first. `note` tells which attempts have no point.
    """

    points: list[Point]
    front: list[Point]
    named: list[Point]
    note: str
    size_range: tuple[float, float]
    error_range: tuple[float, float]
    logarithmic: bool

    @property
    def repeated(self) -> bool:
        """Whether a point stands for several repeats."""
        return any(point.error_range is not None for point in self.points)

    @property
    def all_named(self) -> bool:
        """Whether each point has its name."""
        return len(self.points) <= _MOST_NAMES

    @property
    def crowded(self) -> bool:
        """Whether the points are so many that those which are beaten must be drawn small."""
        return len(self.points) > _CROWD


def tradeoff_data(
    infos: Sequence[AttemptInfo], size: str, *, with_original: bool = True
) -> Tradeoff:
    """Return what `save_tradeoff` draws; the first attempt is the original, if it is with them.

    The front is that of the medians where attempts were repeated. The error's axis is logarithmic
    if all errors are above 0. The least error of some repeats may be 0 or less all the same: its
    range is then drawn down to the axis. Of more than 30 points the original is named first, then
    the front by rising size; the others are not.

    >>> half = AttemptInfo("half", 9, 5, 4, 4000, 1000, None, None, None, 0.02)
    >>> tradeoff_data([half], "zipped_h5_size").points
    [Point(name='half', kind='original', size=1.0, error=0.02, error_range=None)]
    """
    shown = [info for info in infos if _is_shown(info, size)]
    on_front = pareto_front([(getattr(info, size), info.error) for info in shown])
    points = [
        Point(
            info.name,
            _kind(with_original and info is infos[0], index in on_front),
            getattr(info, size) / 1000,
            float(info.error),
            info.error_range,
        )
        for index, info in enumerate(shown)
    ]
    front = [points[index] for index in on_front]
    logarithmic = min((point.error for point in points), default=0.0) > 0
    ends = [end for point in points for end in (point.error, *(point.error_range or ()))]
    if logarithmic:
        ends = [end for end in ends if end > 0]
    return Tradeoff(
        points,
        front,
        _named(points, front),
        left_out("Not measured", [info.name for info in infos if not _is_shown(info, size)]),
        _with_margin([point.size for point in points]),
        _with_margin(ends, logarithmic),
        logarithmic,
    )


def _is_shown(info: AttemptInfo, size: str) -> bool:
    return getattr(info, size) is not None and math.isfinite(info.error)


def _kind(original: bool, on_front: bool) -> Kind:
    if original:
        return "original"
    return "on the Pareto front" if on_front else "beaten by another"


def _named(points: list[Point], front: list[Point]) -> list[Point]:
    if len(points) <= _MOST_NAMES:
        return points
    original = [point for point in points if point.kind == "original"]
    return original + [point for point in front if point.kind != "original"]


def _with_margin(values: Sequence[float], logarithmic: bool = False) -> tuple[float, float]:
    """Return the ends of an axis: those of the values, and a tenth of their range on each side."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    margin = 0.1 * (high - low) or (0.5 if logarithmic else 0.05 * abs(high) or 0.5)
    low, high = low - margin, high + margin
    # So far from 1 a float has no room for the margin.
    return (10 ** max(low, -307.0), 10 ** min(high, 308.0)) if logarithmic else (low, high)
