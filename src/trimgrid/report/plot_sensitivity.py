"""How sensitive the tensors of a model are, as a heat map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trimgrid.report.figures import save_png
from trimgrid.report.notebook_figure import NAME_LETTERS, axes_for, label_axes, plain
from trimgrid.report.text_widths import shortened
from trimgrid.sensitivity import Sensitivity
from trimgrid.terminal_text import printable

_LETTER = 0.09  # inches
_LEAST, _MOST = 1.0, 1e4  # times the original's error; beyond it all is the same dark


def plot_sensitivity(found: Sensitivity, ax: Axes | None = None) -> Figure:
    """Draw the error of each tensor pruned alone over the sparsity, as factors of the original's.

    Tensors are rows, from the model's input downwards; those to spare are marked. Where the
    original's error is not above 0 the errors themselves are drawn.
    """
    tensors, sparsities = list(found.weights), found.sparsities
    errors = np.array([found.errors(each) for each in tensors], float)
    factor = found.original_error > 0
    if factor:
        errors = errors / found.original_error
    spare = set(found.spare())
    names = [
        ("! " if each in spare else "") + shortened(printable(each), NAME_LETTERS)
        for each in tensors
    ]
    width = 2.6 + _LETTER * max(map(len, names)) + 0.52 * len(sparsities)
    figure, drawn = axes_for(ax, width, 1.3 + 0.34 * len(tensors))
    low, high = _range(errors)
    if factor:
        low, high = _LEAST, min(max(high, 10.0), _MOST)
    shown = np.clip(np.nan_to_num(errors, nan=high, posinf=high), low, high)
    image = drawn.imshow(shown, cmap="YlOrRd", norm=LogNorm(low, high), aspect="auto")
    bar = figure.colorbar(image, ax=drawn, extend="max" if factor else "neither")
    what = printable(found.error_name)
    bar.set_label("times the original's error" if factor else what)
    for (row, column), value in np.ndenumerate(errors):
        text = "-" if not np.isfinite(value) else _number(value, factor)
        color = "white" if value > low * (high / low) ** 0.6 else "black"
        drawn.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    style = {key: value for key, value in plain("").items() if key != "text"}
    drawn.set_yticks(range(len(tensors)), names, **style)
    drawn.set_xticks(range(len(sparsities)), [f"{100 * each:g} %" for each in sparsities])
    note = f"{what}, one tensor pruned alone, nothing trained." + (" !: to spare." if spare else "")
    label_axes(drawn, "sparsity of the tensor", "", note)
    return figure


def save_sensitivity(found: Sensitivity, path: Path) -> None:
    """Write the heat map as a PNG.

    Raises `OSError` where the folder is missing or can't be written.
    """
    save_png(plot_sensitivity(found), path)


def _range(errors: NDArray[np.float64]) -> tuple[float, float]:
    finite = errors[np.isfinite(errors) & (errors > 0)]
    return (float(finite.min()), float(finite.max()) * 1.001) if finite.size else (1.0, 10.0)


def _number(value: float, factor: bool) -> str:
    if not factor:
        return f"{value:.1e}"
    return f"{value:.2f}" if value < 9.995 else f"{value:.3g}" if value < 1000 else f"{value:.0e}"
