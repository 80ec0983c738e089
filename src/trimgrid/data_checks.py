"""Whether data fits a model, found out before anything is trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.batches import Arrays, count_examples
from trimgrid.errors import InputError, first_line
from trimgrid.models import copy_model


def check_data(model: Any, data: Arrays, loss: Any, name: str) -> None:
    """Check that inputs fit the model, and targets the model's output and the loss.

    Targets are checked for one output and the losses of Keras that compare output and target one
    to one, or by class numbers; what another loss takes is its own business.

    Raises `InputError` that names `name` ("training data"), the shapes wanted and received.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> check_data(model, (np.zeros((8, 3)), np.zeros((8, 1))), "mse", "training data")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The inputs of the training data must fit the model. \
Received: shape (8, 3), where the model takes (None, 4).
    """
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise InputError(
            f"The {name} must be a pair of inputs and targets, or with sample weights a triple. "
            f"Received: {type(data).__name__} of length {len(data)}. Give (x, y) or "
            "(x, y, weights)."
        )
    count_examples(data)
    inputs, targets = keras.tree.map_structure(np.asarray, data[:2])
    for array in keras.tree.flatten((inputs, targets)):
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise InputError(
                f"The {name} must be numbers. Received: an array of type {array.dtype}."
            )
    spec = getattr(model, "input_shape", None)
    if isinstance(spec, tuple) and isinstance(inputs, np.ndarray):
        known = zip(inputs.shape[1:], spec[1:], strict=False)
        if inputs.ndim != len(spec) or any(want not in (None, got) for got, want in known):
            raise InputError(
                f"The inputs of the {name} must fit the model. "
                f"Received: shape {inputs.shape}, where the model takes {spec}."
            )
    rows = (spec[0] if isinstance(spec, tuple) else None) or 1
    # On a copy: a call may move on the state of a recurrent layer.
    copy = copy_model(model)
    try:
        predicted = _output(copy, keras.tree.map_structure(lambda array: array[:rows], inputs))
    except Exception as error:  # whatever a layer raises on a shape that it can't take
        raise InputError(
            f"The inputs of the {name} must fit the model. Received: inputs on which "
            f"{model.name!r} fails with {type(error).__name__}: {first_line(error)}"
        ) from error
    if isinstance(targets, np.ndarray) and not isinstance(predicted, list | tuple | dict):
        _check_targets(targets, tuple(predicted.shape[1:]), loss, name)


def _output(model: Any, inputs: Any) -> Any:
    """The output for some inputs, at best its shape only: a real call compiles each operation."""
    try:
        return model(
            keras.tree.map_structure(lambda a: keras.KerasTensor(a.shape, str(a.dtype)), inputs)
        )
    except Exception:  # a model may not be made for symbols; whether the inputs fit, a call tells
        return model(inputs)


# By the words in the names that Keras gives to a loss: mse, mean_squared_error, MeanSquaredError.
_ELEMENTWISE = ("mse", "mae", "mape", "msle", "mean", "huber", "logcosh", "crossentropy")


def _check_targets(targets: NDArray[Any], output: tuple[int, ...], loss: Any, name: str) -> None:
    label = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    label = label.lower().replace("_", "")
    from_keras = isinstance(loss, str) or str(getattr(loss, "__module__", "")).startswith("keras")
    if not from_keras or not any(word in label for word in _ELEMENTWISE):
        return
    sparse = "sparse" in label
    got, wanted = targets.shape[1:], output[:-1] if sparse else output
    if got not in {wanted, (*wanted, 1)} and (*got, 1) != wanted:
        raise InputError(
            f"The targets of the {name} must fit the model's output. "
            f"Received: shape {targets.shape}, where the loss takes {(None, *wanted)}."
        )
    if sparse:
        _check_labels(targets, output[-1], getattr(loss, "ignore_class", None), name)


def _check_labels(labels: NDArray[Any], classes: int, ignored: int | None, name: str) -> None:
    known = labels[labels != ignored] if ignored is not None else labels
    if known.size and (known.min() < 0 or known.max() >= classes or (known % 1 != 0).any()):
        raise InputError(
            f"The labels of the {name} must be classes of the model, 0 to {classes - 1}. "
            f"Received: labels from {known.min()} to {known.max()}."
        )
