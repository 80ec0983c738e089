"""The look of the lines of attempts: colors that color-blind people tell apart, and markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from trimgrid.stored.results import StoredResults

# Okabe and Ito's, without black and the yellow that is too pale on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("", "o", "s")
_MOST_COLORED = 12


def attempt_styles(results: StoredResults, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return color and marker of the lines of up to 12 attempts; the original's has no color.

    Of more these are the original and those of the Pareto front, evenly chosen.
    """
    original = results.find_original()
    first = [original.name] if original is not None and original.name in names else []
    others = [name for name in names if name not in first]
    if len(names) > _MOST_COLORED:
        others = [each.name for each in results.pareto() if each.name in others]
        room = _MOST_COLORED - len(first)
        if len(others) > room:
            others = [others[int(k)] for k in np.linspace(0, len(others) - 1, room).round()]
    styles: dict[str, dict[str, Any]] = {
        name: {"color": mpl.rcParams["text.color"]} for name in first
    }
    for place, name in enumerate(others):
        turn, color = divmod(place, len(_COLORS))
        styles[name] = {"color": _COLORS[color], "marker": _MARKERS[turn], "markersize": 4}
    return styles
