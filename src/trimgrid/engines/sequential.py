"""One attempt after the other in a plain `model.fit`, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from trimgrid.data import ArrayData, Batch, Data, StreamData, open_data
from trimgrid.engines.trained import OnEpoch as OnEpochs
from trimgrid.engines.trained import Trained
from trimgrid.errors import RunError
from trimgrid.models import copy_model
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedules import Schedule
from trimgrid.training import Task, Training, scaled_for

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and the training loss."""


def train(
    original: Any,
    data: Data | ArrayData | StreamData,
    training: Training,
    schedule: Schedule | None = None,
    validation: Data | ArrayData | StreamData | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train a fresh copy of a model with a fresh optimizer, pruning it if a schedule is given.

    The original, its optimizer and the global random state stay as they are, and the result
    depends only on the arguments. A loss that stops being finite ends the training: then
    `failure` says at which step.

    Raises `InputError` for a schedule that can't reach its target and a model without prunable
    weights, and `RunError` for a stream that changes.

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
    if schedule is not None:
        steps = len(data.sizes) * training.epochs
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
    failures: list[RunError] = []
    try:
        history = model.fit(
            _without_end(data, training.seed, failures),
            epochs=training.epochs,
            steps_per_epoch=len(data.sizes),
            validation_data=_for_validation(validation),
            validation_batch_size=training.batch_size,
            callbacks=[watch],
            shuffle=False,  # the batches come shuffled
            verbose=0,
        ).history
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    if watch.failure is None and not all(np.isfinite(a).all() for a in model.get_weights()):
        watch.failure = f"the weights stopped being finite by step {watch.step}"
    return Trained(model, history, watch.failure)


def _without_end(
    data: ArrayData | StreamData, seed: int, failures: list[RunError]
) -> Iterator[Batch]:
    """The batches of one epoch after the other: `steps_per_epoch` says where an epoch ends.

    Not a `PyDataset` that shuffles in `on_epoch_end`: Keras calls that before the first epoch too,
    and TensorFlow reads ahead of it. A failure is noted: TensorFlow makes another error of it.
    """
    epoch = 0
    while True:
        try:
            yield from data.epoch(seed, epoch)
        except RunError as error:
            failures.append(error)
            raise
        epoch += 1


def _for_validation(validation: ArrayData | StreamData | None) -> Any:
    if isinstance(validation, ArrayData):
        return validation.arrays
    return None if validation is None else _Held(list(validation.epoch(None, 0)))


class _Held(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches in memory. Keras reads the first ones of a generator again at each validation."""

    def __init__(self, batches: list[Batch]) -> None:
        super().__init__()
        self._batches = batches

    @property
    def num_batches(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._batches[index]


class SequentialEngine:
    """Trains one task after the other with `train`; runs on any backend of Keras."""

    def __init__(
        self,
        model: Any,
        data: ArrayData | StreamData,
        training: Training,
        validation: ArrayData | StreamData | None = None,
    ) -> None:
        self._model = model
        self._data = data
        self._validation = validation

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpochs | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out."""
        start = self._model
        if weights is not None:
            start = copy_model(start)
            start.set_weights(weights)
        for place, task in enumerate(tasks):
            report = None if on_epoch is None else _alone(on_epoch, task.name)
            yield (
                place,
                train(start, self._data, task.training, task.schedule, self._validation, report),
            )


def _alone(on_epoch: OnEpochs, name: str) -> OnEpoch:
    return lambda epoch, loss: on_epoch([name], epoch, [loss])


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
        if "loss" in logs:  # a train_step of one's own need not log it
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
            self.on_epoch(epoch + 1, float(logs.get("loss", np.nan)))
