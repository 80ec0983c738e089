"""Training and validation over the epochs, as axes of matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from trimgrid.errors import InputError
from trimgrid.report.figures import GREY
from trimgrid.report.line_styles import attempt_styles
from trimgrid.report.notebook_figure import add_legend, axes_for, label_axes, make_logarithmic
from trimgrid.report.training_curves import TrainingCurves, training_curves
from trimgrid.stored.results import StoredResults

_TRAINING: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (1, 1.5))}
_VALIDATION: dict[str, Any] = {"linewidth": 1.7}


def plot_curves(results: StoredResults, metric: str = "loss", ax: Axes | None = None) -> Figure:
    """Draw the trainings of a run: see `trimgrid.runs.results.Results`."""
    infos = list(results)
    if not infos:
        raise InputError(
            "There must be a finished attempt to draw. Received: none. Resume the run."
        )
    data = training_curves({info.name: info.history for info in infos}, metric)
    figure, drawn = axes_for(ax, 9.0, 5.0)
    styles = attempt_styles(results, list(data.training))
    grey = [name for name in data.training if name not in styles]
    for name in (*grey, *reversed(styles)):  # the original lies on top
        _draw(drawn, data, name, styles.get(name))
    if data.logarithmic:
        make_logarithmic(drawn)
    drawn.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    drawn.margins(x=0.02)
    label_axes(drawn, "epoch", metric, data.note)
    entries = [(Line2D([], [], **_VALIDATION, **style), name) for name, style in styles.items()]
    if grey:
        entries.append((Line2D([], [], color=GREY), f"{len(grey)} others"))
    entries += _kinds(data)
    add_legend(drawn, entries, beside=True, fontsize="small")
    return figure


def _draw(ax: Axes, data: TrainingCurves, name: str, style: dict[str, Any] | None) -> None:
    """Draw training and validation of an attempt; without a style one thin grey line."""
    lines = [(data.validation[name], _VALIDATION)] if name in data.validation else []
    lines.append((data.training[name], _TRAINING if data.validation else _VALIDATION))
    if style is None:
        curve = lines[0][0]
        ax.plot(curve.epochs, curve.median, color=GREY, linewidth=0.8, alpha=0.5, zorder=1)
        return
    for place, (curve, look) in enumerate(lines):
        look = {**look, "color": style["color"]} if place else {**style, **look}
        if len(curve.epochs) == 1:
            look["marker"] = "o"
        every = max(1, len(curve.epochs) // 10)
        ax.plot(curve.epochs, curve.median, markevery=every, **look)
        if np.any(curve.high > curve.low):
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(curve.epochs, curve.low, curve.high, **band)


def _kinds(data: TrainingCurves) -> list[tuple[Any, str]]:
    """Return what the legend says of dotted lines and bands."""
    entries: list[tuple[Any, str]] = []
    if data.validation:
        entries.append((Line2D([], [], color=GREY, **_VALIDATION), "validation"))
        entries.append((Line2D([], [], color=GREY, **_TRAINING), "training"))
    if data.repeated:
        entries.append((Patch(color=GREY, alpha=0.3, linewidth=0), "range of repeats"))
    return entries
