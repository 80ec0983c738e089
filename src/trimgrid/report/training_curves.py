"""What the picture of the training's curves shows: of repeats the median and the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.report.left_out import left_out
from trimgrid.suggestions import suggestion

History = Mapping[str, Sequence[float]]
"""The columns of a training's history: "epoch", metrics, and "seed" where there are repeats."""

_Floats = NDArray[np.float64]
_VALIDATION = "val_"


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric over the epochs: of the repeats' finite values the median, least and greatest.

    All are arrays of shape [epochs]; where an epoch has no finite value they are NaN.
    """

    epochs: _Floats
    median: _Floats
    low: _Floats
    high: _Floats


@dataclass(frozen=True, eq=False)
class TrainingCurves:
    """What `plot_curves` draws: the curves by attempt, those it lacks, and the axis.

    `note` tells which attempts have no curve. The axis is logarithmic if all values are above 0.
    """

    metric: str
    training: dict[str, Curve]
    validation: dict[str, Curve]
    note: str
    logarithmic: bool

    @property
    def repeated(self) -> bool:
        """Whether a curve stands for several repeats that differ."""
        curves = [*self.training.values(), *self.validation.values()]
        return any(np.any(curve.high > curve.low) for curve in curves)


def training_curves(histories: Mapping[str, History], metric: str) -> TrainingCurves:
    """Return the curves of a metric, and of the same on validation data, for each attempt.

    `histories` are the columns of each attempt by its name, empty where there are none.

    Raises `InputError` where no attempt has a history, and for a metric that none of them has.

    >>> rows = {"seed": [1, 1, 2, 2], "epoch": [1, 2, 1, 2], "loss": [4.0, 2.0, 2.0, 1.0]}
    >>> curves = training_curves({"half": rows, "failed": {}}, "loss")
    >>> curves.training["half"].median.tolist(), curves.note
    ([3.0, 1.5], 'No history: failed')
    """
    columns = {
        name: {key: column for key, column in history.items() if len(column)}
        for name, history in histories.items()
    }
    found = {key for each in columns.values() for key in each} - {"seed", "epoch"}
    known = {key for key in found if not key.startswith(_VALIDATION)}
    if not known:
        raise InputError(
            "An attempt must have a history of its training to be drawn. "
            f"Received: {len(histories)} attempts without one. Run the attempts again."
        )
    if metric not in known:
        raise InputError(
            "A metric must be in the history of the training. "
            f"Received: metric={metric!r:.60}. {suggestion(str(metric), known)}"
        )
    training, validation = (
        {name: metric_curve(each, key) for name, each in columns.items() if key in each}
        for key in (metric, _VALIDATION + metric)
    )
    curves = [*training.values(), *validation.values()]
    values = np.concatenate([curve.low[np.isfinite(curve.low)] for curve in curves])
    missing = [name for name in columns if name not in training]
    why = f"No {metric}" if any(columns[name] for name in missing) else "No history"
    logarithmic = bool(values.size and values.min() > 0)
    return TrainingCurves(metric, training, validation, left_out(why, missing), logarithmic)


def metric_curve(history: History, key: str) -> Curve:
    """Return a column of a history as a curve over the epochs.

    >>> curve = metric_curve({"epoch": [1, 2, 1], "loss": [4.0, 1.0, 2.0]}, "loss")
    >>> curve.median.tolist(), curve.low.tolist()
    ([3.0, 1.0], [2.0, 1.0])
    """
    values = np.asarray(history[key], float)
    told = np.asarray(history.get("epoch", range(1, values.size + 1)), float)
    order = np.argsort(told, kind="stable")
    epochs, first, counts = np.unique(told[order], return_index=True, return_counts=True)
    # A row for each epoch, as long as the longest.
    rows = np.full((epochs.size, counts.max(initial=0)), np.nan)
    places = np.arange(values.size) - np.repeat(first, counts)
    rows[np.repeat(np.arange(epochs.size), counts), places] = values[order]
    rows[~np.isfinite(rows)] = np.nan
    median, low, high = (np.full(epochs.size, np.nan) for _ in range(3))
    known = ~np.isnan(rows).all(axis=1)
    with np.errstate(over="ignore"):  # the mean of two that are next to what a float can hold
        for column, what in ((median, np.nanmedian), (low, np.nanmin), (high, np.nanmax)):
            column[known] = what(rows[known], axis=1)
    return Curve(epochs, median, low, high)
