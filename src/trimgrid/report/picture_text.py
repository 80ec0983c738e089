"""Texts as the font of the pictures has them, as long as there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimgrid.report.text_widths import cell_width, shortened
from trimgrid.terminal_text import escaped, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawable(text: str, weight: str = "normal") -> str:
    r"""Return a printable text with escapes for the characters that matplotlib's font lacks.

    matplotlib would draw a box, the same for all of them, and warn. Fonts that have them can be
    added to its setting `font.family`.

    >>> print(drawable("poly decay 10/50 · 🚀"))
    poly decay 10/50 · \U0001f680
    """
    shown = printable(text)
    if shown.isascii():
        return shown
    fonts = _fonts(weight)
    return "".join(
        char if any(font.get_char_index(ord(char)) for font in fonts) else escaped(char)
        for char in shown
    )


def fitting(figure: Figure, text: str, size: float, room: float, weight: str = "normal") -> str:
    """Return a text as `drawable` gives it, without its middle where it is wider than `room`.

    `size` is that of the letters in points, `room` is in pixels.

    >>> from trimgrid.report.figures import new_figure
    >>> fitting(new_figure(4.0, 3.0), "poly decay 0/50, frequency 100", 10, 150)
    'poly d…uency 100'
    """
    whole = shown = drawable(text, weight)
    cells = cell_width(whole)
    while cells > 1 and (width := text_size(figure, shown, size, weight)[0]) > room:
        cells = min(cells - 1, round(cells * room / width) + 2)
        shown = shortened(whole, cells)
    return shown


def text_size(
    figure: Figure, text: str, size: float, weight: str = "normal"
) -> tuple[float, float]:
    """Return the width and height in pixels of a text of `size` points, as it is drawn.

    >>> from trimgrid.report.figures import new_figure
    >>> text_size(new_figure(4.0, 3.0), "100", 8) > (10.0, 5.0)
    True
    """
    from matplotlib.font_manager import FontProperties

    canvas: Any = figure.canvas  # that of Agg, which has a renderer before anything is drawn
    renderer = canvas.get_renderer()
    width, height, _ = renderer.get_text_width_height_descent(
        drawable(text, weight), FontProperties(size=size, weight=weight), False
    )
    return float(width), float(height)


def _fonts(weight: str) -> list[Any]:
    """The fonts that matplotlib looks into for a character."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    paths = []
    for family in FontProperties().get_family():
        try:
            wanted = FontProperties(family=family, weight=weight)
            paths.append(findfont(wanted, fallback_to_default=False))
        except ValueError:  # no such font here
            continue
    return [get_font(path) for path in paths or [findfont(FontProperties(weight=weight))]]
