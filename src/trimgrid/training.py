"""How a model is trained: the same settings for the original and for every attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError, first_line
from trimgrid.models import copy_model
from trimgrid.schedules import check_integer

Arrays = tuple[Any, Any]
"""Inputs and targets: arrays, or lists or dicts of arrays, with one row for each example."""


@dataclass(frozen=True)
class Training:
    """The settings of a training, shared by the original and all attempts.

    `loss`: a Keras loss or its name. `optimizer`: a Keras optimizer or its name; every training
    gets a fresh one made from its config, the given one is never used itself. `epochs` and
    `batch_size` count; the last batch of an epoch may be smaller. `seed` determines the order of
    the data and the random layers. `metrics`: names of Keras metrics for the history.

    Raises `InputError` for epochs or a batch size below 1, a negative seed, and unknown names.

    >>> Training(loss="mse", epochs=100, batch_size=80).steps(480)
    600
    """

    loss: Any
    optimizer: Any = "adam"
    epochs: int = 1
    batch_size: int = 32
    seed: int = 0
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, value in ((keras.losses, self.loss), (keras.optimizers, self.optimizer)):
            if isinstance(value, str):
                try:
                    kind.get(value)
                except ValueError as error:
                    raise InputError(
                        "A loss or optimizer given by name must be one of Keras'. "
                        f"Received: {value!r}. Give a known name or the object."
                    ) from error
        for name, minimum in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), minimum))

    def steps(self, examples: int) -> int:
        """Return the number of batches that training on so many examples takes in all."""
        return math.ceil(examples / self.batch_size) * self.epochs

    def fresh_optimizer(self) -> Any:
        """Return a new optimizer without any state."""
        return fresh_optimizer(self.optimizer)


def fresh_optimizer(optimizer: Any) -> Any:
    """Return a new Keras optimizer from a name, a config or another optimizer's config.

    >>> adam = keras.optimizers.Adam(0.01)
    >>> fresh_optimizer(adam) is adam
    False
    """
    optimizer = keras.optimizers.get(optimizer)
    return optimizer.__class__.from_config(optimizer.get_config())


class ShuffledBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of arrays in an order that depends only on the seed and the epoch.

    Keras' own shuffling draws from the global random state of the backend, which differs between
    backends and between the first and the second attempt. Give it to `fit` with `shuffle=False`.

    >>> batches = ShuffledBatches((np.arange(5.0), np.arange(5.0)), batch_size=2, seed=0)
    >>> len(batches), sorted(float(x) for i in range(3) for x in batches[i][0])
    (3, [0.0, 1.0, 2.0, 3.0, 4.0])
    """

    def __init__(self, data: Arrays, batch_size: int, seed: int) -> None:
        super().__init__()
        self.data = keras.tree.map_structure(np.asarray, data)
        self.batch_size = batch_size
        self.seed = seed
        self.examples = count_examples(data)
        self.epoch = 0
        self.order = epoch_order(self.examples, seed, 0)

    def __len__(self) -> int:
        return math.ceil(self.examples / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self.data)

    def on_epoch_end(self) -> None:
        """Shuffle anew."""
        self.epoch += 1
        self.order = epoch_order(self.examples, self.seed, self.epoch)


def epoch_order(examples: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return the order in which an epoch takes the examples.

    >>> bool((epoch_order(8, 1, 0) == epoch_order(8, 1, 0)).all())
    True
    """
    return np.random.default_rng([seed, epoch]).permutation(examples)


def count_examples(data: Arrays) -> int:
    """Return how many rows the arrays have.

    Raises `InputError` if they differ in that or have none.

    >>> count_examples((np.zeros((7, 2)), np.zeros(7)))
    7
    """
    arrays = keras.tree.flatten(data)
    rows = sorted({len(array) if np.ndim(array) else 0 for array in arrays})
    if len(rows) != 1 or rows[0] == 0:
        shapes = ", ".join(str(tuple(np.shape(array))) for array in arrays[:6])
        shapes += ", ... Give arrays, not lists of numbers" if len(arrays) > 6 else ""
        raise InputError(
            "Inputs and targets must have the same number of rows, and at least one. "
            f"Received: arrays of shape {shapes}."
        )
    return rows[0]


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
    if not isinstance(data, tuple) or len(data) != 2:
        raise InputError(
            f"The {name} must be a pair of inputs and targets. "
            f"Received: {type(data).__name__} of length {len(data)}. Give (x, y)."
        )
    count_examples(data)
    inputs, targets = keras.tree.map_structure(np.asarray, data)
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
        predicted = copy(keras.tree.map_structure(lambda array: array[:rows], inputs))
    except Exception as error:  # whatever a layer raises on a shape that it can't take
        raise InputError(
            f"The inputs of the {name} must fit the model. Received: inputs on which "
            f"{model.name!r} fails with {type(error).__name__}: {first_line(error)}"
        ) from error
    if isinstance(targets, np.ndarray) and not isinstance(predicted, list | tuple | dict):
        _check_targets(targets, tuple(predicted.shape[1:]), loss, name)


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
