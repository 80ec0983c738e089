"""The loss of predictions, of one output or of several, as Keras computes it in `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from trimgrid.errors import InputError

Key = str | int | None
"""An output's name or place; None is that of the only one."""


def by_output(structure: Any) -> dict[Key, Any]:
    """Return a structure's parts by output: those of a list, of a dict, or the only one.

    >>> by_output(["a", "b"]), by_output("a")
    ({0: 'a', 1: 'b'}, {None: 'a'})
    """
    if isinstance(structure, Mapping):
        return dict(structure)
    if isinstance(structure, list | tuple):
        return dict(enumerate(structure))
    return {None: structure}


def named_outputs(model: Any, structure: Any) -> Any:
    """Return a list of a model's outputs as a dict by the outputs' names.

    What is no list, or of another length, is returned as it is.

    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, [keras.layers.Dense(2, name="out")(inputs)])
    >>> named_outputs(model, [1.0])
    {'out': 1.0}
    """
    names = getattr(model, "output_names", None) or []
    if isinstance(structure, list | tuple) and len(structure) == len(names):
        return dict(zip(names, structure, strict=True))
    return structure


def total_loss(
    loss: Any, weights: Any, y_true: Any, y_pred: Any, sample_weight: Any = None
) -> float:
    """Return the sum of the outputs' losses, each times its weight.

    `loss`: a Keras loss, its name or a function, one for all outputs; or a list or dict with one
    for each output, None where an output has none. `weights`: None, a number, or a list or dict of
    them. `y_true`, `y_pred` and `sample_weight`: arrays, or lists or dicts of them, the latter also
    one array for all outputs. All examples are one batch: with a reduction other than the mean over
    examples Keras' `evaluate` depends on its batches.

    Raises `InputError` if the structures do not fit each other.

    >>> total_loss("mse", None, np.zeros((4, 1)), np.full((4, 1), 2.0))
    4.0
    """
    keys = list(by_output(y_pred))
    factors = for_outputs(weights, keys, "loss_weights")
    examples = for_outputs(sample_weight, keys, "the sample weights")
    total = 0.0
    for key, part, target, prediction in with_losses(loss, y_true, y_pred):
        target, prediction = _floats(target), _floats(prediction)
        function = loss_object(part, target, prediction)
        value = keras.ops.convert_to_numpy(function(target, prediction, examples[key]))
        factor = 1.0 if factors[key] is None else float(factors[key])
        total += factor * float(np.mean(value))  # without a reduction there are many
    return total


def with_losses(loss: Any, y_true: Any, y_pred: Any) -> Iterator[tuple[Key, Any, Any, Any]]:
    """Give the key, loss, target and prediction of each output that has a loss.

    Raises `InputError` if the structures do not fit each other.

    >>> [part[:2] for part in with_losses({"b": "mse"}, {"b": 1}, {"a": 2, "b": 3})]
    [('b', 'mse')]
    """
    predictions = by_output(y_pred)
    losses = for_outputs(loss, list(predictions), "loss")
    wanted = [key for key in predictions if losses[key] is not None]
    # Targets without a loss may be there or not; those of a list have their places.
    named = isinstance(y_true, Mapping) and set(wanted) <= set(y_true)
    keys = list(predictions)
    targets = y_true if named else for_outputs(y_true, keys, "the targets", shared=False)
    for key in wanted:
        yield key, losses[key], targets[key], predictions[key]


def for_outputs(part: Any, keys: list[Key], what: str, shared: bool = True) -> dict[Key, Any]:
    """Return what belongs to each output: what is no list and no dict, if shared, to all.

    A dict may leave outputs out, whose part is None then.

    Raises `InputError`, with `what` it is, if it does not fit the outputs.

    >>> for_outputs("mse", ["a", "b"], "loss")
    {'a': 'mse', 'b': 'mse'}
    """
    structured = isinstance(part, Mapping | list | tuple)
    if shared and not structured:
        return dict.fromkeys(keys, part)
    found = by_output(part)
    if len(keys) == len(found) == 1 and (None in keys or None in found or set(keys) == set(found)):
        return {keys[0]: next(iter(found.values()))}
    named = isinstance(part, Mapping) and shared and set(found) <= set(keys)
    if not named and set(found) != set(keys):
        raise InputError(
            f"{what[0].upper()}{what[1:]} must be given for the model's outputs. Received: "
            f"{list(found)} for the outputs {keys}. Give a dict by output where the outputs are a "
            "dict, a list where they are a list."
        )
    return {key: found.get(key) for key in keys}


def loss_object(loss: Any, y_true: Any, y_pred: Any) -> Any:
    """Return a loss as an object of Keras; "crossentropy" is told by the shapes, as in Keras.

    >>> loss_object("mae", np.zeros((4, 1)), np.zeros((4, 1))).name
    'mean_absolute_error'
    """
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        loss = f"{kind_of_labels(y_true, y_pred)}_crossentropy"
    found = keras.losses.get(loss)
    return found if isinstance(found, keras.losses.Loss) else _FunctionLoss(found)


def kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """Return "binary", "sparse_categorical" or "categorical", as Keras tells them by the shapes.

    >>> kind_of_labels(np.zeros(4), np.zeros((4, 10)))
    'sparse_categorical'
    """
    if y_pred.shape[-1] == 1:
        return "binary"
    sparse = len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1
    return "sparse_categorical" if sparse else "categorical"


class _FunctionLoss(keras.losses.Loss):  # type: ignore[misc]
    """The mean of a function's values, one for each example."""

    def __init__(self, function: Any) -> None:
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Bring both to the same rank, as Keras does, and call the function."""
        first, second = len(y_true.shape), len(y_pred.shape)
        if first == second + 1 and y_true.shape[-1] == 1:
            if second == 1:
                y_pred = keras.ops.expand_dims(y_pred, -1)
            else:
                y_true = keras.ops.squeeze(y_true, -1)
        elif second == first + 1 and y_pred.shape[-1] == 1:
            if first == 1:
                y_true = keras.ops.expand_dims(y_true, -1)
            else:
                y_pred = keras.ops.squeeze(y_pred, -1)
        return self.function(y_true, y_pred)


def _floats(array: Any) -> Any:
    """Take numbers of double precision in the type in which Keras takes them."""
    array = np.asarray(array)
    return array.astype(keras.config.floatx()) if array.dtype == np.float64 else array
