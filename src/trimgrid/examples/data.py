"""What every example's data looks like, and how it is split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Split:
    """Data as (x, y) pairs of arrays; the first axis of both counts the samples.

    `train` is for training, `validation` to watch the training (`None` where an example has none),
    `test` for the error that is reported.

    >>> x = np.zeros((8, 1))
    >>> Split(train=(x[:6], x[:6]), validation=None, test=(x[6:], x[6:])).test[0].shape
    (2, 1)
    """

    train: Pair
    validation: Pair | None
    test: Pair


def split_indices(
    samples: int, test_share: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the shuffled indices of the samples to keep, and of those to set aside.

    The same indices as scikit-learn's `train_test_split(test_size=test_share, random_state=seed)`:
    of one permutation the first `ceil(test_share * samples)` are set aside.

    >>> keep, aside = split_indices(8, 0.25, seed=1)
    >>> keep.tolist(), aside.tolist()
    ([1, 6, 0, 4, 3, 5], [7, 2])
    """
    order = np.random.RandomState(seed).permutation(samples)
    aside = math.ceil(test_share * samples)
    return order[aside:], order[:aside]
