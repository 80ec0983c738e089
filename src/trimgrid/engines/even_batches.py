"""Batches of any size for devices that share them evenly: filled up, and cut inside the step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np

from trimgrid.data.batches import count_examples
from trimgrid.data.sources import Batch

Step = Callable[[Any, Any], Any]
"""A step of a model on JAX, from the state and a batch."""


@dataclass(frozen=True)
class EvenBatches:
    """The sizes to which batches are filled up, by their own sizes; those that divide stay.

    Devices take equal shares of a batch, so that the last of an epoch may not divide among them.
    It is filled up with rows of its own, and the compiled step cuts it to its true size before it
    does anything: losses, metrics and normalizations see the true batch. A step knows a batch by
    its size alone, so each is filled up to a size that no other has.
    """

    filled: Mapping[int, int]

    @classmethod
    def among(cls, shares: int, sizes: Iterable[int]) -> Self:
        """Return how batches of these sizes are filled up for so many equal shares.

        >>> EvenBatches.among(4, [8, 8, 7, 2]).filled
        {2: 4, 7: 12}
        """
        known = set(sizes)
        filled: dict[int, int] = {}
        for size in sorted(known):
            to = -(-size // shares) * shares
            while to != size and (to in known or to in filled.values()):
                to += shares
            if to != size:
                filled[size] = to
        return cls(filled)

    @classmethod
    def here(cls, *data: Any) -> Self:
        """Return how the batches of data are filled up under the distribution that is current.

        `data`: what the engines read; None where there is none.

        >>> EvenBatches.here(None).filled
        {}
        """
        sizes = {size for each in data if each is not None for size in each.sizes}
        return cls.among(shares_of(keras.distribution.distribution()), sizes)

    def fill(self, batch: Batch) -> Batch:
        """Return a batch with so many rows that they can be shared; its rows come again.

        >>> EvenBatches({3: 4}).fill((np.array([1, 2, 3]),))[0].tolist()
        [1, 2, 3, 1]
        """
        rows = self.filled.get(count_examples(batch))
        if rows is None:
            return batch
        found: Batch = keras.tree.map_structure(
            lambda array: np.resize(array, (rows, *np.shape(array)[1:])), batch
        )
        return found

    def cut(self, step: Step) -> Step:
        """Return a step that does on filled batches what `step` does on their true rows.

        >>> sums = EvenBatches({3: 4}).cut(lambda state, batch: (batch[0].sum(), state))
        >>> int(sums(None, (np.array([1, 2, 3, 1]),))[0])
        6
        """
        true = {to: size for size, to in self.filled.items()}

        def cut_step(state: Any, batch: Any) -> Any:
            return step(state, keras.tree.map_structure(lambda a: a[: _true(a, true)], batch))

        return cut_step


AS_THEY_ARE = EvenBatches({})
"""For a single device."""


def _true(array: Any, true: Mapping[int, int]) -> int:
    rows = int(array.shape[0])
    return true.get(rows, rows)


def shares_of(distribution: Any) -> int:
    """Return among how many devices, or groups of them, a distribution shares out a batch.

    >>> shares_of(None)
    1
    """
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return int(mesh.shape[list(mesh.axis_names).index(distribution.batch_dim_name)])
