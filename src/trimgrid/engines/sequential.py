"""One attempt after the other in a plain `model.fit`, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trimgrid.models import copy_model
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedules import Schedule
from trimgrid.training import Arrays, ShuffledBatches, Training, count_examples

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and the training loss."""


@dataclass(frozen=True)
class Trained:
    """What a training gave: the model, its history, and why it failed (None if it did not).

    `history` holds one value an epoch under "loss", "val_loss" and the metrics' names.
    """

    model: Any
    history: dict[str, list[float]]
    failure: str | None


def train(
    original: Any,
    data: Arrays,
    training: Training,
    schedule: Schedule | None = None,
    validation: Arrays | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train a fresh copy of a model with a fresh optimizer, pruning it if a schedule is given.

    The original, its optimizer and the global random state stay as they are, and the result
    depends only on the arguments. A loss that stops being finite ends the training: then
    `failure` says at which step.

    Raises `InputError` for a schedule that can't reach its target and a model without prunable
    weights.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> data = np.ones((6, 4), "float32"), np.zeros((6, 2), "float32")
    >>> trained = train(model, data, Training(loss="mse", batch_size=2), ConstantSparsity(0.5))
    >>> int((trained.model.get_weights()[0] == 0).sum()), trained.failure
    (4, None)
    """
    model = copy_model(original, seed=training.seed)
    optimizer = training.fresh_optimizer()
    if model.dtype_policy.name == "mixed_float16" and not isinstance(
        optimizer, keras.optimizers.LossScaleOptimizer
    ):
        # Inside the pruning optimizer, so that steps which overflow count for the schedule.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if schedule is not None:
        steps = training.steps(count_examples(data))
        optimizer = MagnitudePruning(optimizer, schedule, steps=steps)
    model.compile(
        optimizer=optimizer,
        loss=training.loss,
        metrics=list(training.metrics),
        auto_scale_loss=False,
    )
    optimizer.build(model.trainable_variables)
    if isinstance(optimizer, MagnitudePruning):
        optimizer.begin()
    watch = _Watch(on_epoch)
    batches = ShuffledBatches(data, training.batch_size, training.seed)
    history = model.fit(
        batches,
        epochs=training.epochs,
        validation_data=validation,
        validation_batch_size=training.batch_size,
        callbacks=[watch],
        shuffle=False,  # the batches come shuffled
        verbose=0,
    ).history
    if watch.failure is None and not all(np.isfinite(a).all() for a in model.get_weights()):
        watch.failure = f"the weights stopped being finite by step {watch.step}"
    return Trained(model, history, watch.failure)


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports epochs, and ends a training whose loss is not finite any more."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        super().__init__()
        self.on_epoch = on_epoch
        self.failure: str | None = None
        self.step = 0
        self._losses: list[tuple[int, Any]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        # Not read before the epoch's end: reading would wait for the step.
        self._losses.append((self.step, logs["loss"]))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for step, loss in self._losses:
            value = float(loss)
            if not np.isfinite(value):
                self.failure = f"the loss became {value} at step {step}"
                self.model.stop_training = True
                break
        self._losses.clear()
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1, float(logs["loss"]))
