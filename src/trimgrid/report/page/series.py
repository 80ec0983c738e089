"""Training and validation curves of an attempt, with as few points as a chart needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.report.page.numbers import short_numbers
from trimgrid.report.training_curves import metric_curve

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
    epochs = np.unique(history.get("epoch", ()))
    if not epochs.size:
        return {"epoch": [], "metrics": {}}
    chosen = thinned(epochs.size)
    repeated = len(set(history.get("seed", ()))) > 1
    metrics: dict[str, dict[str, Any]] = {}
    for name in history:
        if name in ("seed", "epoch"):
            continue
        metric = name.removeprefix("val_")
        side = "train" if metric == name else "val"
        curve = metric_curve(history, name)
        told = metrics.setdefault(metric, {})
        told[side] = short_numbers(curve.median[chosen])
        if repeated:
            ends = (curve.low, curve.high)
            told[f"{side}_range"] = [short_numbers(end[chosen]) for end in ends]
    return {"epoch": epochs[chosen].astype(int).tolist(), "metrics": metrics}
