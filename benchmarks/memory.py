"""Peak memory of a process and its descendants, sampled while it works.

It is the sum of resident sizes: pages that two processes share count twice, so it errs upwards.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import Self

import psutil

SAMPLE_SECONDS = 0.05


class PeakMemory:
    """Samples in a thread, inside a `with` block; then `bytes` holds the largest sum."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._done = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.bytes = max(self.bytes, _tree_bytes(self._pid))
            if self._done.wait(SAMPLE_SECONDS):
                return


def _tree_bytes(pid: int) -> int:
    total = 0
    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look
    return total
