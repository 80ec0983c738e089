"""How far a run is: epochs done of all the trainings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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

from trimgrid.results import AttemptInfo


class Progress:
    """A bar on standard error, if that is a terminal, out of the way of what is printed.

    `trainings` counts the original and all attempts with their repeats, `epochs` those of each.

    >>> with Progress(trainings=3, epochs=2) as progress:
    ...     progress.on_epoch(["original"], 1, [0.5])
    ...     progress.on_epoch(["original"], 2, [0.4])
    ...     progress.on_epoch(["half", "most"], 1, [0.3, 0.7])
    >>> progress.done
    4
    """

    def __init__(self, trainings: int, epochs: int) -> None:
        self._epochs = epochs
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]},"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("original (unpruned)", total=trainings * epochs, loss="-")
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
        if epoch <= self._epoch:  # another group, unless the same begins anew with fewer members
            smaller = len(names) < len(self._names)
            if not (smaller and self._names[: len(names)] == tuple(names)):
                self._earlier += len(self._names) * self._epochs
        self._names, self._epoch = tuple(names), epoch
        several = len(set(names)) > 1
        finite = [float(loss) for loss in losses if math.isfinite(loss)]
        self.done = self._earlier + len(names) * epoch
        self._bar.update(
            self._task,
            description=f"{len(set(names))} attempts" if several else names[0],
            completed=self.done,
            loss=f"{statistics.median(finite):.2e}" if finite else "nan",
        )

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def print_block(self, info: AttemptInfo) -> None:
        self._bar.stop()
        info.print()
        print(flush=True)
        self._bar.start()
