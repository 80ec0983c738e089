"""A callback that tells a pruning optimizer how long its training is."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from trimgrid.errors import InputError
from trimgrid.pruning import MagnitudePruning


class BeginPruning(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that tells a `MagnitudePruning` optimizer how long the training is.

    At the start of a training it checks that the schedule reaches its target in
    `batches x epochs` steps, fills in an `end_step` of None, and does the update of step 0 before
    the first batch. A training that goes on from a saved state is left alone.

    Raises `InputError` where the model's optimizer does not prune.

    >>> import numpy as np
    >>> from trimgrid.schedules import PolynomialDecay
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile(MagnitudePruning("adam", PolynomialDecay(0.2, 0.5)), loss="mse")
    >>> data = np.ones((6, 4)), np.zeros((6, 8))
    >>> _ = model.fit(*data, batch_size=2, epochs=2, callbacks=[BeginPruning()], verbose=0)
    >>> model.optimizer.steps, int((model.get_weights()[0] == 0).sum())
    (6, 16)
    """

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin, if this is the training's first step."""
        optimizer = self.model.optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        if not isinstance(optimizer, MagnitudePruning):
            raise InputError(
                "BeginPruning needs a model that is compiled with MagnitudePruning. "
                f"Received: optimizer={optimizer!r}."
            )
        if not optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if int(ops.convert_to_numpy(optimizer.iterations)) == 0:
            batches, epochs = self.params.get("steps"), self.params["epochs"]
            optimizer.begin(optimizer.steps if batches is None else batches * epochs)
