"""Work that needs random numbers without touching the caller's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed Python's and NumPy's global generators inside the block, restore them after it.

    Keras takes the seeds of initializers and of random layers from Python's generator when they
    are created, so building or copying a model inside the block is repeatable and leaves no trace.

    >>> random.seed(1)
    >>> before = random.getstate()
    >>> with isolated_randomness(7):
    ...     drawn = random.random()
    >>> random.getstate() == before
    True
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
