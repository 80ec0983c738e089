"""Each attempt's prediction over the test data, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.errors import InputError
from trimgrid.report.figures import GREEN, GREY, RED, new_figure, save_png
from trimgrid.results import AttemptInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS_A_ROW = 6
_TITLE_LETTERS = 30
_TRUTH: dict[str, Any] = {"color": GREEN, "linewidth": 4.5, "solid_capstyle": "round"}
_PREDICTION: dict[str, Any] = {"color": RED, "linewidth": 1.3}


def save_curves(
    infos: Sequence[AttemptInfo], x: ArrayLike, y_true: ArrayLike, path: str | Path
) -> None:
    """Draw the test data (green) and each attempt's prediction (red), 6 panels a row, as a PNG.

    `x` and `y_true` hold one number a test point, in any order and shape; the panels are drawn by
    rising x. The title of a panel tells the name, the error, and the zipped sizes in kB (1,000
    bytes). All panels share their axes; a prediction that leaves the data's range far behind is cut
    off at the edge, an attempt without any finite prediction is an empty panel that says "failed".

    The file appears whole or not at all, with the same bytes for the same input. Raises
    `InputError` for no attempts and for numbers of points that differ, `OSError` where the folder
    can't be written.
    """
    from matplotlib.lines import Line2D

    points, truth = np.ravel(np.asarray(x)), np.ravel(np.asarray(y_true))
    _check_curves(infos, points, truth)
    order = np.argsort(points, kind="stable")
    points, truth = points[order], truth[order]
    predictions = [
        None if info.y_pred is None else np.ravel(info.y_pred).astype(float)[order]
        for info in infos
    ]
    columns = min(_PANELS_A_ROW, len(infos))
    rows = math.ceil(len(infos) / columns)
    figure = new_figure(2.55 * max(columns, 2) + 0.4, 2.15 * rows + 0.75)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    bottom, top = _value_range(truth, predictions)
    panels[0, 0].set_ylim(bottom, top)
    for panel, info, prediction in zip(panels.flat, infos, predictions, strict=False):
        _draw_panel(panel, info, points, truth, prediction)
    for panel in panels.flat[len(infos) :]:
        panel.set_visible(False)
    for panel in panels.flat[max(len(infos) - columns, 0) : len(infos)]:
        panel.tick_params(labelbottom=True)
    figure.legend(
        handles=[
            Line2D([], [], label="test data", **_TRUTH),
            Line2D([], [], label="prediction", **_PREDICTION),
        ],
        title="Under each name: error, zipped .tflite size, zipped .h5 size",
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=10,
        title_fontsize=9,
    )
    save_png(figure, Path(path))


def _check_curves(infos: Sequence[AttemptInfo], points: NDArray[Any], truth: NDArray[Any]) -> None:
    if not infos or points.size == 0:
        raise InputError(
            "There must be an attempt and a test point to draw. "
            f"Received: {len(infos)} attempts, {points.size} points. Give one or more of both."
        )
    lengths = {"y_true": truth.size}
    lengths |= {info.name: np.size(info.y_pred) for info in infos if info.y_pred is not None}
    for name, length in lengths.items():
        if length != points.size:
            raise InputError(
                "There must be one value for each test point. "
                f"Received: {points.size} points, {length} values of {name}. Give as many."
            )


def _value_range(
    truth: NDArray[Any], predictions: Sequence[NDArray[np.float64] | None]
) -> tuple[float, float]:
    """Return the lower and upper end of the axis: all values, if not far off the data."""
    known = truth[np.isfinite(truth)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    reach = 0.6 * (high - low) or 1.0
    values = [
        prediction[np.isfinite(prediction)] for prediction in predictions if prediction is not None
    ]
    everything = np.concatenate([[low, high], *values])
    low, high = max(everything.min(), low - reach), min(everything.max(), high + reach)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_panel(
    panel: Axes,
    info: AttemptInfo,
    points: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[np.float64] | None,
) -> None:
    panel.tick_params(labelsize=8, color=GREY)
    panel.spines[:].set_color(GREY)
    name = info.name
    if len(name) > _TITLE_LETTERS:
        name = name[: _TITLE_LETTERS - 1] + "…"
    panel.set_title(name, fontsize=9.5, fontweight="bold", pad=17)
    panel.text(
        0.5, 1.03, _figures(info), ha="center", va="bottom", fontsize=8, transform=panel.transAxes
    )
    if prediction is None or not np.isfinite(prediction).any():
        panel.text(
            0.5, 0.5, "failed", ha="center", va="center", color=RED, transform=panel.transAxes
        )
        return
    panel.plot(points, truth, **_TRUTH)
    finite = np.where(np.isfinite(prediction), prediction, np.nan)
    panel.plot(points, finite, **_PREDICTION)


def _figures(info: AttemptInfo) -> str:
    tflite, h5 = (
        "-" if size is None else f"{size / 1000:.1f}"
        for size in (info.zipped_tflite_size, info.zipped_h5_size)
    )
    if math.isnan(info.error) and tflite == h5 == "-":
        return "not measured"
    error = "-" if math.isnan(info.error) else f"{info.error:.2e}"
    return f"{error} · tflite {tflite} · h5 {h5} kB"
