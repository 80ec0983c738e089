"""How far a run is: epochs done of all the trainings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
        self._groups: dict[str, _Group] = {}

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def done(self) -> int:
        """The epochs of all trainings so far."""
        return sum(each.done for each in self._groups.values())

    def on_epoch(
        self, names: Sequence[str], epoch: int, losses: Sequence[float], group: str = ""
    ) -> None:
        """Move on by an epoch of the attempts that train together.

        `group`: tells apart who trains at the same time, one group of trainings after the other.
        """
        present = self._groups.setdefault(group, _Group())
        present.move_on(names, epoch, losses, self._length(names))
        training = [each for each in self._groups.values() if not each.ended] or [present]
        together = list(dict.fromkeys(name for each in training for name in each.names))
        several = len(together) > 1
        one = shortened(printable(together[0]), _NAME_WIDTH)
        finite = [loss for each in training for loss in each.losses if math.isfinite(loss)]
        loss = statistics.median(finite) if finite else None
        self._bar.update(
            self._task,
            description=f"{len(together)} attempts" if several else one,
            completed=self.done,
            loss="nan" if loss is None else f"{loss:.2e}",
        )
        if self._telling is not None:
            self._telling.on_epochs(together, self.done, loss, present.ended)

    def again(self, group: str) -> None:
        """Take back what a group has told: it begins once more."""
        self._groups.pop(group, None)

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


@dataclass
class _Group:
    """How far trainings are that one worker does, some at once and then the next."""

    earlier: int = 0  # epochs of those before the present ones
    names: tuple[str, ...] = ()
    epoch: int = 0
    length: int = 0
    losses: tuple[float, ...] = ()

    @property
    def done(self) -> int:
        return self.earlier + len(self.names) * self.epoch

    @property
    def ended(self) -> bool:
        return self.epoch == self.length

    def move_on(
        self, names: Sequence[str], epoch: int, losses: Sequence[float], length: int
    ) -> None:
        if tuple(names) != self.names or epoch <= self.epoch:
            # Others, unless the same begin anew with fewer members.
            smaller = len(names) < len(self.names)
            if not (smaller and self.names[: len(names)] == tuple(names)):
                self.earlier += len(self.names) * self.length
        self.names, self.epoch, self.length = tuple(names), epoch, length
        self.losses = tuple(float(loss) for loss in losses)
