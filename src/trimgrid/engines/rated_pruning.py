"""Pruning in a plain `model.fit` at learning rates that are planned batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from trimgrid.pruning import MagnitudePruning


@keras.saving.register_keras_serializable("trimgrid")
class RatedPruning(MagnitudePruning):
    """A `MagnitudePruning` that gives its inner optimizer the learning rate of each batch.

    `rates`: the learning rate of each batch, shape [steps]; after its end the last one goes on. The
    inner optimizer's rate must be a number. Batches count, as they do for the masks, also those
    that a `LossScaleOptimizer` skips: the steps of a schedule of Keras would not.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> rates = np.array([0.5, 0.25], "float32")
    >>> optimizer = RatedPruning(keras.optimizers.SGD(), ConstantSparsity(0.5), rates=rates)
    >>> RatedPruning.from_config(optimizer.get_config()).rates.tolist()
    [0.5, 0.25]
    """

    def __init__(
        self, *arguments: Any, rates: Sequence[float] | NDArray[Any], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.rates = np.asarray(rates, np.float32)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables at the batch's learning rate, then prune."""
        self.learning_rate.assign(self._rate(self.iterations))
        super().apply(grads, trainable_variables)

    def stateless_apply(
        self,
        optimizers: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The same as `apply` on values instead of variables; returns the new values."""
        state, variables = list(optimizers), self.variables
        iterations, rate = (
            next(i for i, each in enumerate(variables) if each is wanted)
            for wanted in (self.iterations, self.learning_rate)
        )
        state[rate] = ops.cast(self._rate(state[iterations]), variables[rate].dtype)
        return super().stateless_apply(state, grads, trainable_variables)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, serialized the way Keras does."""
        return {**super().get_config(), "rates": self.rates.tolist()}

    def _rate(self, step: Any) -> Any:
        last = len(self.rates) - 1
        return ops.take(ops.convert_to_tensor(self.rates), ops.minimum(step, last))
