"""How a model is trained: the same settings for the original and for every attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError
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

    Raises `InputError` for epochs or a batch size below 1 and a negative seed.

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
        self.data = data
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
        shapes = ", ".join(str(tuple(np.shape(array))) for array in arrays)
        raise InputError(
            "Inputs and targets must have the same number of rows, and at least one. "
            f"Received: arrays of shape {shapes}."
        )
    return rows[0]


def check_data(model: Any, data: Arrays, loss: Any, name: str) -> None:
    """Check that inputs fit the model, and targets the model's output and the loss.

    Raises `InputError` that names `name` ("training data"), the shapes wanted and received.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> check_data(model, (np.zeros((8, 3)), np.zeros((8, 1))), "mse", "training data")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The inputs of the training data must fit the model. \
Received: shape (8, 3), where the model takes (None, 4).
    """
    count_examples(data)
    inputs, targets = data
    spec = getattr(model, "input_shape", None)
    if isinstance(spec, tuple) and not isinstance(inputs, (dict, list, tuple)):
        shape = tuple(np.shape(inputs))
        known = zip(shape[1:], spec[1:], strict=False)
        if len(shape) != len(spec) or any(want not in (None, got) for got, want in known):
            raise InputError(
                f"The inputs of the {name} must fit the model. "
                f"Received: shape {shape}, where the model takes {spec}."
            )
    try:
        row = keras.tree.map_structure(lambda array: np.asarray(array)[:1], inputs)
        predicted = keras.tree.map_structure(keras.ops.convert_to_numpy, model(row))
    except Exception as error:  # whatever a layer raises on a shape that it can't take
        raise InputError(
            f"The inputs of the {name} must fit the model. Received: inputs on which "
            f"{model.name!r} fails with {type(error).__name__}: {error}"
        ) from error
    if isinstance(predicted, np.ndarray) and isinstance(targets, np.ndarray):
        _check_targets(targets, predicted.shape[1:], loss, name)


def _check_targets(targets: NDArray[Any], output: tuple[int, ...], loss: Any, name: str) -> None:
    got = targets.shape[1:]
    sparse = "sparse" in (loss if isinstance(loss, str) else type(loss).__name__).lower()
    wanted = output[:-1] if sparse else output
    if got not in {wanted, (*wanted, 1)} and (*got, 1) != wanted:
        raise InputError(
            f"The targets of the {name} must fit the model's output. "
            f"Received: shape {targets.shape}, where the loss takes {(None, *wanted)}."
        )
    if sparse and targets.size and not 0 <= targets.min() <= targets.max() < output[-1]:
        raise InputError(
            f"The labels of the {name} must be classes of the model, 0 to {output[-1] - 1}. "
            f"Received: labels from {targets.min()} to {targets.max()}."
        )
