"""A training of `tf_keras` by TFMOT: wrappers, callback, fit, the update after the last batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from trimgrid.legacy.copying import made_apart
from trimgrid.legacy.notices import without_notices
from trimgrid.legacy.planned import PlannedSparsity
from trimgrid.legacy.telling import wrappers
from trimgrid.legacy.toolkit import tfmot
from trimgrid.legacy.wrapping import wrapped


@dataclass(frozen=True)
class Fit:
    """How a model is fitted: `compiled` is what `compile` takes, in objects of `tf_keras`.

    `steps` are the batches of an epoch. `validation`: arrays, or a list of batches. `on_epoch` is
    called with the number of each epoch, from 1, and its loss.
    """

    compiled: Mapping[str, Any]
    epochs: int
    steps: int
    batch_size: int
    seed: int
    validation: Any = None
    on_epoch: Callable[[int, float], None] | None = None


def fit(
    model: Any, batches: Iterable[Any], settings: Fit, plan: NDArray[np.float32] | None
) -> tuple[dict[str, list[float]], str | None]:
    """Train a model, a copy that may be changed; return its history, and why it failed or None.

    `plan`: the sparsity of each of the steps 0 to the last, NaN where there is no update; None
    trains without pruning. An update that is planned after the last batch has no place in TFMOT's
    training: TFMOT's own object chooses its masks then, from the final weights.
    """
    schedule = None if plan is None else PlannedSparsity(plan)
    trained = model
    if schedule is not None:
        trained = made_apart(lambda: wrapped(model, schedule))
    trained.compile(**settings.compiled)
    trained.train_step = _seeded(trained.train_step, settings.seed)
    progress = _Progress(schedule, settings)
    pruning = [] if plan is None else [tfmot.sparsity.keras.UpdatePruningStep()]
    held = isinstance(settings.validation, list)
    with without_notices():
        trained.fit(
            batches,
            epochs=settings.epochs,
            steps_per_epoch=settings.steps,
            validation_data=_Held(settings.validation) if held else settings.validation,
            validation_batch_size=None if held else settings.batch_size,
            callbacks=[*pruning, progress],
            shuffle=False,  # the batches come shuffled
            verbose=0,
        )
    failure = progress.failure
    if failure is None and not all(np.isfinite(array).all() for array in model.get_weights()):
        failure = f"the weights stopped being finite by step {progress.step}"
    return progress.history, failure


def _seeded(train_step: Callable[[Any], Any], seed: int) -> Callable[[Any], Any]:
    """The same step, compiled with a seed of its own.

    Dropout without a seed draws from TensorFlow's global one. This sets that of the graph which is
    being traced, and of no other: the caller's stays as it is.
    """

    def step(data: Any) -> Any:
        if not tf.executing_eagerly():
            tf.compat.v1.set_random_seed(seed)
        return train_step(data)

    return step


class _Progress(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the schedule its step, reports epochs, ends a training whose loss is not finite."""

    def __init__(self, schedule: PlannedSparsity | None, settings: Fit) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.step = 0
        self.failure: str | None = None
        self._schedule = schedule
        self._on_epoch = settings.on_epoch
        self._end = settings.epochs * settings.steps
        self._losses: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._schedule is not None:
            self._schedule.step.assign(self.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._losses.append(float(logs["loss"]))
        if self.step == self._end and self._schedule is not None:
            # Now, not when the fit is over: the validation would mask the weights first, and the
            # masks would depend on whether there is one.
            self._schedule.step.assign(self.step)
            for each in wrappers(self.model):
                each.pruning_obj.conditional_mask_update()
                each.pruning_obj.weight_mask_op()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for key, value in logs.items():
            self.history.setdefault(key, []).append(value)
        bad = [place for place, loss in enumerate(self._losses) if not np.isfinite(loss)]
        if bad:
            step = self.step - len(self._losses) + bad[0] + 1
            self.failure = f"the loss became {self._losses[bad[0]]} at step {step}"
            self.model.stop_training = True
        self._losses.clear()
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, float(logs["loss"]))


class _Held(tf_keras.utils.Sequence):  # type: ignore[misc]
    """Batches in memory."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return self._batches[index]
