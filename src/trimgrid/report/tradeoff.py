"""What each attempt weighs and what it costs in quality, in one picture."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.errors import InputError
from trimgrid.report.axes import draw_axes
from trimgrid.report.figures import BLUE, GREY, RED, new_figure, save_png
from trimgrid.report.frame import Frame, draw_line, draw_strokes, write
from trimgrid.report.labels import Box, box_around, place_labels, place_where_room
from trimgrid.report.markers import MARKERS, SIZE_TITLES, marker_style
from trimgrid.report.picture_text import drawable, fitting, text_size
from trimgrid.report.tradeoff_data import Kind, Point, Tradeoff, tradeoff_data
from trimgrid.results import AttemptInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 9.0, 6.2  # inches
_LEFT, _BOTTOM, _RIGHT, _TOP = 0.05, 0.08, _WIDTH - 0.15, _HEIGHT - 0.38
_NOTE_LINE, _NOTE_LETTERS = 0.17, 120
_NAME_SIZE, _NOTE_SIZE, _LEGEND_SIZE = 9.5, 9, 10  # of letters, in points
_NAME_SHARE = 0.5  # of the width between the axes, which a name may take
_LEADER_FROM = 10.0  # pixels between a marker and its name from which on a line joins them


def save_tradeoff(
    infos: Sequence[AttemptInfo],
    path: str | Path,
    size: str = "zipped_tflite_size",
    error_name: str = "error (loss)",
) -> None:
    """Draw the size of each attempt's file against its error, as a PNG.

    The first of the attempts is the original and is drawn as a star. A step line joins the Pareto
    front: the attempts that no other beats in both size and error. The error's axis is logarithmic,
    or linear if an error is 0 or less. Where attempts were repeated, points are at the medians of
    the errors and bars show their ranges. Attempts without a finite error or the size are named
    below. Of more than 30 points only the original and the front are named, where there is room.

    `size` is a size of `AttemptInfo`: "zipped_tflite_size", "tflite_size", and the same for h5
    and keras. `error_name` says on the axis what the error is.

    The file appears whole or not at all, with the same bytes for the same input. Raises
    `InputError` for no attempts and an unknown size, `OSError` where the folder can't be written.
    """
    if size not in SIZE_TITLES:
        raise InputError(
            f"The size must be one of an attempt's sizes. Received: size={size!r}. "
            f"Choose one of {', '.join(SIZE_TITLES)}."
        )
    if not infos:
        raise InputError("There must be an attempt to draw. Received: no attempts. Give one.")
    data = tradeoff_data(infos, size)
    figure = new_figure(_WIDTH, _HEIGHT)
    notes = textwrap.wrap(drawable(data.note), _NOTE_LETTERS)
    middle = figure.bbox.width / 2
    for line, note in enumerate(reversed(notes)):
        height = (_BOTTOM + line * _NOTE_LINE) * figure.dpi
        write(figure, middle, height, note, _NOTE_SIZE, "center", "bottom", color=RED)
    if data.points:
        bottom = _BOTTOM + _NOTE_LINE * len(notes) + (0.05 if notes else 0.0)
        frame = draw_axes(
            figure,
            (_LEFT, bottom, _RIGHT, _TOP),
            data.size_range,
            data.error_range,
            data.logarithmic,
            SIZE_TITLES[size],
            f"{error_name} on the test data" + (", median of repeats" if data.repeated else ""),
        )
        _draw_legend(figure, data)
        lines = _draw_front(figure, frame, data) + _draw_points(figure, frame, data)
        _write_names(figure, frame, data, lines)
    else:
        height = figure.bbox.height / 2
        write(figure, middle, height, "nothing measured", _LEGEND_SIZE, "center", "center")
    save_png(figure, Path(path))


def _draw_points(figure: Figure, frame: Frame, data: Tradeoff) -> list[Box]:
    """Draw markers and bars, and return boxes around the bars."""
    boxes = []
    for kind in MARKERS:
        points = [point for point in data.points if point.kind == kind]
        x, y = _places(frame, points)
        draw_line(figure, x, y, **marker_style(kind, data.crowded))
        bars = [
            (across, *frame.up(point.error_range).tolist())
            for across, point in zip(x, points, strict=True)
            if point.error_range is not None
        ]
        _draw_bars(figure, bars, kind, data.crowded)
        boxes += [box_around((x, low), (x, high)) for x, low, high in bars]
    return boxes


def _places(frame: Frame, points: Sequence[Point]) -> tuple[list[float], list[float]]:
    x, y = frame.across([p.size for p in points]), frame.up([p.error for p in points])
    return x.tolist(), y.tolist()


def _draw_bars(
    figure: Figure, bars: Sequence[tuple[float, float, float]], kind: Kind, crowded: bool
) -> None:
    """Draw upright bars, each given by x, lower and upper end, with caps where there is room."""
    thin = crowded and kind == "beaten by another"
    strokes = [[(x, low), (x, high)] for x, low, high in bars]
    if not thin:
        strokes += [[(x - 3.5, y), (x + 3.5, y)] for x, *ends in bars for y in ends]
    draw_strokes(
        figure,
        strokes,
        colors=MARKERS[kind]["face"],
        linewidths=0.5 if thin else 1.5,
        alpha=0.4 if thin else 1,
        zorder=2.1 if thin else 2.2,
    )


def _draw_front(figure: Figure, frame: Frame, data: Tradeoff) -> list[Box]:
    """Draw the border of the region where nothing was found, and return boxes around its parts.

    It comes down from the upper edge to the first point and goes out at the right edge.
    """
    x, y = _places(frame, data.front)
    places = [(x[0], frame.top), *zip(x, y, strict=True), (frame.right, y[-1])]
    corners = [places[0]]
    for (_, height), place in itertools.pairwise(places):
        corners += [(place[0], height), place]
    # Paler where bars lie on it.
    alpha = 0.35 if data.repeated else 0.6
    draw_strokes(figure, [corners], colors=BLUE, linewidths=1.3, alpha=alpha, zorder=2)
    return [box_around(*ends) for ends in itertools.pairwise(corners)]


def _draw_legend(figure: Figure, data: Tradeoff) -> None:
    """Write in the middle of the upper edge what the markers are."""
    inch, height = figure.dpi, (_HEIGHT - 0.19) * figure.dpi
    kinds = [kind for kind in MARKERS if any(point.kind == kind for point in data.points)]
    labels = [*kinds, *(["range of repeats"] if data.repeated else [])]
    widths = [text_size(figure, label, _LEGEND_SIZE)[0] + 0.6 * inch for label in labels]
    left = (figure.bbox.width - sum(widths)) / 2
    for label, width in zip(labels, widths, strict=True):
        x = left + 0.2 * inch
        if label in MARKERS:
            draw_line(figure, [x], [height], **marker_style(label, data.crowded))
        else:
            _draw_bars(figure, [(x, height - 7, height + 7)], "beaten by another", False)
        write(figure, left + 0.38 * inch, height, label, _LEGEND_SIZE, "left", "center_baseline")
        left += width


def _write_names(figure: Figure, frame: Frame, data: Tradeoff, lines: Sequence[Box]) -> None:
    """Write the names near the points, clear of each other, of markers, bars and the front."""
    from matplotlib.patheffects import withStroke

    named = {id(point) for point in data.named}
    points = [*data.named, *(point for point in data.points if id(point) not in named)]
    pixels = list(zip(*_places(frame, points), strict=True))
    radii = [marker_style(p.kind, data.crowded)["markersize"] / 2 * figure.dpi / 72 for p in points]
    room = _NAME_SHARE * (frame.right - frame.left)
    names = [fitting(figure, point.name, _NAME_SIZE, room) for point in data.named]
    sizes = [text_size(figure, name, _NAME_SIZE) for name in names]
    bounds = (frame.left + 4, frame.bottom + 4, frame.right - 4, frame.top - 4)
    place = place_labels if data.all_named else place_where_room
    places = place(pixels, sizes, radii, bounds, lines)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for name, (x, y), radius, box in zip(names, pixels, radii, places, strict=False):
        if box is None:
            continue
        write(figure, *box[:2], name, _NAME_SIZE, "left", "bottom", path_effects=halo)
        nearest = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        if math.dist((x, y), nearest) > radius + _LEADER_FROM:
            draw_line(figure, [x, nearest[0]], [y, nearest[1]], color=GREY, linewidth=0.8, zorder=2)
