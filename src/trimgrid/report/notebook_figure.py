"""Figures for notebooks: new ones, or the caller's axes, with names shown letter by letter."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogFormatterSciNotation

from trimgrid.errors import InputError
from trimgrid.report.text_widths import shortened

NAME_LETTERS = 40
"""So many letters of a name are shown beside lines and points."""

_DPI = 110
_EDGE = 0.08  # inches
_LETTERS_AN_INCH = 13


class NotebookFigure(Figure):
    """A figure that a notebook shows also where pyplot, which sees to that, was not imported."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def axes_for(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return the figure of `ax`, and it, or a new figure outside of pyplot's global state.

    `width` and `height` are those of a new figure, in inches. Raises `InputError` for no `Axes`.

    >>> figure, ax = axes_for(None, 4.0, 3.0)
    >>> ax.figure is figure
    True
    """
    if ax is None:
        layout = ConstrainedLayoutEngine(w_pad=_EDGE, h_pad=_EDGE)
        figure = NotebookFigure((width, height), dpi=_DPI, layout=layout)
        return figure, figure.subplots()
    if not isinstance(ax, Axes):
        raise InputError(
            "ax must be one Axes of matplotlib. "
            f"Received: a {type(ax).__name__}. Give one of it, such as axes[0], or None."
        )
    return cast(Figure, ax.figure), ax


def plain(text: str) -> dict[str, Any]:
    """Return the keywords that let matplotlib write a text as it is: no formula, no TeX.

    Letters that no font has become boxes, as matplotlib would draw them after a warning.

    >>> plain("$a_1$\\n")["text"]
    '$a_1$□'
    """
    letters = _letters(tuple(findfont(FontProperties(family=[f])) for f in _families()))
    known = "".join(each if ord(each) in letters else "□" for each in text)
    return {"text": known, "parse_math": False, "usetex": False}


def label_axes(ax: Axes, x: str, y: str, note: str = "") -> None:
    """Write what the axes are, and under the lower edge a note."""
    # The note is a part of the label, for which every layout makes room.
    area = ax.get_window_extent()
    letters = [
        max(30, int(_LETTERS_AN_INCH * k / ax.figure.dpi)) for k in (area.width, area.height)
    ]
    notes = textwrap.wrap(note, letters[0])
    titles = textwrap.wrap(y, letters[1])
    for label, lines in ((ax.xaxis.label, [x, *notes]), (ax.yaxis.label, titles)):
        text = "\n".join(plain(line)["text"] for line in lines if line)
        label.update({**plain(""), "text": text})


class _RoundLog(LogFormatterSciNotation):
    """Writes 0.5 and 20 at a logarithmic axis, powers of ten only where one is far from 1."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        label = super().__call__(x, pos)
        axis: Any = self.axis  # set when the formatter is given to one
        low, high = axis.get_view_interval()
        return f"{x:g}" if label and low >= 1e-4 and high < 1e5 else str(label)


def make_logarithmic(ax: Axes) -> None:
    """Make the axis of the errors logarithmic, with numbers that people read."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(_RoundLog(labelOnlyBase=True))
    ax.yaxis.set_minor_formatter(_RoundLog(labelOnlyBase=False, minor_thresholds=(1, 0.4)))


def add_legend(
    ax: Axes, entries: Sequence[tuple[Any, str]], *, beside: bool = False, **style: Any
) -> Any:
    """Explain lines and markers by names, where there is room inside the axes, or beside them.

    Beside them only where the figure has a layout that makes room there.
    """
    beside = beside and cast(Figure, ax.figure).get_layout_engine() is not None
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {"loc": "best"}
    # A legend leaves out names that begin with an underscore: they come in afterwards.
    numbers = [str(place) for place in range(len(entries))]
    legend = ax.legend([handle for handle, _ in entries], numbers, **{**place, **style})
    for text, (_, name) in zip(legend.get_texts(), entries, strict=True):
        text.update(plain(shortened(name, NAME_LETTERS)))
    return legend


def keep_place(ax: Axes, legend: Any) -> None:
    """Let a legend stay where the best place was, whatever is drawn later."""
    box, area = legend.get_window_extent(), ax.get_window_extent()
    across = (box.x0 - area.x0) / max(area.width - box.width, 1)
    up = (box.y0 - area.y0) / max(area.height - box.height, 1)
    sides = [
        names[min(max(round(2 * share), 0), 2)]
        for names, share in (
            (("lower", "center", "upper"), up),
            (("left", "center", "right"), across),
        )
    ]
    legend.set_loc(" ".join(dict.fromkeys(sides)))


def _families() -> list[str]:
    return [*mpl.rcParams["font.family"]]


@cache
def _letters(fonts: tuple[str, ...]) -> frozenset[int]:
    return frozenset[int]().union(*(get_font(font).get_charmap() for font in fonts))
