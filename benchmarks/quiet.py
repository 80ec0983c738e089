"""Measuring on a machine that others use too: wait for a quiet moment, and repeat what they spoilt.

What is repeated is decided by the processor time that other processes took, never by the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import TypeVar

import psutil

T = TypeVar("T")
_QUIET_CORES = 0.1
_LOOK_SECONDS = 0.3  # /proc counts in hundredths of a second


@dataclass
class Quiet:
    """Takes measurements while nobody else works, and counts those in which somebody did.

    `patience`: seconds to wait for quiet in all. `tries`: how often one measurement is taken at
    most; of several the least disturbed one counts.
    """

    patience: float = 900
    tries: int = 4
    measurements: int = 0
    disturbed: int = 0

    def measure(self, action: Callable[[], T]) -> T:
        """Return what `action` returns when nobody disturbs it, or disturbs it least."""
        found = []
        for _ in range(self.tries):
            self._wait()
            found.append(watched(action))
            if found[-1][1] <= _QUIET_CORES:
                break
        result, others = min(found, key=lambda each: each[1])
        self.measurements += 1
        self.disturbed += others > _QUIET_CORES
        return result

    def note(self) -> str:
        """Say in a few words how quiet it was."""
        return (
            f"{self.disturbed} of {self.measurements} measurements were taken while other "
            f"processes used more than {_QUIET_CORES} cores"
        )

    def _wait(self) -> None:
        while self.patience > 0:
            start = perf_counter()
            if watched(lambda: sleep(_LOOK_SECONDS))[1] <= _QUIET_CORES:
                return
            self.patience -= perf_counter() - start


def watched(action: Callable[[], T]) -> tuple[T, float]:
    """Return what `action` returns, and how many cores others used meanwhile, on average.

    Time that a virtual machine's host did not give counts as the others'.
    """
    start, busy, own = perf_counter(), _busy_seconds(), _own_seconds()
    result = action()
    own, busy = _own_seconds() - own, _busy_seconds() - busy
    # At least one look long, or the coarse counters would make much of nothing.
    seconds = max(perf_counter() - start, _LOOK_SECONDS)
    return result, max(busy - own, 0.0) / seconds


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    working = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(float(getattr(times, kind, 0)) for kind in working)


def _own_seconds() -> float:
    """Return the processor time of this process and its descendants, ended ones included."""
    total = 0.0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look
        own = (times.user, times.system, times.children_user, times.children_system)
        total += sum(float(seconds) for seconds in own)
    return total
