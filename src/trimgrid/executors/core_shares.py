"""Which cores each worker of a machine may use."""

from __future__ import annotations

import os
from random import SystemRandom

from trimgrid.cores import usable_cores


def core_shares(workers: int) -> list[list[int]]:
    """Return the cores of each worker: as many for each, none in common while there are enough.

    Empty lists where processes can't be bound to cores. The shares depend on the number of workers
    and not of units, so that a run that goes on has the same number of threads as before.

    >>> shares = core_shares(1)
    >>> len(shares), len(shares[0]) in (0, usable_cores())
    (1, True)
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return [[] for _ in range(workers)]
    cores = sorted(os.sched_getaffinity(0))
    if (quota := usable_cores()) < len(cores):
        # Other containers must not end up on the same ones. Not the generator that users seed.
        cores = sorted(SystemRandom().sample(cores, quota))
    size = max(1, len(cores) // workers)
    return [
        [cores[(worker * size + place) % len(cores)] for place in range(size)]
        for worker in range(workers)
    ]
