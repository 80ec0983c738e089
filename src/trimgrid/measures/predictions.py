"""What a model predicts on data, next to the targets and weights of the same examples."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError
from trimgrid.legacy.notices import without_notices
from trimgrid.models import fixed_batch

_BATCH = 1024


def predict(model: Any, data: ArrayData | StreamData) -> tuple[Any, Any, Any]:
    """Return a model's predictions on data, the targets, and the sample weights or None.

    Each is an array with a row for each example, or a list or dict of such arrays. Arrays are
    predicted in batches of at most 1024, or of the only size that the model takes; a stream batch
    by batch, and joined.

    Raises `InputError` for a stream whose batches can't be joined.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> predictions, targets, weights = predict(model, ArrayData((np.ones((5, 2)), np.ones(5)), 4))
    >>> predictions.shape, targets.shape, weights
    ((5, 3), (5,), None)
    """
    if isinstance(data, ArrayData):
        inputs, *rest = data.arrays
        size = fixed_batch(model) or min(data.examples, _BATCH)
        with without_notices():
            joined = (model.predict(inputs, batch_size=size, verbose=0), *rest)
    else:
        parts = [(model.predict_on_batch(x), *rest) for x, *rest in data.epoch(None, 0)]
        try:
            joined = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
        except ValueError as error:
            raise InputError(
                "Targets and predictions of all batches must have one shape but for the number of "
                f"examples. Received: test data where they have not: {error}. Pad them, or give a "
                "function of the model as the error."
            ) from error
    return joined[0], joined[1], joined[2] if len(joined) == 3 else None
