"""One attempt of a `tf_keras` model after the other, trained by TFMOT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.engines.fit_data import without_end
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.errors import InputError, RunError, first_line
from trimgrid.halving import Halving
from trimgrid.legacy.fitting import Fit, fit
from trimgrid.legacy.settings import in_keras_2, scaled_as
from trimgrid.models import copy_model
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.training import Task, Training


class TfmotEngine:
    """Trains each task on a fresh copy, with TFMOT's wrappers and callback in a plain fit.

    The order of the data is that of the other engines. A training has no checkpoints: one that was
    stopped begins anew, and a signal acts at once.

    Raises `InputError` for settings that `tf_keras` does not have, or not with the same meaning.
    """

    def __init__(
        self,
        model: Any,
        data: ArrayData | StreamData,
        training: Training,
        validation: ArrayData | StreamData | None = None,
    ) -> None:
        self._model = model
        self._data = data
        self._validation: Any = None
        if isinstance(validation, ArrayData):
            self._validation = validation.arrays
        elif validation is not None:
            self._validation = [tuple(batch) for batch in validation.epoch(None, 0)]
        self._try_functions(training)

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpoch | None = None,
        checkpoints: Checkpoints | None = None,
        halving: Halving | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out.

        See `trimgrid.engines.engine.Engine`; nothing is saved to `checkpoints`, and
        nothing is stopped by `halving`.
        """
        for place, task in enumerate(tasks):
            model = copy_model(self._model, seed=task.training.seed)
            if weights is not None:
                model.set_weights(weights)
            yield place, self._trained(model, task, on_epoch)

    def _trained(self, model: Any, task: Task, on_epoch: OnEpoch | None) -> Trained:
        training, steps = task.training, len(self._data.sizes)
        plan = None
        if task.schedule is not None:
            plan = np.asarray(task.schedule.plan(steps * training.epochs), np.float32)
        settings = Fit(
            self._compiled(training),
            training.epochs,
            steps,
            training.batch_size,
            training.seed,
            self._validation,
            None if on_epoch is None else lambda epoch, loss: on_epoch([task.name], epoch, [loss]),
        )
        failures: list[RunError] = []
        try:
            batches = without_end(self._data, training.seed, failures)
            history, failure = fit(model, batches, settings, plan)
        except Exception:
            if failures:  # of the stream: TensorFlow makes another error of it
                raise failures[0] from None
            raise
        return Trained(model, history, failure)

    def _try_functions(self, training: Training) -> None:
        """Call losses and metrics that are functions of the user's own, as TensorFlow will."""
        parts = keras.tree.flatten([training.loss, training.metrics])
        functions = [each for each in parts if callable(each) and not hasattr(each, "get_config")]
        compiled = self._compiled(training)
        if not functions:
            return
        model = copy_model(self._model)
        model.compile(**compiled)
        try:
            model.test_on_batch(*next(self._data.epoch(None, 0)))
        except Exception as error:  # whatever a function raises on tensors of TensorFlow
            named = ", ".join(getattr(each, "__name__", repr(each)) for each in functions)
            raise InputError(
                "The loss and metrics of a tf_keras model must take tensors of TensorFlow. "
                f"Received: {named}, which fails with {type(error).__name__}: {first_line(error)} "
                "Write it with TensorFlow's operations, or set KERAS_BACKEND=tensorflow."
            ) from error

    def _compiled(self, training: Training) -> dict[str, Any]:
        metrics = in_keras_2(training.metrics)
        optimizer = in_keras_2(training.fresh_optimizer())
        return {
            "optimizer": scaled_as(self._model, optimizer),
            "loss": in_keras_2(training.loss),
            "loss_weights": training.loss_weights,
            "metrics": list(metrics) if isinstance(metrics, tuple) else metrics,
        }
