"""How far a run is: epochs done of all the trainings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)

from trimgrid.report.text_widths import shortened
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.telling import Telling
from trimgrid.terminal_text import printable, printable_lines

_NAME_WIDTH = 40


class Progress:
    """A bar on standard error, if that is a terminal, out of the way of what is printed.

    `trainings` counts those of the attempts with their repeats, `epochs` those of each; the
    original, if it is trained, has `original_epochs`. `shown`: whether there is a bar, None for
    whether there is a terminal.

    >>> with Progress(trainings=2, epochs=2, original_epochs=2) as progress:
    ...     progress.on_epoch(["original (unpruned)"], 1, [0.5])
    ...     progress.on_epoch(["original (unpruned)"], 2, [0.4])
    ...     progress.on_epoch(["half", "most"], 1, [0.3, 0.7])
    >>> progress.done
    4
    """

    def __init__(
        self, trainings: int, epochs: int, original_epochs: int, shown: bool | None = None
    ) -> None:
        self._epochs = epochs
        self._original_epochs = original_epochs
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]},"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not (console.is_terminal if shown is None else shown),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._total = trainings * epochs + original_epochs
        self._task = self._bar.add_task("starting", total=self._total, loss="-")
        self._telling: Telling | None = None
        self.done = 0  # epochs of all trainings
        self._earlier = 0  # those of the groups before the present one
        self._names: tuple[str, ...] = ()
        self._epoch = 0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_epoch(self, names: Sequence[str], epoch: int, losses: Sequence[float]) -> None:
        """Move on by an epoch of the attempts that train together."""
        if tuple(names) != self._names or epoch <= self._epoch:
            # Another group, unless the same begins anew with fewer members.
            smaller = len(names) < len(self._names)
            if not (smaller and self._names[: len(names)] == tuple(names)):
                self._earlier += len(self._names) * self._length(self._names)
        self._names, self._epoch = tuple(names), epoch
        several = len(set(names)) > 1
        one = shortened(printable(names[0]), _NAME_WIDTH)
        finite = [float(loss) for loss in losses if math.isfinite(loss)]
        self.done = self._earlier + len(names) * epoch
        loss = statistics.median(finite) if finite else None
        self._bar.update(
            self._task,
            description=f"{len(set(names))} attempts" if several else one,
            completed=self.done,
            loss="nan" if loss is None else f"{loss:.2e}",
        )
        if self._telling is not None:
            self._telling.on_epochs(names, self.done, loss, epoch == self._length(names))

    @contextmanager
    def told(self, folder: Path) -> Iterator[None]:
        """Inside the block tell in a run directory, too, how far the run is.

        At its end all trainings have ended, also those that failed or were stopped early.
        """
        with Telling(folder, self._total) as self._telling:
            yield
            self._telling.all_ended()

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bar."""
        text = printable_lines(line)
        self._bar.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Take the bar away while something is printed."""
        self._bar.stop()
        yield
        self._bar.start()

    def _length(self, names: Sequence[str]) -> int:
        """The epochs of each of the trainings that train together."""
        return self._original_epochs if tuple(names) == (ORIGINAL,) else self._epochs
