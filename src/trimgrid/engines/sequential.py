"""One attempt after the other in a plain `model.fit`, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.allocation.setting import Allocation
from trimgrid.data.sources import ArrayData, Data, StreamData, open_data
from trimgrid.distilling import distilled_step, taught_by
from trimgrid.engines.copied_layouts import CopiedLayouts
from trimgrid.engines.distribution import Distribution, scope_of
from trimgrid.engines.even_batches import EvenBatches
from trimgrid.engines.fit_data import for_training, for_validation
from trimgrid.engines.fit_progress import Hopeless, OnEpoch, Progress
from trimgrid.engines.rated_pruning import RatedPruning
from trimgrid.engines.saving import Saving, check_ids, saving
from trimgrid.engines.trained import OnEpoch as OnEpochs
from trimgrid.engines.trained import Trained
from trimgrid.engines.untrained import pruned_only
from trimgrid.errors import RunError
from trimgrid.halving import Halving
from trimgrid.models import copy_model
from trimgrid.pruning import MagnitudePruning
from trimgrid.run_directory.checkpoints import Checkpoint, Checkpoints
from trimgrid.schedule_kinds import is_trained
from trimgrid.schedules import Schedule
from trimgrid.structures.kinds import Structure
from trimgrid.training import Task, Training, compile_model, scaled_for


def train(
    original: Any,
    data: Data | ArrayData | StreamData,
    training: Training,
    schedule: Schedule | None = None,
    validation: Data | ArrayData | StreamData | None = None,
    on_epoch: OnEpoch | None = None,
    saved: Saving | None = None,
    checkpoint: Checkpoint | None = None,
    rates: NDArray[np.float32] | None = None,
    allocation: Allocation | None = None,
    structure: Structure | None = None,
    hopeless: Hopeless | None = None,
) -> Trained:
    """Train a fresh copy of a model with a fresh optimizer, pruning it if a schedule is given.

    The original, its optimizer and the global random state stay as they are, and the result
    depends only on the arguments and on Keras' current distribution. In a training with
    distillation the original is the teacher, as it is. A loss that stops being finite ends the
    training: then `failure` says at which step.
    `saved` is called after each step, so that a later call goes on from the `checkpoint` that it
    left, to the bit as if the training had never stopped. `rates`, `allocation` and `structure`
    (see `Task`) count where a schedule is given. `hopeless` is asked after each epoch whether the
    training is to stop there.

    Raises `InputError` for a schedule that can't reach its target and a model without prunable
    weights, and `RunError` for a stream that changes and another training's checkpoint.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> data = np.ones((6, 4), "float32"), np.zeros((6, 2), "float32")
    >>> trained = train(model, data, Training(loss="mse", batch_size=2), ConstantSparsity(0.5))
    >>> int((trained.model.get_weights()[0] == 0).sum()), trained.failure
    (4, None)
    """
    if not isinstance(data, ArrayData | StreamData):
        data = open_data(data, training, "training data", class_weight=True)
    if validation is not None and not isinstance(validation, ArrayData | StreamData):
        validation = open_data(validation, training, "validation data")
    model = copy_model(original, seed=training.seed)
    # Scaled inside the pruning optimizer, so that steps which overflow count for the schedule.
    optimizer = scaled_for(model, training.fresh_optimizer())
    steps = len(data.sizes)
    if schedule is not None:
        options: dict[str, Any] = {
            "steps_per_epoch": steps,
            "allocation": allocation,
            "structure": structure,
        }
        if rates is None:
            optimizer = MagnitudePruning(optimizer, schedule, **options)
        else:
            optimizer = RatedPruning(optimizer, schedule, rates=rates, **options)
    compile_model(model, optimizer, training)
    if training.distillation is not None:
        model.train_step = distilled_step(model, training, taught_by(original))
    even = EvenBatches.here(data, validation)
    if even.filled:
        model.train_step, model.test_step = even.cut(model.train_step), even.cut(model.test_step)
    optimizer.build(model.trainable_variables)
    if isinstance(optimizer, MagnitudePruning):
        optimizer.begin(steps * training.epochs)
    progress = Progress(training.epochs, steps, on_epoch, saved, hopeless)
    if checkpoint is not None:
        progress.go_on_from(checkpoint, model)
        if progress.step % steps and keras.config.backend() != "jax":
            # Only the first step makes the metrics' variables, and they must hold what they held.
            model.train_on_batch(*next(data.epoch(training.seed, 0)))
        progress.put_back(model)
    failures: list[RunError] = []
    parts = _parts(progress.step, steps, training.epochs) if progress.failure is None else []
    for epoch, until, skip in parts:
        if progress.failure is not None or progress.stopped is not None:
            break
        progress.put_back(model)
        try:
            model.fit(
                for_training(data, training.seed, failures, epoch, skip, even),
                initial_epoch=epoch,
                epochs=until,
                steps_per_epoch=steps - skip,
                validation_data=for_validation(validation, even),
                validation_batch_size=training.batch_size,
                callbacks=[progress],
                shuffle=False,  # the batches come shuffled
                verbose=0,
            )
        except Exception:
            if failures:
                raise failures[0] from None
            raise
    if not parts:
        optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does at its end
    if training.distillation is not None or even.filled:
        for name in ("train_step", "test_step"):  # what was trained has no teacher any more
            vars(model).pop(name, None)
    failure = progress.failure
    if failure is None and not all(np.isfinite(a).all() for a in model.get_weights()):
        failure = f"the weights stopped being finite by step {progress.step}"
    return Trained(model, progress.history, failure, progress.stopped)


def _parts(done: int, steps: int, epochs: int) -> list[tuple[int, int, int]]:
    """What is left to fit after `done` batches: first epoch, epoch to stop before, batches to skip.

    >>> _parts(0, 4, 3), _parts(6, 4, 3), _parts(12, 4, 3)
    ([(0, 3, 0)], [(1, 2, 2), (2, 3, 0)], [])
    """
    epoch, skip = divmod(done, steps)
    rest = [(epoch, epoch + 1, skip)] if skip else []
    epoch += len(rest)
    return [*rest, (epoch, epochs, 0)] if epoch < epochs else rest


class SequentialEngine:
    """Trains one task after the other with `train`; runs on any backend of Keras.

    With a `distribution` each is trained under it; what comes out is a plain model.
    """

    def __init__(
        self,
        model: Any,
        data: ArrayData | StreamData,
        validation: ArrayData | StreamData | None = None,
        distribution: Distribution | None = None,
    ) -> None:
        if isinstance(distribution, keras.distribution.ModelParallel):
            distribution = CopiedLayouts(distribution, model)
        self._distribution = distribution
        self._model = model
        self._data = data
        self._validation = validation

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpochs | None = None,
        checkpoints: Checkpoints | None = None,
        halving: Halving | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out.

        See `trimgrid.engines.engine.Engine`.
        """
        if checkpoints is not None:
            check_ids(tasks)
        start = self._model
        if weights is not None:
            start = copy_model(start)
            start.set_weights(weights)
        for place, task in enumerate(tasks):
            if not is_trained(task.schedule):
                yield place, pruned_only(start, start.get_weights(), task)
                continue
            report = None if on_epoch is None else _alone(on_epoch, task.name)
            found = None if checkpoints is None else checkpoints.find(task.id)
            settings = task.training, task.schedule, self._validation, report
            masks = task.rates, task.allocation, task.structure
            hopeless = _hopeless(halving, task.name)
            # What comes out is handed on outside: there the caller's distribution counts.
            with saving(checkpoints, [task]) as saved, scope_of(self._distribution):
                trained = train(start, self._data, *settings, saved, found, *masks, hopeless)
            if self._distribution is not None:
                trained = replace(trained, model=_gathered(trained.model, start, task.training))
            yield place, trained


def _gathered(trained: Any, start: Any, training: Training) -> Any:
    """A plain model with the weights of one that is spread over devices."""
    model = copy_model(start, seed=training.seed)
    model.set_weights(trained.get_weights())
    compile_model(model, scaled_for(model, training.fresh_optimizer()), training)
    return model


def _alone(on_epoch: OnEpochs, name: str) -> OnEpoch:
    return lambda epoch, loss: on_epoch([name], epoch, [loss])


def _hopeless(halving: Halving | None, name: str) -> Hopeless | None:
    if halving is None:
        return None
    return lambda epoch, loss: bool(halving.hopeless(epoch, [name], [loss]))
