"""Batches of arrays in an order that depends only on a seed and the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError

Arrays: TypeAlias = tuple[Any, ...]
"""Inputs, targets and, if examples do not weigh the same, their weights: arrays, or lists or dicts
of arrays, with one row for each example."""


def epoch_order(examples: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return the order in which an epoch takes the examples.

    Keras' own shuffling draws from the global random state of the backend, which differs between
    backends and between the first and the second attempt.

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
        shapes = ", ".join(
            f"{tuple(np.shape(array))}{' of ' + name if ' ' in name else ''}"
            for name, array in named_arrays(data)[:6]
        )
        shapes += ", ... Give arrays, not lists of numbers" if len(arrays) > 6 else ""
        raise InputError(
            "Inputs and targets must have the same number of rows, and at least one. "
            f"Received: arrays of shape {shapes}."
        )
    return rows[0]


def named_arrays(data: Arrays) -> list[tuple[str, Any]]:
    """Return each array with a name: "inputs", "targets", "weights", and which of several.

    >>> [name for name, _ in named_arrays(({"a": np.zeros(3), "b": np.zeros(3)}, np.zeros(3)))]
    ["inputs 'a'", "inputs 'b'", 'targets']
    """
    parts = zip(("inputs", "targets", "weights"), data, strict=False)
    return [each for name, part in parts for each in _named(name, part)]


def _named(name: str, part: Any) -> list[tuple[str, Any]]:
    if isinstance(part, Mapping):
        inner: list[tuple[Any, Any]] = list(part.items())
    elif isinstance(part, list | tuple):
        inner = list(enumerate(part))
    else:
        return [(name, part)]
    return [each for key, value in inner for each in _named(f"{name} {key!r}", value)]
