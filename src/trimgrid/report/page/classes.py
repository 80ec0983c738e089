"""What is counted and shown of classes: which are confused, and which examples tell most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> list[list[int]]:
    """Return how often each class was predicted as each: [class, predicted, count], if not never.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    """
    size = min(truth.size, predicted.size)
    inside = np.clip(predicted[:size], 0, classes - 1)
    pairs, counts = np.unique(truth[:size] * classes + inside, return_counts=True)
    return [
        [int(pair) // classes, int(pair) % classes, int(count)]
        for pair, count in zip(pairs, counts, strict=True)
    ]


def most_telling(
    truth: NDArray[Any], predicted: Sequence[NDArray[Any]], at_most: int
) -> NDArray[np.int64]:
    """Return the examples on which attempts differ most in being right, then the first ones.

    >>> truth = np.array([0, 1, 1])
    >>> most_telling(truth, [np.array([0, 1, 0]), np.array([0, 1, 1])], 2).tolist()
    [0, 2]
    """
    size = min([truth.size, *(each.size for each in predicted)])
    wrong = sum((each[:size] != truth[:size]).astype(float) for each in predicted)
    share = np.asarray(wrong) / max(1, len(predicted)) * np.ones(size)
    order = np.lexsort((np.arange(size), -np.minimum(share, 1 - share)))
    return np.sort(order[:at_most]).astype(np.int64)
