"""The error of a model, by a function that gives it with or without the predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np

from trimgrid.errors import InputError

Evaluate: TypeAlias = Callable[[Any], Any]
"""From a trained model to its error, or to its predictions on the test data and their error."""


def evaluated(evaluate: Evaluate, model: Any) -> tuple[Any, float]:
    """Return the predictions of a model, None where they are not given, and its error.

    Raises `InputError` if the function gives neither an error nor predictions and error.

    >>> evaluated(lambda model: ([1.0], 0.5), None)[1], evaluated(lambda model: 0.25, None)
    (0.5, (None, 0.25))
    """
    found = evaluate(model)
    predictions, error = found if isinstance(found, tuple) and len(found) == 2 else (None, found)
    try:
        error = float(error)
    except (TypeError, ValueError) as problem:
        raise InputError(
            "evaluate must give the error of a model, a number, or predictions and error. "
            f"Received: {type(found).__name__}. Return predictions, error."
        ) from problem
    if predictions is not None:
        predictions = keras.tree.map_structure(np.asarray, predictions)
    return predictions, error
