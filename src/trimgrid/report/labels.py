"""Where to write the names of points so that no name hides another or a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter

Box = tuple[float, float, float, float]  # left, bottom, right, top

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
    """Return a box for the label of each point: near it, in bounds, clear of all others.

    All lengths are pixels: `points` are (x, y), `sizes` (width, height) of their labels, `radii`
    half the width of their markers, `bounds` the area to stay in, `lines` boxes that are better not
    covered. Every label takes, of the places
    around its point, the one with the least sum of distance and hidden area; then each in turn
    chooses again, given the others, until nothing moves. The same input gives the same places.

    >>> [box] = place_labels([(50.0, 50.0)], [(20.0, 10.0)], [6.0], (0.0, 0.0, 100.0, 100.0))
    >>> box[0] > 50.0 and (box[2] - box[0], box[3] - box[1]) == (20.0, 10.0)
    True
    """
    dots = [
        (x - radius, y - radius, x + radius, y + radius)
        for (x, y), radius in zip(points, radii, strict=True)
    ]
    places = []
    for index, (point, size, radius) in enumerate(zip(points, sizes, radii, strict=True)):
        around = _places_around(point, size, radius)
        others = [dot for other, dot in enumerate(dots) if other != index]
        costs = [distance + _fixed_cost(box, others, bounds, lines) for distance, box in around]
        candidates = [(cost, box) for cost, (_, box) in zip(costs, around, strict=True)]
        places.append(sorted(candidates, key=itemgetter(0)))
    boxes: list[Box | None] = [None] * len(points)
    for _ in range(_SWEEPS):
        before = list(boxes)
        for index, candidates in enumerate(places):
            others = [box for other, box in enumerate(boxes) if other != index and box is not None]
            boxes[index] = _cheapest(candidates, others)
        if boxes == before:
            break
    return [box for box in boxes if box is not None]


def _places_around(
    point: tuple[float, float], size: tuple[float, float], radius: float
) -> list[tuple[float, Box]]:
    """Return boxes of the size around the point, with how far from the point's edge they are."""
    (x, y), (width, height) = point, size
    places = []
    for distance in _DISTANCES:
        for across, up in _SIDES:
            left = x + across * (width / 2 + radius + distance) - width / 2
            bottom = y + up * (height / 2 + radius + distance) - height / 2
            places.append((distance, (left, bottom, left + width, bottom + height)))
    return places


def _fixed_cost(box: Box, others: Sequence[Box], bounds: Box, lines: Sequence[Box]) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return (
        _OUTSIDE * (area - _overlap(box, bounds))
        + _ON_POINT * sum(_overlap(box, dot) for dot in others)
        + _NEAR_POINT * sum(_overlap(_grown(box, _NEAR), dot) for dot in others)
        + _ON_LINE * sum(_overlap(box, line) for line in lines)
    )


def _cheapest(candidates: Sequence[tuple[float, Box]], others: Sequence[Box]) -> Box:
    """Return the first box of the least cost; the candidates come with rising own cost."""
    best_cost, best = math.inf, candidates[0][1]
    for own_cost, box in candidates:
        if own_cost >= best_cost:
            break
        cost = own_cost + _ON_LABEL * sum(_overlap(_grown(box, _GAP), other) for other in others)
        if cost < best_cost:
            best_cost, best = cost, box
    return best


def _grown(box: Box, by: float) -> Box:
    return (box[0] - by, box[1] - by, box[2] + by, box[3] + by)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0
