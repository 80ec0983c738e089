"""Whether data fits a model, found out before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.data.batches import Arrays, count_examples, named_arrays
from trimgrid.data.target_checks import check_targets, from_keras
from trimgrid.errors import InputError, first_line
from trimgrid.models import copy_model
from trimgrid.output_losses import named_outputs, with_losses

_PIECE = 2**22


def check_data(model: Any, data: Arrays, loss: Any, name: str) -> None:
    """Check that inputs fit the model, and targets the model's output and the loss.

    All must be finite numbers, but for the targets of a loss that is not Keras': what it takes is
    its own business. Targets are checked as `check_targets` does, each of several against its
    output.

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
    inputs, targets, *weights = keras.tree.map_structure(np.asarray, data)
    own_loss = not all(from_keras(each) for each in keras.tree.flatten(loss) if each is not None)
    for part, array in named_arrays((inputs, targets, *weights)):
        _check_numbers(array, part, name, finite=not (own_loss and part.startswith("targets")))
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
        predicted = output_of(copy, keras.tree.map_structure(lambda array: array[:rows], inputs))
    except Exception as error:  # whatever a layer raises on a shape that it can't take
        raise InputError(
            f"The inputs of the {name} must fit the model. Received: inputs on which "
            f"{model.name!r} fails with {type(error).__name__}: {first_line(error)}"
        ) from error
    if isinstance(loss, Mapping) or isinstance(targets, Mapping):
        predicted, targets = (named_outputs(model, each) for each in (predicted, targets))
    for key, part, target, output in with_losses(loss, targets, predicted):
        # Structures in structures are left to Keras.
        if isinstance(target, np.ndarray) and hasattr(output, "shape"):
            where = name if key is None else f"{name} for the output {key!r}"
            check_targets(target, tuple(output.shape[1:]), part, where)


def _check_numbers(array: NDArray[Any], part: str, name: str, finite: bool) -> None:
    if array.dtype == object:
        raise InputError(
            f"The {part} of the {name} must be numbers. Received: an array of type object, which "
            "holds Python objects such as rows of different lengths. Pad or convert them."
        )
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise InputError(
            f"The {part} of the {name} must be numbers. Received: an array of type {array.dtype}."
        )
    if not finite or array.dtype.kind in "biu":
        return
    # In pieces: the answer for all values at once would take a byte for each of them.
    rows = max(1, _PIECE * len(array) // max(1, array.size))
    pieces = (array[start : start + rows] for start in range(0, len(array), rows))
    bad = sum(piece.size - int(np.count_nonzero(np.isfinite(piece))) for piece in pieces)
    if bad:
        raise InputError(
            f"The {part} of the {name} must be finite. Received: NaN or infinity in {bad} of "
            f"{array.size} values. Remove or replace them."
        )


def output_of(model: Any, inputs: Any) -> Any:
    """Return a model's output for inputs, at best as symbols, which have its shape only.

    A real call compiles each operation. Either changes the model: give a copy.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> output_of(model, np.zeros((3, 4))).shape
    (3, 2)
    """
    try:
        return model(
            keras.tree.map_structure(lambda a: keras.KerasTensor(a.shape, str(a.dtype)), inputs)
        )
    except Exception:  # a model may not be made for symbols; whether the inputs fit, a call tells
        return model(inputs)
