"""A plan of trimgrid's as a schedule of TFMOT's."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trimgrid.legacy.toolkit import tfmot


class PlannedSparsity(tfmot.sparsity.keras.PruningSchedule):  # type: ignore[misc]
    """The sparsity of each step 0 to the last, NaN where masks stay as they are.

    TFMOT prunes in front of a batch, so that its batch 1 is step 0 here. `step`, a variable, says
    where the training is: the training sets it, because TFMOT's own count moves on with each call
    of a layer, twice a batch for one that is used twice.
    """

    def __init__(self, plan: NDArray[np.float32]) -> None:
        self._plan = plan
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)

    def __call__(self, step: Any) -> tuple[Any, Any]:
        sparsity = tf.gather(tf.constant(self._plan), self.step)
        return tf.logical_not(tf.math.is_nan(sparsity)), sparsity

    def get_config(self) -> dict[str, Any]:
        return {"class_name": type(self).__name__, "config": {"plan": self._plan.tolist()}}
