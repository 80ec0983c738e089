"""Training and validation curves of an attempt, of repeats their median and range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.report.page.numbers import short_numbers

_MOST_POINTS = 200


def thinned(length: int, at_most: int = _MOST_POINTS) -> NDArray[np.int64]:
    """Return the places of evenly chosen values of many, with the first and the last.

    >>> thinned(10, 4).tolist(), thinned(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    places = np.linspace(0, length - 1, min(length, at_most)).round()
    return places.astype(np.int64)


def curves(history: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the curves of a history: "epoch", and "metrics" by name.

    A metric has its values as "train" and "val", of repeats the median over the seeds, with the
    least and greatest as "train_range" and "val_range". Of more than 200 epochs evenly chosen ones
    are there.

    >>> curves({"seed": [0, 1], "epoch": [1, 1], "loss": [2.0, 4.0]})["metrics"]
    {'loss': {'train': [3], 'train_range': [[2], [4]]}}
    """
    columns = {name: np.asarray(values, float) for name, values in history.items()}
    if "epoch" not in columns or columns["epoch"].size == 0:
        return {"epoch": [], "metrics": {}}
    seeds = columns.get("seed", np.zeros_like(columns["epoch"]))
    epochs = np.unique(columns["epoch"])
    chosen = epochs[thinned(epochs.size)]
    metrics: dict[str, dict[str, Any]] = {}
    for name, values in columns.items():
        if name in ("seed", "epoch"):
            continue
        metric = name.removeprefix("val_")
        side = "train" if metric == name else "val"
        rows = _by_seed(values, seeds, columns["epoch"], chosen)
        told = metrics.setdefault(metric, {})
        told[side] = short_numbers(_over_seeds(np.nanmedian, rows))
        if len(rows) > 1:
            low, high = _over_seeds(np.nanmin, rows), _over_seeds(np.nanmax, rows)
            told[f"{side}_range"] = [short_numbers(low), short_numbers(high)]
    return {"epoch": chosen.astype(int).tolist(), "metrics": metrics}


def _by_seed(
    values: NDArray[np.float64],
    seeds: NDArray[np.float64],
    epochs: NDArray[np.float64],
    chosen: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A row for each seed with its values at the chosen epochs, NaN where it has none."""
    rows = np.full((len(np.unique(seeds)), chosen.size), np.nan)
    for row, seed in zip(rows, np.unique(seeds), strict=True):
        mine = seeds == seed
        places = np.searchsorted(chosen, epochs[mine])
        there = (places < chosen.size) & (
            chosen[np.minimum(places, chosen.size - 1)] == epochs[mine]
        )
        row[places[there]] = values[mine][there]
    return rows


def _over_seeds(what: Callable[..., Any], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the finite values of each epoch come to; NaN where there are none."""
    if len(rows) == 1:
        only: NDArray[np.float64] = rows[0]
        return only
    finite = np.where(np.isfinite(rows), rows, np.nan)
    found = np.full(rows.shape[1], np.nan)
    known = np.isfinite(finite).any(axis=0)
    found[known] = what(finite[:, known], axis=0)
    return found
