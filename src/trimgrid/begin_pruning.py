"""A callback that tells a pruning optimizer how long its training is."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from trimgrid.errors import InputError
from trimgrid.iterative import rewinds_rates
from trimgrid.optimizers import unscaled
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedule_kinds import is_trained
from trimgrid.schedules import warn_of_stop
from trimgrid.timed import masks_epoch_ends


class BeginPruning(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that tells a `MagnitudePruning` optimizer how long its training is.

    Before the first batch it checks that the schedule reaches its target in the batches that are
    trained and to be trained, takes their number for an `end_step` of None, and does the update of
    step 0. `MagnitudePruning(..., steps=)`, for a training in several parts, wins over what it
    finds. A training that goes on from a saved state keeps its masks.

    Under `mixed_float16` Keras puts a `LossScaleOptimizer` outside, which skips batches whose
    gradients overflow; they do not count as steps. If the training ends some steps short for that
    reason, the masks of the schedule's last sparsity are chosen at its end.

    In TFMOT's timing it finds out the batches of an epoch, too, and warns (`UserWarning`) of a
    schedule that never reaches its target.

    Raises `InputError` where the model's optimizer does not prune, where the number of batches is
    unknown but needed, for a schedule that can't reach its target, and for those that only a study
    can follow: `OneShot`, and rounds that rewind the learning rate.

    >>> import numpy as np
    >>> from trimgrid.schedules import PolynomialDecay
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile(MagnitudePruning("adam", PolynomialDecay(0.2, 0.5)), loss="mse")
    >>> data = np.ones((6, 4)), np.zeros((6, 8))
    >>> _ = model.fit(*data, batch_size=2, epochs=2, callbacks=[BeginPruning()], verbose=0)
    >>> model.optimizer.steps, int((model.get_weights()[0] == 0).sum())
    (6, 16)
    """

    def __init__(self) -> None:
        super().__init__()
        self._end: int | None = None  # the step counter at the end of this fit, once it is known
        self._complete = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the fit before, and check that a fit can follow the schedule."""
        self._end, self._complete = None, False
        schedule = self._optimizer().schedule
        if not is_trained(schedule):
            raise InputError(
                "A schedule that does not train is for the attempts of a study. "
                f"Received: {schedule!r} in a fit. Prune once and train on with "
                "ConstantSparsity(..., end_step=0)."
            )
        if rewinds_rates(schedule):
            raise InputError(
                "Rounds can rewind the learning rate that an attempt of a study plans. "
                f"Received: {schedule!r} in a fit. Give it rewind=None or rewind='weights'."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin, if this is the fit's first epoch: only now its number is known."""
        if self._end is not None:
            return
        optimizer, batches = self._optimizer(), self.params.get("steps")
        if not optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        done, steps = int(ops.convert_to_numpy(optimizer.iterations)), optimizer.steps
        self._end = done
        if batches is not None:
            self._end += batches * (self.params["epochs"] - epoch)
            steps = self._end if steps is None else steps
        if masks_epoch_ends(optimizer.schedule):
            self._follow_tfmot(optimizer, batches, steps)
        if done == 0:
            optimizer.begin(steps)
        else:
            optimizer.settle(steps)

    def _follow_tfmot(
        self, optimizer: MagnitudePruning, batches: int | None, steps: int | None
    ) -> None:
        if optimizer.steps_per_epoch is None:
            if batches is None:
                raise InputError(
                    "TFMOT's timing needs the number of batches in an epoch. Received: "
                    f"{optimizer.schedule!r} and data that does not tell it. Give "
                    "MagnitudePruning(..., steps_per_epoch=)."
                )
            optimizer.steps_per_epoch = batches
        if optimizer.steps is None and steps is not None:  # else the optimizer has warned
            warn_of_stop(optimizer.schedule, steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note whether the fit went on to its end."""
        self._complete = epoch + 1 == self.params["epochs"] and not self.model.stop_training

    def on_train_end(self, logs: Any = None) -> None:
        """Reach the target all the same if batches were skipped."""
        optimizer = self._optimizer()
        steps, done = optimizer.steps, int(ops.convert_to_numpy(optimizer.iterations))
        if self._complete and steps is not None and done < steps <= (self._end or 0):
            optimizer.finish()

    def _optimizer(self) -> MagnitudePruning:
        optimizer = unscaled(self.model.optimizer)
        if not isinstance(optimizer, MagnitudePruning):
            raise InputError(
                "BeginPruning needs a model that is compiled with MagnitudePruning. "
                f"Received: optimizer={optimizer!r}."
            )
        return optimizer
