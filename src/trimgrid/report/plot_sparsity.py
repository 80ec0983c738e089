"""How sparse the attempts were to become, and have become, as axes of matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trimgrid.errors import InputError
from trimgrid.report.figures import GREY
from trimgrid.report.line_styles import attempt_styles
from trimgrid.report.notebook_figure import NAME_LETTERS, add_legend, axes_for, label_axes, plain
from trimgrid.report.sparsity_data import TensorSparsity, sparsity_steps, tensor_sparsity
from trimgrid.report.text_widths import shortened
from trimgrid.stored.results import StoredResults

_LETTER = 0.09  # inches
_LABEL_HEIGHT = 14  # points
_MOST_NUMBERS = 15  # tensors or attempts with a number in each field
_DARK = 0.55  # a sparsity from which on viridis is so light that letters on it are black


def plot_sparsity(results: StoredResults, by: str = "step", ax: Axes | None = None) -> Figure:
    """Draw how sparse the attempts of a run are: see `trimgrid.runs.results.Results`."""
    if by not in ("step", "tensor"):
        raise InputError(
            "Sparsity is drawn by step or by tensor. "
            f"Received: by={by!r:.60}. Give by='step' or by='tensor'."
        )
    if not results.attempts:
        raise InputError(
            "There must be a finished attempt to draw, besides the original. "
            "Received: none. Resume the run."
        )
    return _plot_steps(results, ax) if by == "step" else _plot_tensors(results, ax)


def _plot_steps(results: StoredResults, ax: Axes | None) -> Figure:
    data = sparsity_steps({each.name: each.details for each in results.attempts})
    figure, drawn = axes_for(ax, 9.0, 5.0)
    styles = attempt_styles(results, list(data.lines))
    grey: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "alpha": 0.5}
    entries = []
    others = 0
    for name, (steps, sparsity) in data.lines.items():
        style = styles.get(name, grey)
        every = max(1, len(steps) // 10)
        (line,) = drawn.plot(steps, sparsity, drawstyle="steps-post", markevery=every, **style)
        if name in styles:
            entries.append((line, name))
        else:
            others += 1
            other = line
    if others:
        entries.append((other, f"{others} others"))
    drawn.set_ylim(-0.02, 1.02)
    drawn.yaxis.set_major_formatter(PercentFormatter(1.0))
    drawn.margins(x=0.02)
    label_axes(drawn, "training step", "planned sparsity", data.note)
    add_legend(drawn, entries, beside=True, fontsize="small")
    return figure


def _plot_tensors(results: StoredResults, ax: Axes | None) -> Figure:
    data = tensor_sparsity({each.name: each.details for each in results.attempts})
    rows, columns = data.sparsity.shape
    beside, below = (
        _LETTER * min(NAME_LETTERS, max(map(len, names))) for names in (data.tensors, data.attempts)
    )
    width = 2.0 + beside + min(0.45 * columns, 9.0)
    figure, drawn = axes_for(ax, width, 1.0 + below + min(0.28 * rows, 9.0))
    image = drawn.imshow(data.sparsity, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    drawn.set_facecolor("none")  # what an attempt does not prune stays empty
    bar = figure.colorbar(image, ax=drawn, format=PercentFormatter(1.0))
    bar.set_label("sparsity")
    area, inch = drawn.get_window_extent(), figure.dpi
    _name(drawn.yaxis, data.tensors, area.height / inch, rotation=0)
    _name(drawn.xaxis, data.attempts, area.width / inch, rotation=90)
    if max(rows, columns) <= _MOST_NUMBERS:
        _write_numbers(drawn, data)
    label_axes(drawn, "", "", data.note)
    return figure


def _name(axis: Any, names: list[str], inches: float, rotation: int) -> None:
    """Write the names at an axis so long, where not all have room every second, third ..."""
    room = max(1, int(72 * inches / _LABEL_HEIGHT))
    places = range(0, len(names), -(-len(names) // room))
    texts = [plain(shortened(names[place], NAME_LETTERS)) for place in places]
    style = {key: value for key, value in plain("").items() if key != "text"}
    axis.set_ticks([*places], [text["text"] for text in texts], rotation=rotation, **style)


def _write_numbers(ax: Axes, data: TensorSparsity) -> None:
    for (row, column), value in np.ndenumerate(data.sparsity):
        if np.isfinite(value):
            color = "black" if value >= _DARK else "white"
            text = f"{100 * value:.0f}"
            ax.text(column, row, text, color=color, fontsize=8, ha="center", va="center")
