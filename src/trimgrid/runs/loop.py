"""The loop of a run: train what is missing, measure it, and give the results in their order."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trimgrid.engines.engine import Engine
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.errors import RunError
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.halving import Halving
from trimgrid.models import copy_model
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.evaluating import Evaluate
from trimgrid.runs.measuring import Measured, Measurer, Repeats
from trimgrid.scratch import scratch_folder
from trimgrid.training import Task


class Keeper(Protocol):
    """Keeps what a run has finished, so that the next run need not do it again."""

    @property
    def work(self) -> Path:
        """The folder for files that are not finished; on the disk of what is kept."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The trainings under way."""

    @property
    def choices(self) -> Path:
        """The folder for what the engine's choices were made by; it need not exist."""

    def training_id(self, name: str, repeat: int) -> str:
        """Return the id of one training of an attempt; repeats count from 0."""

    def finished(self, name: str) -> AttemptInfo | None:
        """Return the result of an attempt that was finished before, else None."""

    def load_original(self, model: Any) -> None:
        """Put the weights of the finished original into a copy of it."""

    def keep(self, measured: Measured, info: AttemptInfo) -> AttemptInfo:
        """Keep a result and its files for good; return the result as it is kept."""


@dataclass
class Loop:
    """A run whose input is checked: `tasks` are the trainings of the attempts not yet finished.

    `engine` is None where nothing is left to train, `original` where the model is trained already.
    `halving`: stops attempts that are hopeless.
    """

    model: Any
    engine: Engine | None
    original: Task | None
    tasks: Sequence[Task]
    repeats: int
    on_epoch: OnEpoch | None
    keeper: Keeper | None
    halving: Halving | None = None
    shrink: bool = False

    def results(
        self,
        names: Sequence[str],
        known: Mapping[str, AttemptInfo | None],
        evaluate: Evaluate,
        converter: TFLiteConverter | None,
        first_rows: Any,
    ) -> Generator[AttemptInfo, None, None]:
        """Yield the results in the order of `names`: those known, and the others as they come."""
        done = {name: info for name, info in known.items() if info is not None}
        unfinished: list[Measured] = []
        following = iter(names)
        wanted = next(following)

        def ready(wait: bool) -> Iterator[AttemptInfo]:
            """Keep what is finished, whatever its turn, and yield those whose turn it is."""
            nonlocal wanted
            if wait:
                _wait_for_one(unfinished)
            for each in [each for each in unfinished if each.done()]:
                unfinished.remove(each)
                info = each.result()
                done[info.name] = info if self.keeper is None else self.keeper.keep(each, info)
            while wanted in done:
                yield done.pop(wanted)
                wanted = next(following, "")

        yield from ready(wait=False)
        if wanted == "":
            return
        work = None if self.keeper is None else self.keeper.work
        with scratch_folder(work) as folder:
            measurer = Measurer(self.model, evaluate, converter, first_rows, folder, self.shrink)
            for measured in self._measured(measurer, known[ORIGINAL]):
                unfinished.append(measured)
                yield from ready(wait=False)
            while unfinished:
                yield from ready(wait=True)

    def _measured(self, measurer: Measurer, original: AttemptInfo | None) -> Iterator[Measured]:
        """Train and measure what is missing."""
        if original is None:
            trained = self._train_original()
            weights = trained.model.get_weights()
            yield measurer.measure(ORIGINAL, [measurer.evaluate(trained)])
        elif self.tasks:
            assert self.keeper is not None
            if original.keras_size is None:
                raise RunError(
                    "Attempts begin from the original, whose result can't be read. Received: "
                    f"{original.status.rstrip('.')}. Take another run directory."
                )
            copy = copy_model(self.model)
            self.keeper.load_original(copy)
            weights = copy.get_weights()
        if not self.tasks:
            return
        assert self.engine is not None
        waiting: dict[int, Repeats] = {}
        for place, trained in self.engine.train(
            self.tasks, weights, self.on_epoch, self._checkpoints(), self.halving
        ):
            attempt = place // self.repeats
            found = waiting.setdefault(attempt, {})
            found[place] = measurer.evaluate(trained)
            if len(found) == self.repeats:
                ordered = [found[each] for each in sorted(found)]
                task = self.tasks[place]
                yield measurer.measure(task.name, ordered, task.structure)
                del waiting[attempt]

    def _train_original(self) -> Trained:
        if self.original is None:
            return Trained(copy_model(self.model), {}, None)
        assert self.engine is not None
        ((_, trained),) = self.engine.train(
            [self.original], None, self.on_epoch, self._checkpoints()
        )
        if trained.failure is not None:
            raise RunError(f"The original model could not be trained: {trained.failure}.")
        return trained

    def _checkpoints(self) -> Checkpoints | None:
        return None if self.keeper is None else self.keeper.checkpoints


def _wait_for_one(unfinished: Sequence[Measured]) -> None:
    if not any(each.done() for each in unfinished):
        waiting_for = [conversion for each in unfinished for conversion in each.waiting_for]
        wait(waiting_for, return_when=FIRST_COMPLETED)
