"""What each attempt weighs and what it costs in quality, as axes of matplotlib."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from trimgrid.choosing import check_size
from trimgrid.errors import InputError
from trimgrid.report.figures import BLUE, GREY
from trimgrid.report.labels import Box, box_around, place_labels, place_where_room
from trimgrid.report.markers import MARKERS, SIZE_TITLES, marker_style
from trimgrid.report.notebook_figure import (
    NAME_LETTERS,
    add_legend,
    axes_for,
    keep_place,
    label_axes,
    make_logarithmic,
    plain,
)
from trimgrid.report.text_widths import shortened
from trimgrid.report.tradeoff_data import Point, Tradeoff, tradeoff_data
from trimgrid.stored.results import StoredResults

_NAME_SIZE = 9  # of letters, in points
_LEADER_FROM = 8.0  # points between a marker and its name from which on a line joins them


def plot_tradeoff(
    results: StoredResults, size: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw the attempts of a run by size and error: see `trimgrid.runs.results.Results`."""
    size = results.default_size if size is None else size
    check_size(size)
    if not len(results):
        raise InputError(
            "There must be a finished attempt to draw. Received: none. Resume the run."
        )
    original = results.find_original()
    infos = results.attempts if original is None else [original, *results.attempts]
    data = tradeoff_data(infos, size, with_original=original is not None)
    figure, drawn = axes_for(ax, 8.0, 5.0)
    error = f"{results.error_name} on the test data" + (", median of repeats" * data.repeated)
    if data.logarithmic:
        make_logarithmic(drawn)
    drawn.set_xlim(data.size_range)
    drawn.set_ylim(data.error_range)
    label_axes(drawn, SIZE_TITLES[size], error, data.note)
    if not data.points:
        drawn.text(
            0.5, 0.5, "nothing measured", transform=drawn.transAxes, ha="center", va="center"
        )
        return figure
    legend = _draw_points(drawn, data)
    if ax is None:
        figure.draw_without_rendering()  # places are known after the layout
    keep_place(drawn, legend)
    _write_names(drawn, data, legend)
    return figure


def _draw_points(ax: Axes, data: Tradeoff) -> Any:
    """Draw markers, bars and the front, and return the legend."""
    entries: list[tuple[Any, str]] = []
    bars = None
    for kind in MARKERS:
        points = [point for point in data.points if point.kind == kind]
        if not points:
            continue
        style = marker_style(kind, data.crowded)
        (line,) = ax.plot([p.size for p in points], [p.error for p in points], **style)
        entries.append((line, kind))
        repeated = [(p.size, p.error, p.error_range) for p in points if p.error_range is not None]
        if repeated:
            least = data.error_range[0] if data.logarithmic else -math.inf
            bars = ax.errorbar(
                [x for x, _, _ in repeated],
                [y for _, y, _ in repeated],
                [
                    [y - max(low, least) for _, y, (low, _) in repeated],
                    [high - y for _, y, (_, high) in repeated],
                ],
                fmt="none",
                ecolor=MARKERS[kind]["face"],
                capsize=3,
                zorder=2.2,
            )
    if bars is not None:
        entries.append((bars, "range of repeats"))
    x, y = zip(*_corners(data), strict=True)
    alpha = 0.35 if data.repeated else 0.6
    ax.plot(x, y, color=BLUE, linewidth=1.3, alpha=alpha, zorder=2)
    return add_legend(ax, entries)


def _corners(data: Tradeoff) -> list[tuple[float, float]]:
    """Return the corners of the front: from the upper edge, by its points, to the right edge."""
    corners: list[tuple[float, float]] = []
    height = data.error_range[1]
    for point in data.front:
        corners += [(point.size, height), (point.size, point.error)]
        height = point.error
    return [*corners, (data.size_range[1], height)]


def _write_names(ax: Axes, data: Tradeoff, legend: Any) -> None:
    """Write names near the points, clear of each other, of markers, bars, front and legend."""
    named = {id(point) for point in data.named}
    points = [*data.named, *(point for point in data.points if id(point) not in named)]
    pixels = _pixels(ax, [(point.size, point.error) for point in points])
    point_size = ax.figure.dpi / 72
    radii = [marker_style(p.kind, data.crowded)["markersize"] / 2 * point_size for p in points]
    # The legend is hidden by no name if it counts as points: squares side by side.
    box = legend.get_window_extent()
    half = box.height / 2
    squares = max(1, math.ceil(box.width / box.height))
    across = [box.x0 + min((2 * k + 1) * half, box.width - half) for k in range(squares)]
    texts = [_text(ax, point) for point in data.named]
    extents = [text.get_window_extent() for text in texts]
    area = ax.get_window_extent()
    place = place_labels if data.all_named else place_where_room
    places = place(
        pixels + [(x, box.y0 + half) for x in across],
        [(extent.width, extent.height) for extent in extents],
        radii + [half] * squares,
        (area.x0 + 4, area.y0 + 4, area.x1 - 4, area.y1 - 4),
        _lines(ax, data),
    )
    for text, pixel, radius, found in zip(texts, pixels, radii, places, strict=False):
        if found is None:
            text.remove()
            continue
        nearest = [min(max(pixel[k], found[k]), found[k + 2]) for k in (0, 1)]
        offset = [(found[k] - pixel[k]) / point_size for k in (0, 1)]
        text.set_position(offset)
        if math.dist(pixel, nearest) > radius + _LEADER_FROM * point_size:
            _join(
                ax,
                text.xy,
                ((nearest[0] - pixel[0]) / point_size, (nearest[1] - pixel[1]) / point_size),
            )


def _pixels(ax: Axes, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in ax.transData.transform(places)]


def _text(ax: Axes, point: Point) -> Any:
    text = plain(shortened(point.name, NAME_LETTERS))
    return ax.annotate(
        text.pop("text"),
        (point.size, point.error),
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=_NAME_SIZE,
        path_effects=[withStroke(linewidth=2.5, foreground=ax.get_facecolor())],
        va="bottom",
        zorder=6,
        **text,
    )


def _join(ax: Axes, point: tuple[float, float], offset: tuple[float, float]) -> None:
    """Draw a line from a point to its name, which lies so many points off."""
    style = {"arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", point, offset, textcoords="offset points", arrowprops=style, zorder=2)


def _lines(ax: Axes, data: Tradeoff) -> list[Box]:
    """Return boxes around the front and the bars."""
    lowest = data.error_range[0]
    bars = [
        _pixels(ax, [(p.size, max(p.error_range[0], lowest)), (p.size, p.error_range[1])])
        for p in data.points
        if p.error_range is not None
    ]
    front = itertools.pairwise(_pixels(ax, _corners(data)))
    return [box_around(start, end) for start, end in [*front, *bars]]
