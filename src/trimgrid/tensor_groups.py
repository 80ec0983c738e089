"""The weights of a model's tensors as rows of keys that can be ranked, in a compiled step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from trimgrid.selection import magnitude_keys

# Up to this size a tensor's own code would take longer to compile than to run.
_SMALL = 4096


class TensorGroup(NamedTuple):
    """Tensors that are worked on by the same code: keys of all their weights in a row.

    `tensors`: how many they are. `owner`: to which of them each key belongs.
    """

    tensors: int
    keys: Any
    owner: Any

    def histogram(self, values: Any, counted: Any, number: int) -> Any:
        """How often each tensor has each value of 0..number - 1 where it counts, [tensors, number].

        `values` and `counted` belong to the keys.

        >>> group = TensorGroup(2, None, np.array([0, 0, 1], "int32"))
        >>> found = group.histogram(np.array([1, 1, 0], "int32"), np.array([True] * 3), 3)
        >>> ops.convert_to_numpy(found).tolist()
        [[0, 2, 0], [1, 0, 0]]
        """
        dropped = self.tensors * number
        places = ops.where(counted, self.owner * number + values, dropped)
        found = ops.segment_sum(ops.ones_like(places), places, num_segments=dropped + 1)
        return ops.reshape(ops.cast(found[:-1], "int32"), (self.tensors, number))


def grouped(weights: Sequence[Any], sizes: Any) -> tuple[list[TensorGroup], Any]:
    """All small tensors together, larger ones with those of their size; and where each tensor is.

    What is compiled for a group is the same however many tensors it has. `sizes` are those of
    `weights`. The keys are their magnitudes; the second result tells at which place of all groups'
    tensors in a row each one is, [T].

    >>> weights = [np.ones(5, "float32"), np.ones((90, 50), "float32"), np.ones(3, "float32")]
    >>> groups, order = grouped(weights, np.array([5, 4500, 3]))
    >>> [group.tensors for group in groups], order.tolist()
    ([2, 1], [0, 2, 1])
    """
    places: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        places.setdefault(0 if size <= _SMALL else int(size), []).append(place)
    groups = []
    for size, each in places.items():
        keys = ops.concatenate([magnitude_keys(weights[place]) for place in each])
        if size:  # nothing that is as long as a large tensor is to be part of the program
            owner = ops.arange(size * len(each), dtype="int32") // size
        else:
            numbers = np.arange(len(each), dtype=np.int32)
            owner = ops.convert_to_tensor(np.repeat(numbers, sizes[each]))
        groups.append(TensorGroup(len(each), keys, owner))
    return groups, np.argsort(np.concatenate(list(places.values())))
