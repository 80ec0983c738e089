"""The running process tells in the run directory how far it is, for `trimgrid watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from trimgrid.run_directory.progress_file import RunProgress, Work, read_progress, write_progress
from trimgrid.runs.checking import ORIGINAL

_EVERY = 0.5  # seconds
_NAMES = 3


class Telling:
    """Keeps the progress file of a run directory up to date inside a `with` block.

    It is written at the block's begin and end, where a group of trainings ends, and else at most
    every half second of the `clock`. `total` counts the epochs of all trainings to be done. What
    can't be written is not told: a full disk is for the results to complain of.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Telling(Path(folder), total=4) as telling:
    ...         telling.on_epochs(["half", "most"], 4, 0.5, group_ended=True)
    ...         print(read_progress(folder).state)
    ...     print(read_progress(folder).state)
    measuring
    finished
    """

    def __init__(
        self, folder: Path, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._total = total
        self._clock = clock
        self._work = Work.TRAINING if total else Work.MEASURING
        self._done = 0
        self._names: tuple[str, ...] = ()
        self._loss: float | None = None
        self._pace = _Pace()

    def __enter__(self) -> Self:
        before = read_progress(self._folder)
        self._earlier = 0.0 if before is None else before.seconds
        self._start, self._began = self._clock(), datetime.now(UTC)
        self._tell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._work = Work.FINISHED if kind is None else Work.STOPPED
        self._tell()

    def on_epochs(
        self, names: Sequence[str], done: int, loss: float | None, group_ended: bool
    ) -> None:
        """Take note of an epoch of the trainings that train together.

        `done`: epochs of all trainings so far. `loss`: the median of the group.
        """
        self._names, self._done, self._loss = tuple(names), done, loss
        self._pace.note(self._names, done, self._clock())
        if done >= self._total:
            self._work = Work.MEASURING
        if group_ended or self._clock() - self._last >= _EVERY:
            self._tell()

    def all_ended(self) -> None:
        """Take note that no training is left, however far each came."""
        self._done = self._total

    def _tell(self) -> None:
        self._last = self._clock()
        distinct = tuple(dict.fromkeys(self._names)) if self._work is Work.TRAINING else ()
        seconds = self._last - self._start
        progress = RunProgress(
            self._work,
            self._began,
            datetime.now(UTC),
            self._done,
            self._total,
            distinct[:_NAMES],
            len(distinct),
            self._loss,
            self._pace.seconds_per_epoch,
            self._earlier + seconds,
            self._earlier,
        )
        with suppress(OSError):
            write_progress(self._folder, progress)


class _Pace:
    """What an epoch of one training takes, since trainings like the present ones began.

    The first epoch is left out: it waits for the compiler. So is the original where it trains by
    itself: its epochs say little on those of attempts that train together.
    """

    def __init__(self) -> None:
        self.seconds_per_epoch: float | None = None
        self._kind: tuple[bool, int] | None = None
        self._first, self._since = 0, 0.0

    def note(self, names: Sequence[str], done: int, now: float) -> None:
        original = tuple(names) == (ORIGINAL,)
        kind = (original, len(names))
        if kind != self._kind or done < self._first:
            self._kind, self._first, self._since = kind, done, now
        if not original and done > self._first:
            self.seconds_per_epoch = (now - self._since) / (done - self._first)
