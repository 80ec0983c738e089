"""Whether an error can be computed at all, found out before anything is trained."""

from __future__ import annotations

from typing import Any

import keras

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError, first_line
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.measures.predictions import predict
from trimgrid.models import copy_model, fixed_batch

_ROWS = 8


def check_measure(measure: ErrorMeasure, model: Any, test: ArrayData | StreamData) -> None:
    """Compute an error of the model as it is, on the first test rows, to see whether that works.

    Where it fails on these few rows, all are taken before anything is said: a function may need a
    row of each class. A function of the model is not called, which may take long. The model, its
    state and the data stay as they are.

    Raises `InputError` with what was raised.

    >>> import numpy as np
    >>> from trimgrid.measures.error_measures import error_measure
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> test = ArrayData((np.ones((9, 4)), np.eye(3)[[0] * 9]), 4)
    >>> check_measure(error_measure(keras.metrics.F1Score(average="macro"), "mse"), model, test)
    >>> check_measure(error_measure("f1_score", "mse"), model, test)
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A metric must give one number. Received: error='1 - f1_score', \
which gives (3,). Give it an average, such as average="macro".
    """
    if not measure.needs_data:
        return
    copy = copy_model(model)
    try:
        measure.evaluate(copy, _first_rows(copy, test))
    except Exception:  # whatever a function raises on so few rows
        try:
            y_pred, y_true, weights = predict(copy, test)
            measure.of_outputs(copy, y_true, y_pred, weights)
        except InputError:
            raise
        except Exception as error:  # whatever a function of the user's raises
            raise InputError(
                "The error of a model must be computable from its predictions on the test data. "
                f"Received: error={measure.name!r}, which fails with "
                f"{type(error).__name__}: {first_line(error)} Give another error."
            ) from error


def _first_rows(model: Any, test: ArrayData | StreamData) -> ArrayData:
    batch = test.arrays if isinstance(test, ArrayData) else next(test.epoch(None, 0))
    rows = fixed_batch(model) or _ROWS
    return ArrayData(keras.tree.map_structure(lambda array: array[:rows], batch), rows)
