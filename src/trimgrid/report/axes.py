"""The two axes of a picture, their numbers and their grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimgrid.report.figures import PALE
from trimgrid.report.frame import Frame, draw_strokes, write
from trimgrid.report.picture_text import text_size
from trimgrid.report.ticks import logarithmic_marks, logarithmic_numbers, round_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICK_SIZE, _LABEL_SIZE = 10, 11  # of letters, in points
_TICK, _UNDER, _BESIDE = 0.05, 0.52, 0.4  # inches; the last ones are what the axes' texts take


def draw_axes(
    figure: Figure,
    edges: tuple[float, float, float, float],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    logarithmic: bool,
    x_label: str,
    y_label: str,
) -> Frame:
    """Draw axes with numbers and a grid, and return the frame in which points have their places.

    `edges` are the left, lower, right and upper edge of all this on the picture, in inches.
    """
    inch = figure.dpi
    x_ticks = round_numbers(*x_range, 9)
    y_ticks = logarithmic_numbers(*y_range) if logarithmic else round_numbers(*y_range, 8)
    widths = [text_size(figure, label, _TICK_SIZE)[0] for label in y_ticks.values()]
    # A line of a pixel's width is blurred where it does not lie in the middle of pixels.
    left, bottom, right, top = (
        math.floor(edge) + 0.5
        for edge in (
            (edges[0] + _BESIDE) * inch + max(widths, default=0.0),
            (edges[1] + _UNDER) * inch,
            edges[2] * inch,
            edges[3] * inch,
        )
    )
    frame = Frame(left, bottom, right, top, x_range, y_range, logarithmic)
    tick, xs, ys = _TICK * inch, frame.across(list(x_ticks)), frame.up(list(y_ticks))
    marks = frame.up(logarithmic_marks(*y_range) if logarithmic else [])
    grid = [[(x, bottom), (x, top)] for x in xs] + [[(left, y), (right, y)] for y in ys]
    draw_strokes(figure, grid, colors=PALE, linewidths=0.8, zorder=1)
    lines = [[(left, top), (left, bottom), (right, bottom)]]
    lines += [[(x, bottom), (x, bottom - tick)] for x in xs]
    lines += [[(left, y), (left - tick, y)] for y in ys]
    lines += [[(left, y), (left - 0.6 * tick, y)] for y in marks]
    draw_strokes(figure, lines, colors="black", linewidths=0.8, zorder=2.5)
    for x, label in zip(xs, x_ticks.values(), strict=True):
        write(figure, x, bottom - 2 * tick, label, _TICK_SIZE, "center", "top")
    for y, label in zip(ys, y_ticks.values(), strict=True):
        write(figure, left - 2 * tick, y, label, _TICK_SIZE, "right", "center_baseline")
    middle, height = (left + right) / 2, (bottom + top) / 2
    write(figure, middle, edges[1] * inch, x_label, _LABEL_SIZE, "center", "bottom")
    write(
        figure, edges[0] * inch, height, y_label, _LABEL_SIZE, "left", "center", rotation="vertical"
    )
    return frame
