"""Whether targets fit an output of a model and its loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.output_losses import kind_of_labels

# By the words in the names that Keras gives to a loss: mse, mean_squared_error, MeanSquaredError.
_ELEMENTWISE = ("mse", "mae", "mape", "msle", "mean", "huber", "logcosh", "crossentropy", "bce")


def check_targets(targets: NDArray[Any], output: tuple[int, ...], loss: Any, name: str) -> None:
    """Check that targets fit an output of the shape `output` for each example, and the loss.

    Checked are the losses of Keras that compare output and target one to one, or by class numbers:
    the shape, that there is an output for each class, class numbers, and that binary targets lie
    between 0 and 1. What another loss takes is its own business; whether an output is a logit or
    a probability can't be known.

    Raises `InputError` that names `name`, and what was wanted and received.

    >>> check_targets(np.array([0, 3]), (3,), "sparse_categorical_crossentropy", "training data")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The labels of the training data must be classes of the model, \
0 to 2. Received: labels from 0 to 3.
    """
    label = _label(loss)
    if label in ("crossentropy", "ce") and output:
        label = kind_of_labels(targets, np.empty((1, *(size or 1 for size in output))))
        label = label.replace("_", "") + "crossentropy"
    if not from_keras(loss) or not any(word in label for word in _ELEMENTWISE):
        return
    sparse, classes = "sparse" in label, output[-1] if output else None
    if "categorical" in label and classes == 1:
        raise InputError(
            f"The loss must fit the model's output. Received: {label} on the {name}, which needs "
            "an output for each class, where the model has one in all. Take binary_crossentropy, "
            "or more outputs."
        )
    got, wanted = targets.shape[1:], output[:-1] if sparse else output
    if not _same_shape(got, wanted):
        raise InputError(
            f"The targets of the {name} must fit the model's output. "
            f"Received: shape {targets.shape}, where the loss takes {(None, *wanted)}."
        )
    if sparse and classes is not None:
        _check_labels(targets, classes, getattr(loss, "ignore_class", None), name)
    elif label.startswith(("binary", "bce")) and targets.size:
        low, high = targets.min(), targets.max()
        if low < 0 or high > 1:
            raise InputError(
                f"The targets of the {name} must lie between 0 and 1 for {label}. "
                f"Received: targets from {low} to {high}. Make them 0 and 1, or take "
                "sparse_categorical_crossentropy with an output for each class."
            )


def from_keras(loss: Any) -> bool:
    """Tell whether a loss is one of Keras' own, by name or as an object.

    >>> from_keras("mse"), from_keras(lambda y_true, y_pred: 0.0)
    (True, False)
    """
    module = getattr(loss, "__module__", None) or ""
    return isinstance(loss, str) or str(module).split(".")[0] == "keras"


def _label(loss: Any) -> str:
    label = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return str(label).lower().replace("_", "")


def _same_shape(got: tuple[int, ...], output: tuple[int | None, ...]) -> bool:
    """Tell whether shapes are the same but for a last dimension of 1; None fits any size."""

    def fits(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)

    return fits(got, output) or fits(got, (*output, 1)) or fits((*got, 1), output)


def _check_labels(labels: NDArray[Any], classes: int, ignored: int | None, name: str) -> None:
    known = labels[labels != ignored] if ignored is not None else labels
    if known.size and (fractions := known[known % 1 != 0]).size:
        raise InputError(
            f"The labels of the {name} must be whole numbers, 0 to {classes - 1}. "
            f"Received: {fractions.size} of {labels.size} labels that are none, such as "
            f"{fractions[0]}. Round them, or take a loss for numbers."
        )
    if known.size and (known.min() < 0 or known.max() >= classes):
        raise InputError(
            f"The labels of the {name} must be classes of the model, 0 to {classes - 1}. "
            f"Received: labels from {known.min()} to {known.max()}."
        )
