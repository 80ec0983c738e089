"""Each attempt's prediction over the test data, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from trimgrid.report.figures import GREEN, GREY, RED, new_figure, save_png
from trimgrid.report.frame import Frame, draw_line, draw_strokes, write
from trimgrid.report.picture_text import fitting, text_size
from trimgrid.report.prediction_data import Panel, Panels, prediction_data
from trimgrid.report.ticks import round_numbers
from trimgrid.results import AttemptInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS_A_ROW = 6
# Inches: a panel with what is above it and the gap right of it, and the picture's edges.
_PANEL_WIDTH, _PANEL_HEIGHT = 2.55, 2.15
_ABOVE, _GAP = 0.45, 0.12
_TOP, _BOTTOM, _RIGHT = 0.52, 0.2, 0.05
_TICK = 0.05
_TICK_SIZE, _TITLE_SIZE = 8, 9.5  # of letters, in points
_TRUTH: dict[str, Any] = {"color": GREEN, "linewidth": 4.5, "solid_capstyle": "round"}
_PREDICTION: dict[str, Any] = {"color": RED, "linewidth": 1.3}


def save_predictions(
    infos: Sequence[AttemptInfo], x: ArrayLike, y_true: ArrayLike, path: str | Path
) -> None:
    """Draw the test data (green) and each attempt's prediction (red), 6 panels a row, as a PNG.

    `x` and `y_true` hold one number a test point, in any order and shape; the panels are drawn by
    rising x. The title of a panel tells the name, the error, and the zipped sizes in kB (1,000
    bytes). All panels share their axes; a prediction that leaves the data's range far behind is cut
    off at the edge, an attempt without any finite prediction is an empty panel that says "failed".
    Of more than 60 attempts 60 are drawn: see `prediction_data`.

    The file appears whole or not at all, with the same bytes for the same input. Raises
    `InputError` for no attempts and for numbers of points that differ, `OSError` where the folder
    can't be written.
    """
    shown = prediction_data(infos, x, y_true)
    columns = min(_PANELS_A_ROW, len(shown.panels))
    rows = math.ceil(len(shown.panels) / columns)
    figure = new_figure(_PANEL_WIDTH * max(columns, 2) + 0.4, _PANEL_HEIGHT * rows + _TOP + _BOTTOM)
    y_ticks = round_numbers(*shown.y_range, 7)
    frames = _frames(figure, shown, columns, max(_widths(figure, y_ticks), default=0.0))
    x_ticks = _x_ticks(figure, frames[0])
    for index, (frame, panel) in enumerate(zip(frames, shown.panels, strict=True)):
        _draw_panel(figure, frame, panel, shown)
        if index + columns >= len(frames):  # the lowest of its column
            _write_x(figure, frame, x_ticks)
        if index % columns == 0:
            _write_y(figure, frame, y_ticks)
    _draw_frames(figure, frames, list(x_ticks), list(y_ticks))
    _draw_legend(figure, shown.note)
    save_png(figure, Path(path))


def _frames(figure: Figure, shown: Panels, columns: int, labels_width: float) -> list[Frame]:
    """Return the panels' places, row by row from the upper left."""
    inch = figure.dpi
    edge = labels_width + 2.5 * _TICK * inch
    step = (figure.bbox.width - edge - _RIGHT * inch + _GAP * inch) / columns
    frames = []
    for index in range(len(shown.panels)):
        row, column = divmod(index, columns)
        left = edge + column * step
        top = figure.bbox.height - (_TOP + _ABOVE + row * _PANEL_HEIGHT) * inch
        bottom = top - (_PANEL_HEIGHT - _ABOVE - _TICK) * inch
        # A line of a pixel's width is blurred where it does not lie in the middle of pixels.
        left, bottom, right, top = (
            math.floor(each) + 0.5 for each in (left, bottom, left + step - _GAP * inch, top)
        )
        frames.append(Frame(left, bottom, right, top, shown.x_range, shown.y_range))
    return frames


def _draw_panel(figure: Figure, frame: Frame, panel: Panel, shown: Panels) -> None:
    middle, point = (frame.left + frame.right) / 2, figure.dpi / 72
    height, room = frame.top + 17 * point, frame.right - frame.left
    title = fitting(figure, panel.title, _TITLE_SIZE, room, "bold")
    write(figure, middle, height, title, _TITLE_SIZE, "center", "baseline", weight="bold")
    write(figure, middle, frame.top + 4 * point, panel.figures, 8, "center", "baseline")
    if panel.prediction is None:
        height = (frame.bottom + frame.top) / 2
        write(figure, middle, height, "failed", 10, "center", "center", color=RED)
        return
    x = frame.across(shown.x)
    draw_line(figure, x, frame.up(shown.truth), frame, **_TRUTH)
    draw_line(figure, x, frame.up(panel.prediction), frame, **_PREDICTION)


def _draw_frames(
    figure: Figure, frames: Sequence[Frame], x_ticks: list[float], y_ticks: list[float]
) -> None:
    lines = []
    length = _TICK * figure.dpi
    for frame in frames:
        left, bottom, right, top = frame.left, frame.bottom, frame.right, frame.top
        lines.append([(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)])
        lines += [[(x, bottom), (x, bottom - length)] for x in frame.across(x_ticks)]
        lines += [[(left, y), (left - length, y)] for y in frame.up(y_ticks)]
    draw_strokes(figure, lines, colors=GREY, linewidths=0.8, zorder=2.5)


def _widths(figure: Figure, ticks: dict[float, str]) -> list[float]:
    return [text_size(figure, label, _TICK_SIZE)[0] for label in ticks.values()]


def _x_ticks(figure: Figure, frame: Frame) -> dict[float, str]:
    """Return round numbers for the lower edge, as many as there is room for."""
    for at_most in (5, 4, 3, 2):
        ticks = round_numbers(*frame.x_range, at_most)
        if 1.5 * sum(_widths(figure, ticks)) < frame.right - frame.left:
            break
    return ticks


def _write_x(figure: Figure, frame: Frame, ticks: dict[float, str]) -> None:
    height, widths = frame.bottom - 2 * _TICK * figure.dpi, _widths(figure, ticks)
    places, over = frame.across(list(ticks)), _GAP / 3 * figure.dpi
    for place, label, width in zip(places, ticks.values(), widths, strict=True):
        # Not under the next panel or over the picture's edge.
        leftmost, rightmost = frame.left - over + width / 2, frame.right + over - width / 2
        middle = min(max(place, leftmost), rightmost)
        write(figure, middle, height, label, _TICK_SIZE, "center", "top")


def _write_y(figure: Figure, frame: Frame, ticks: dict[float, str]) -> None:
    place = frame.left - 2 * _TICK * figure.dpi
    for height, label in zip(frame.up(list(ticks)), ticks.values(), strict=True):
        write(figure, place, height, label, _TICK_SIZE, "right", "center_baseline")


def _draw_legend(figure: Figure, note: str) -> None:
    """Write the note and, under it, what the lines are, in the middle of the upper edge."""
    inch, middle = figure.dpi, figure.bbox.width / 2
    write(figure, middle, figure.bbox.height - 0.2 * inch, note, 9, "center", "baseline")
    height = figure.bbox.height - 0.42 * inch
    for label, style, offset in (("test data", _TRUTH, -1.15), ("prediction", _PREDICTION, 0.15)):
        left = middle + offset * inch
        draw_line(figure, [left, left + 0.28 * inch], [height, height], **style)
        write(figure, left + 0.4 * inch, height, label, 10, "left", "center_baseline")
