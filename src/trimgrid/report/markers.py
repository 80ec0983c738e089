"""The look of the points of a trade-off between size and error, and the names of the sizes."""

from __future__ import annotations

from typing import Any

from trimgrid.cells import size_label
from trimgrid.report.figures import BLUE, GREY, INK, ORANGE
from trimgrid.report.tradeoff_data import Kind
from trimgrid.results import SIZES_TO_CHOOSE_BY

SIZE_TITLES = {key: f"{size_label(key)} size (kB)" for key in SIZES_TO_CHOOSE_BY}
"""What stands on the axis of each size."""

MARKERS: dict[Kind, dict[str, Any]] = {
    "original": {"zorder": 5, "marker": "*", "size": 16, "face": ORANGE, "edge": INK},
    "on the Pareto front": {"zorder": 4, "marker": "o", "size": 8.4, "face": BLUE, "edge": "white"},
    "beaten by another": {"zorder": 3, "marker": "X", "size": 7.7, "face": GREY, "edge": "white"},
}
"""Marker, size in points and colors of each kind of point."""


def marker_style(kind: Kind, crowded: bool) -> dict[str, Any]:
    """Return the style of a `Line2D` that draws points of a kind, smaller where it is crowded.

    >>> marker_style("original", crowded=False)["marker"]
    '*'
    """
    marker = MARKERS[kind]
    dot = crowded and kind == "beaten by another"
    return {
        "linestyle": "none",
        "marker": "o" if dot else marker["marker"],
        "markersize": 3 if dot else marker["size"] * (0.75 if crowded else 1),
        "markerfacecolor": marker["face"],
        "markeredgecolor": marker["edge"],
        "markeredgewidth": 0 if dot else 0.8,
        "zorder": marker["zorder"],
    }
