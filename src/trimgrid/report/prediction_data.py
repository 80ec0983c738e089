"""What the picture of predictions shows: which attempts, their figures, the common axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.choosing import pareto_front
from trimgrid.errors import InputError
from trimgrid.results import AttemptInfo
from trimgrid.terminal_text import printable

_MOST_PANELS = 60


@dataclass(frozen=True, eq=False)
class Panel:
    """One attempt: what is written above it, and its prediction by rising x, None if it failed."""

    title: str
    figures: str
    prediction: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Panels:
    """What `save_predictions` draws: test data by rising x, a panel an attempt, and common axes."""

    x: NDArray[np.float64]
    truth: NDArray[np.float64]
    panels: list[Panel]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    note: str


def prediction_data(infos: Sequence[AttemptInfo], x: ArrayLike, y_true: ArrayLike) -> Panels:
    """Return what `save_predictions` draws.

    Of more than 60 attempts these are drawn, in their order: the first, which is the original,
    those on the Pareto front of zipped .tflite size and error, and of the others those with the
    least errors. The note then says so.

    >>> info = AttemptInfo("half", 9, 5, 4, None, None, None, None, np.array([3.0, 1.0]), 0.02)
    >>> shown = prediction_data([info], [2, 1], [3.5, 1.5])
    >>> shown.x.tolist(), shown.truth.tolist(), shown.panels[0].prediction.tolist()
    ([1.0, 2.0], [1.5, 3.5], [1.0, 3.0])
    """
    points, truth = (np.ravel(np.asarray(each)).astype(float) for each in (x, y_true))
    _check_points(infos, points, truth)
    order = np.argsort(points, kind="stable")
    points, truth = points[order], truth[order]
    panels = []
    for info in _worth_a_look(infos):
        prediction = None if info.y_pred is None else np.ravel(info.y_pred).astype(float)[order]
        if prediction is not None:
            prediction = np.where(np.isfinite(prediction), prediction, np.nan)
        failed = prediction is None or np.isnan(prediction).all()
        panels.append(Panel(info.name, _figures(info), None if failed else prediction))
    note = "Under each name: error, zipped .tflite size, zipped .h5 size"
    if len(infos) > len(panels):
        note += (
            f". {len(panels)} of {len(infos):,} attempts: "
            "the original, the Pareto front, the least errors"
        )
    predictions = [panel.prediction for panel in panels if panel.prediction is not None]
    return Panels(points, truth, panels, _x_range(points), _y_range(truth, predictions), note)


def _check_points(
    infos: Sequence[AttemptInfo], points: NDArray[np.float64], truth: NDArray[np.float64]
) -> None:
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
                f"Received: {points.size} points, {length} values of {printable(name)}. "
                "Give as many."
            )


def _worth_a_look(infos: Sequence[AttemptInfo]) -> list[AttemptInfo]:
    if len(infos) <= _MOST_PANELS:
        return list(infos)
    sizes = [info.zipped_tflite_size for info in infos]
    front = pareto_front(
        [
            (math.nan if size is None else size, info.error)
            for size, info in zip(sizes, infos, strict=True)
        ]
    )
    by_error = sorted(
        range(len(infos)), key=lambda i: (not math.isfinite(infos[i].error), infos[i].error)
    )
    chosen = list(dict.fromkeys([0, *front, *by_error]))[:_MOST_PANELS]
    return [infos[index] for index in sorted(chosen)]


def _x_range(points: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the axis: those of the points and a 20th of their range."""
    known = points[np.isfinite(points)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _y_range(
    truth: NDArray[np.float64], predictions: Sequence[NDArray[np.float64]]
) -> tuple[float, float]:
    """Return the lower and upper end of the axis: all values, if not far off the data."""
    known = truth[np.isfinite(truth)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    reach = 0.6 * (high - low) or 1.0
    values = [prediction[np.isfinite(prediction)] for prediction in predictions]
    everything = np.concatenate([[low, high], *values])
    low, high = max(everything.min(), low - reach), min(everything.max(), high + reach)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _figures(info: AttemptInfo) -> str:
    tflite, h5 = (
        "-" if size is None else f"{size / 1000:.1f}"
        for size in (info.zipped_tflite_size, info.zipped_h5_size)
    )
    if math.isnan(info.error) and tflite == h5 == "-":
        return "not measured"
    error = "-" if math.isnan(info.error) else f"{info.error:.2e}"
    return f"{error} · tflite {tflite} · h5 {h5} kB"
