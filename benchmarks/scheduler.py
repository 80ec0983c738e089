"""A cluster that works off units, simulated event by event: the policy of our executors.

Units are placed in their order on slots that are free, by a driver that does one thing at a time.
A node that fails loses what its slots trained since their last checkpoints; after the driver has
noticed, its units go on elsewhere, before those that have not begun. What a unit is, see
`trimgrid.executors.work`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimgrid.executors.work import MOST_LOSSES


@dataclass(frozen=True)
class Cluster:
    """Nodes of so many `slots`, all times in seconds.

    `start`: until a worker of a node that is there can do units. `data_bytes` travel to each node
    once, at `bandwidth` bytes a second. `between_failures`: the mean time of a node between two
    failures, which are exponential; None: they never fail. `repair`: until a node is there again.
    `detection`: until the driver notices. `driver`: its own time for each placing of a unit.
    `visits`: when nodes join and leave for good, in place of `nodes` that are there all the time.
    """

    nodes: int
    slots: int = 1
    start: float = 0.0
    data_bytes: float = 0.0
    bandwidth: float = 1e9
    between_failures: float | None = None
    repair: float = 0.0
    detection: float = 0.0
    driver: float = 0.0
    visits: Sequence[tuple[float, float]] | None = None

    @property
    def opening(self) -> float:
        """The time from a node's coming to its first unit."""
        return self.data_bytes / self.bandwidth + self.start


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    `makespan`: its seconds. `worked`, `lost`: slot seconds of work that counts, and that was lost.
    `failures`: of nodes. `given_up`, `unfinished`: units that were lost too often, and those for
    which there is no node any more.
    """

    makespan: float
    worked: float
    lost: float
    failures: int
    given_up: int
    unfinished: int

    def useful(self, slots: int) -> float:
        """The share of the time of so many slots in which they did what counts."""
        return self.worked / (slots * self.makespan) if self.makespan else 1.0


class Simulation:
    """One run.

    `units`: the seconds of training that each takes; `checkpoint`: those between two checkpoints.
    `seed`: of the failures.
    """

    def __init__(
        self, cluster: Cluster, units: Sequence[float], checkpoint: float = 60.0, seed: int = 0
    ) -> None:
        self._cluster = cluster
        self._checkpoint = checkpoint
        self._left = [float(each) for each in units]
        self._random = np.random.default_rng(seed)
        self._events: list[tuple[float, int, str, tuple[int, ...]]] = []
        self._order = itertools.count()
        self._waiting = deque(range(len(units)))
        self._free: deque[tuple[int, int, int]] = deque()  # node, slot, life of the node
        self._running: dict[tuple[int, int], tuple[int, float]] = {}  # slot to unit and its begin
        self._losses = [0] * len(units)
        self._driver_free = 0.0
        self._worked = self._lost = self._ended = 0.0
        self._failures = self._given_up = 0
        self._open = len(units)
        visits = cluster.visits or [(0.0, math.inf)] * cluster.nodes
        self._lives = [0] * len(visits)
        for node, (joins, leaves) in enumerate(visits):
            self._push(joins, "joins", node)
            if leaves < math.inf:
                self._push(leaves, "leaves", node)

    def run(self) -> Outcome:
        """Go on until all units are done or given up, or no node will ever come."""
        while self._open and self._events:
            now, _, kind, facts = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(now, *facts)
            self._place(now)
        return Outcome(
            self._ended, self._worked, self._lost, self._failures, self._given_up, self._open
        )

    def _push(self, time: float, kind: str, *facts: int) -> None:
        heapq.heappush(self._events, (time, next(self._order), kind, facts))

    def _place(self, now: float) -> None:
        while self._free and self._waiting:
            node, slot, life = self._free.popleft()
            if life != self._lives[node]:
                continue
            unit = self._waiting.popleft()
            begin = max(now, self._driver_free) + self._cluster.driver
            self._driver_free = begin
            self._running[node, slot] = unit, begin
            self._push(begin + self._left[unit], "done", node, slot, life)

    def _joins(self, now: float, node: int) -> None:
        for slot in range(self._cluster.slots):
            self._push(now + self._cluster.opening, "ready", node, slot, self._lives[node])
        if self._cluster.between_failures is not None:
            until = self._random.exponential(self._cluster.between_failures)
            self._push(now + until, "fails", node, self._lives[node])

    def _ready(self, now: float, node: int, slot: int, life: int) -> None:
        self._free.append((node, slot, life))

    def _done(self, now: float, node: int, slot: int, life: int) -> None:
        if life != self._lives[node]:
            return
        begin = self._running.pop((node, slot))[1]
        self._worked += now - begin
        self._end(now)
        self._free.append((node, slot, life))

    def _fails(self, now: float, node: int, life: int) -> None:
        if life == self._lives[node]:
            self._failures += 1
            self._leaves(now, node)
            self._push(now + self._cluster.repair, "joins", node)

    def _leaves(self, now: float, node: int) -> None:
        self._lives[node] += 1
        for slot in range(self._cluster.slots):
            if (node, slot) in self._running:
                self._lose(now, *self._running.pop((node, slot)))

    def _lose(self, now: float, unit: int, begin: float) -> None:
        trained = max(0.0, now - begin)
        kept = trained // self._checkpoint * self._checkpoint
        self._worked += kept
        self._lost += trained - kept
        self._left[unit] -= kept
        self._losses[unit] += 1
        if self._losses[unit] == MOST_LOSSES:
            self._given_up += 1
            self._end(now)
        else:
            self._push(now + self._cluster.detection, "noticed", unit)

    def _noticed(self, now: float, unit: int) -> None:
        self._waiting.appendleft(unit)

    def _end(self, now: float) -> None:
        self._open -= 1
        self._ended = now


def simulate(cluster: Cluster, units: Sequence[float], **options: Any) -> Outcome:
    """Simulate a run, see `Simulation`.

    >>> simulate(Cluster(nodes=2, start=5.0), [10.0, 10.0, 10.0]).makespan
    25.0
    """
    return Simulation(cluster, units, **options).run()
