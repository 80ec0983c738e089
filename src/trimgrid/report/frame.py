"""Lines and texts put straight on a picture, in pixels from its lower left.

An `Axes` of matplotlib looks the same, but takes several times as long to make, to lay out and to
draw; and names can only be placed by those who know the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.report.picture_text import drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Frame:
    """A place for points on a picture: its edges in pixels, and the values at them.

    A logarithmic frame puts what is below its lowest value, 0 and negative numbers too, at its
    lower edge.

    >>> frame = Frame(0.0, 0.0, 100.0, 50.0, (1.0, 2.0), (0.01, 1.0), logarithmic=True)
    >>> frame.across([1.25]).tolist(), frame.up([0.0, 0.1, 1.0]).tolist()
    ([25.0], [0.0, 25.0, 50.0])
    """

    left: float
    bottom: float
    right: float
    top: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    logarithmic: bool = False

    def across(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the horizontal places of values, in pixels."""
        low, high = self.x_range
        return self.left + (np.asarray(x, float) - low) / (high - low) * (self.right - self.left)

    def up(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return the vertical places of values, in pixels."""
        (low, high), values = self.y_range, np.asarray(y, float)
        if self.logarithmic:
            values = np.log10(np.maximum(values, low))
            low, high = math.log10(low), math.log10(high)
        return self.bottom + (values - low) / (high - low) * (self.top - self.bottom)


def write(
    figure: Figure, x: float, y: float, text: str, size: float, ha: str, va: str, **style: Any
) -> None:
    """Write a text of `size` points, aligned as matplotlib's `ha` and `va` say."""
    from matplotlib.transforms import IdentityTransform

    # A name may hold the dollar signs that matplotlib takes for the ends of a formula.
    style = {"size": size, "ha": ha, "va": va, "parse_math": False, **style}
    shown = drawable(text, style.get("weight", "normal"))
    figure.text(x, y, shown, transform=IdentityTransform(), **style)


def draw_line(
    figure: Figure, x: ArrayLike, y: ArrayLike, inside: Frame | None = None, **style: Any
) -> None:
    """Draw a line, or the markers of points, in the style of a `Line2D`, cut off at the frame."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox, IdentityTransform

    line = Line2D(x, y, transform=IdentityTransform(), **style)
    if inside is not None:
        edges = [[inside.left, inside.bottom], [inside.right, inside.top]]
        line.set_clip_box(Bbox(edges))
    figure.add_artist(line)


def draw_strokes(
    figure: Figure, strokes: Sequence[Sequence[tuple[float, float]]], **style: Any
) -> None:
    """Draw many lines in one style, that of a `LineCollection`."""
    from matplotlib.collections import LineCollection
    from matplotlib.transforms import IdentityTransform

    figure.add_artist(LineCollection(strokes, transform=IdentityTransform(), **style))
