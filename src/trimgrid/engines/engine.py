"""What all engines have in common, and how one is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from trimgrid.allocation.sharing import rule_of
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.distilling import check_distillable
from trimgrid.engines.choice import EngineChoice
from trimgrid.engines.distribution import Distribution
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.errors import InputError
from trimgrid.halving import Halving
from trimgrid.iterative import may_rewind
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.schedule_kinds import is_trained
from trimgrid.training import Task, Training


class Engine(Protocol):
    """Trains copies of a model."""

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpoch | None = None,
        checkpoints: Checkpoints | None = None,
        halving: Halving | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out, as it comes.

        `weights`: as `get_weights` of a copy of the model gives them; None: the model's own. The
        model of a `Trained` is good until the next is asked for.

        With `checkpoints` each training goes on from where a process before it had come to, to the
        bit as if it had never stopped, and saves its state now and then and at its end. A signal to
        end (SIGINT, SIGTERM) waits for the next step or call: then the state is saved, and
        `KeyboardInterrupt` raised. Checkpoints are never forgotten here: who stores the result of a
        training lets go of its checkpoint.

        With `halving` trainings that it finds hopeless, by their names, end at its rungs, while
        those beside them go on.

        Raises `InputError` with `checkpoints` for tasks without ids of their own, and `RunError`
        for a damaged checkpoint and another training's.
        """


def open_engine(
    choice: EngineChoice,
    model: Any,
    data: ArrayData | StreamData,
    validation: ArrayData | StreamData | None,
    training: Training,
    *,
    tasks: Sequence[Task],
    attempts: int,
    memory: int | None,
    say: Callable[[str], None],
    fallback: bool,
    kept: Path | None = None,
    distribution: Distribution | None = None,
) -> Engine:
    """Open the engine of a choice, and say which it is.

    `tasks`: all trainings of the grid, whether they are done already or not, so that the engine
    does not depend on that; `attempts` how many will be asked for. `kept`: the folder in which a
    run keeps what its choices were made by. `distribution`: counts for the sequential engine, under
    which it trains.

    With `fallback` a model that JAX can't trace goes to the sequential engine.

    Raises `InputError` as the engine does, without `fallback` for a model that JAX can't trace, and
    for one that can't learn from its own outputs where a training has a distillation.
    """
    taught = [task.training for task in tasks if task.training.distillation is not None]
    if taught:  # they differ in numbers only
        check_distillable(model, taught[0], next(data.epoch(None, 0)))
    if choice.engine == "tfmot":
        from trimgrid.engines.tfmot import TfmotEngine  # TFMOT is loaded for this alone

        say(choice.describe())
        return TfmotEngine(model, data, training, validation)
    if choice.engine == "vectorized":
        # Only here: JAX need not be imported where it is not wanted.
        from trimgrid.engines.carrier import UntraceableError
        from trimgrid.engines.vectorized import VectorizedEngine

        say(choice.describe())
        watched = validation
        trained = [task for task in tasks if is_trained(task.schedule)]
        plain = [task for task in trained if task.structure is None]
        try:
            for each in (data, validation):
                if isinstance(each, StreamData) and not each.even:
                    raise UntraceableError("batches whose examples have several shapes.")
            if isinstance(watched, StreamData):
                watched = ArrayData.of_stream(watched)
            return VectorizedEngine(
                model,
                data,
                training,
                watched,
                attempts=attempts,
                seeds=len({task.training.seed for task in tasks}),
                others=[t.training for t in plain if not may_rewind(t.schedule)],
                rewinding=[t.training for t in plain if may_rewind(t.schedule)],
                structured=[
                    (task.training, may_rewind(task.schedule), task.structure)
                    for task in trained
                    if task.structure is not None
                ],
                memory=memory,
                say=say,
                kept=kept,
                rules={rule_of(task.allocation) for task in tasks},
            )
        except UntraceableError as error:
            if not fallback:
                raise InputError(
                    "The vectorized engine needs a model whose training step JAX can trace. "
                    f"Received: {model.name!r}, which fails with {error} Take "
                    "engine='sequential'."
                ) from error
            why = str(error).rstrip(".")
            choice = EngineChoice("sequential", f"JAX can't trace {model.name!r}: {why}")
    say(choice.describe())
    return SequentialEngine(model, data, validation, distribution)
