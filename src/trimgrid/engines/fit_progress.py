"""What goes along with a `model.fit`: reports, checkpoints, an end where the loss is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from trimgrid.engines.saving import Saving, check_fits
from trimgrid.run_directory.checkpoints import Checkpoint

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and the training loss."""
Hopeless = Callable[[int, float], bool]
"""Tells after each epoch, by its number and the loss that is watched, whether to stop there."""


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports epochs, ends a training whose loss is not finite any more, and saves its state.

    `epochs`, `steps`: of the training, and of an epoch. `history`, `step`, `failure` and `stopped`,
    the epoch after which it was found hopeless, tell how far it has come. A state is all variables
    of the model, its optimizer and metrics, the losses of the running epoch, and where the training
    failed.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        on_epoch: OnEpoch | None,
        saving: Saving | None,
        hopeless: Hopeless | None = None,
    ) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.step = 0
        self._end = epochs * steps
        self._epoch_steps = steps
        self._on_epoch = on_epoch
        self._saving = saving
        self._hopeless = hopeless
        self.stopped: int | None = None
        self._losses: list[tuple[int, Any]] = []
        self._failed: tuple[float, float] = (0, 0)  # the step, from 1, and its loss
        self._metrics: list[NDArray[Any]] | None = None  # of an epoch that is gone on with
        self._state: list[NDArray[Any]] | None = None

    @property
    def failure(self) -> str | None:
        """Why the training ended early, None if it did not."""
        step, loss = self._failed
        return f"the loss became {loss} at step {int(step)}" if step else None

    def go_on_from(self, checkpoint: Checkpoint, model: Any) -> None:
        """Take over where a training had come to.

        Raises `RunError` for the checkpoint of another training.
        """
        variables = _variables(model)
        check_fits(checkpoint, variables)
        *arrays, losses, (step, loss) = checkpoint.arrays
        self.history, self.step = checkpoint.history, checkpoint.step
        self._state, metrics = arrays[: len(variables)], arrays[len(variables) :]
        self._metrics = metrics if self.step % self._epoch_steps else None
        self._losses = [(int(each), value) for each, value in losses]
        self._failed = float(step), float(loss)

    def put_back(self, model: Any) -> None:
        """Give the model the state of the checkpoint, or that at the end of its epoch.

        When the fit of that epoch ends Keras may put averages of weights in their place.
        """
        if self._state is not None:
            for variable, array in zip(_variables(model), self._state, strict=True):
                variable.assign(array)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Give the metrics the values that they had in the middle of the epoch."""
        if self._metrics is not None:
            for variable, array in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(array)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note the loss."""
        self.step += 1
        # Not read before the epoch's end: reading would wait for the step.
        if "loss" in logs:  # a train_step of one's own need not log it
            self._losses.append((self.step, logs["loss"]))
        # The state after an epoch's last batch is saved with its end: validation belongs to it.
        if self._saving is not None and self.step % self._epoch_steps:
            self._saving.after(self.step, self._snapshot)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the epoch, and find out whether its losses were finite."""
        for key, value in logs.items():
            self.history.setdefault(key, []).append(value)
        for step, loss in self._losses:
            if not np.isfinite(float(loss)):
                self._failed = step, float(loss)
                self.model.stop_training = True
                break
        self._losses.clear()
        if self._metrics is not None:
            self._metrics = None
            self._state = [_array(each) for each in _variables(self.model)]
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, float(logs.get("loss", np.nan)))
        if self._is_hopeless(epoch + 1, logs):
            self.stopped = epoch + 1
            self.model.stop_training = True
        elif self._saving is not None:  # of one that was stopped no process goes on
            ended = self.step == self._end or self.failure is not None
            self._saving.after(self.step, self._snapshot, ended)

    def _is_hopeless(self, epoch: int, logs: Any) -> bool:
        if self._hopeless is None or self.step == self._end or self.failure is not None:
            return False
        return self._hopeless(epoch, float(logs.get("val_loss", logs.get("loss", np.nan))))

    def _snapshot(self) -> tuple[list[NDArray[Any]], dict[str, list[NDArray[Any]]]]:
        model = self.model  # on JAX this brings the state of the running fit into the variables
        losses = np.array([[step, float(loss)] for step, loss in self._losses]).reshape(-1, 2)
        variables = [*_variables(model), *model.metrics_variables]
        arrays = [*(_array(each) for each in variables), losses, np.array(self._failed, float)]
        history = {
            key: [np.asarray(value)[None] for value in values]
            for key, values in self.history.items()
        }
        return [each[None] for each in arrays], history


def _variables(model: Any) -> list[Any]:
    """The variables of a compiled model, but for the metrics', which a fit makes."""
    return [
        *model.trainable_variables,
        *model.non_trainable_variables,
        *model.optimizer.variables,
    ]


def _array(variable: Any) -> NDArray[Any]:
    """The variable's value, for itself: the next step may take its memory."""
    return np.array(ops.convert_to_numpy(variable))
