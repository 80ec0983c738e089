"""What is counted and shown of classes: which are confused, and which examples tell most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Answers:
    """What an attempt takes examples for, as short as it is shown.

    `counts`: how often each class was predicted as each, [class, predicted, count], if not never.
    `missing`: of how many examples no prediction is finite. `highest`: the highest class predicted.
    `each`: the class of each example, -1 where it is missing; None where examples are not shown.
    """

    counts: list[list[int]]
    missing: int
    highest: int
    each: NDArray[np.int32] | None

    @classmethod
    def of(cls, truth: NDArray[Any], predicted: NDArray[Any], shown: bool) -> Self:
        """Count what is predicted of the examples; `shown`: whether examples are shown.

        >>> Answers.of(np.array([0, 1, 1]), np.array([0, 1, -1]), True).counts
        [[0, 0, 1], [1, 1, 1]]
        """
        size = min(truth.size, predicted.size)
        there = predicted[:size] >= 0
        counts = confusion(truth[:size][there], predicted[:size][there])
        missing = int(size - np.count_nonzero(there))
        highest = int(predicted.max(initial=-1))
        return cls(counts, missing, highest, predicted.astype(np.int32) if shown else None)


def confusion(truth: NDArray[Any], predicted: NDArray[Any]) -> list[list[int]]:
    """Return how often each class was predicted as each: [class, predicted, count], if not never.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]))
    [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    """
    classes = 1 + max(int(truth.max(initial=0)), int(predicted.max(initial=0)))
    pairs, counts = np.unique(truth * classes + predicted, return_counts=True)
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
