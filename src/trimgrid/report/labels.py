"""Where to write the names of points so that no name hides another or a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, bottom, right, top
Boxes = NDArray[np.float64]  # one box a row

_DISTANCES = (3.0, 8.0, 15.0, 24.0, 36.0, 50.0, 66.0, 84.0, 104.0)  # from the point's edge
# Where the label's middle lies on the frame around the point, right first; 1 is the frame's side.
_SIDES = [
    (across, up)
    for across in (1.0, -1.0, 0.0, 0.5, -0.5)
    for up in (0.0, 1.0, -1.0, 0.5, -0.5)
    if max(abs(across), abs(up)) == 1
]
_GAP = 2.0  # between two labels
_NEAR = 9.0  # so near another point a label may be taken for that point's
_REACH = 24.0  # from its point's edge, where a label may be left out
_SWEEPS = 6
# What hidden area costs, in pixels of distance for each pixel of area.
_OUTSIDE, _ON_LABEL, _ON_POINT, _NEAR_POINT, _ON_LINE = 100.0, 10.0, 10.0, 0.3, 0.12


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    radii: Sequence[float],
    bounds: Box,
    lines: Sequence[Box] = (),
) -> list[Box]:
    """Return a box for the label of each point that has one: near it and clear of all others.

    All lengths are pixels: `points` are (x, y), `radii` half the width of their markers, `sizes`
    (width, height) of the labels of the first points, as many as there are labels. `bounds` is the
    area to stay in, `lines` are boxes that are better not covered. Every label takes, of the places
    around its point, the one with the least sum of distance and hidden area; then each in turn
    chooses again, given the others, until nothing moves. The same input gives the same places.

    >>> [box] = place_labels([(50.0, 50.0)], [(20.0, 10.0)], [6.0], (0.0, 0.0, 100.0, 100.0))
    >>> box[0] > 50.0 and (box[2] - box[0], box[3] - box[1]) == (20.0, 10.0)
    True
    """
    candidates = list(_candidates(points, sizes, radii, bounds, lines))
    chosen = np.zeros((0, 4))
    for sweep in range(_SWEEPS):
        before = chosen.copy()
        for index, (around, own, _) in enumerate(candidates):
            others = chosen if sweep == 0 else np.delete(chosen, index, axis=0)
            hidden = _overlaps(_grown(around, _GAP), others).sum(axis=1)
            best = around[np.argmin(own + _ON_LABEL * hidden)]
            if sweep == 0:
                chosen = np.vstack([chosen, best])
            else:
                chosen[index] = best
        if np.array_equal(chosen, before):
            break
    return [_box(each) for each in chosen]


def place_where_room(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    radii: Sequence[float],
    bounds: Box,
    lines: Sequence[Box] = (),
) -> list[Box | None]:
    """Return a box for the label of each point that has one, or None where there is no room.

    What is given is as for `place_labels`. In turn every label takes the best of the places around
    its point that are near, in bounds, and hide no marker and no label before it.

    >>> points, area = [(50.0, 50.0), (50.0, 52.0)], (0.0, 40.0, 99.0, 80.0)
    >>> first, second = place_where_room(points, [(60.0, 10.0)] * 2, [6.0] * 2, area)
    >>> first is None, second is None
    (False, True)
    """
    chosen: list[Box | None] = []
    taken = np.zeros((0, 4))
    for around, costs, is_free in _candidates(points, sizes, radii, bounds, lines):
        free = is_free & ~_overlaps(_grown(around, _GAP), taken).any(axis=1)
        best = np.argmin(np.where(free, costs, np.inf))
        if free[best]:
            taken = np.vstack([taken, around[best]])
        chosen.append(_box(around[best]) if free[best] else None)
    return chosen


def box_around(start: tuple[float, float], end: tuple[float, float]) -> Box:
    """Return a thin box around an upright or level line, in pixels.

    >>> box_around((10.0, 10.0), (10.0, 20.0))
    (8.5, 8.5, 11.5, 21.5)
    """
    (x0, y0), (x1, y1) = start, end
    return (min(x0, x1) - 1.5, min(y0, y1) - 1.5, max(x0, x1) + 1.5, max(y0, y1) + 1.5)


def _candidates(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    radii: Sequence[float],
    bounds: Box,
    lines: Sequence[Box],
) -> Iterator[tuple[Boxes, NDArray[np.float64], NDArray[np.bool_]]]:
    """Give for each label the boxes around its point, their costs, and which are near and free."""
    middles, half = np.reshape(points, (-1, 2)), np.reshape(radii, (-1, 1))
    dots = np.hstack([middles - half, middles + half])
    strips, area = np.reshape(lines, (-1, 4)), np.reshape(bounds, (1, 4))
    for index, size in enumerate(sizes):
        distances, boxes = _places_around(points[index], size, radii[index])
        others = np.delete(dots, index, axis=0)
        outside = np.prod(size) - _overlaps(boxes, area)[:, 0]
        on_points = _overlaps(boxes, others).sum(axis=1)
        costs = (
            distances
            + _OUTSIDE * outside
            + _ON_POINT * on_points
            + _NEAR_POINT * _overlaps(boxes, _grown(others, _NEAR)).sum(axis=1)
            + _ON_LINE * _overlaps(boxes, strips).sum(axis=1)
        )
        yield boxes, costs, (distances <= _REACH) & (outside < 1) & (on_points == 0)


def _places_around(
    point: tuple[float, float], size: tuple[float, float], radius: float
) -> tuple[NDArray[np.float64], Boxes]:
    """Return how far from the point's edge the boxes around it are, and the boxes."""
    distances = np.repeat(_DISTANCES, len(_SIDES))
    sides = np.tile(_SIDES, (len(_DISTANCES), 1))
    middles = np.array(point) + sides * (np.array(size) / 2 + radius + distances[:, np.newaxis])
    corners = middles - np.array(size) / 2
    return distances, np.hstack([corners, corners + size])


def _box(row: NDArray[np.float64]) -> Box:
    left, bottom, right, top = row.tolist()
    return left, bottom, right, top


def _grown(boxes: Boxes, by: float) -> Boxes:
    grown: Boxes = boxes + np.array([-by, -by, by, by])
    return grown


def _overlaps(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Return the area that each box of `a` has in common with each box of `b`."""
    widths = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    heights = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    area: NDArray[np.float64] = np.maximum(widths, 0) * np.maximum(heights, 0)
    return area
