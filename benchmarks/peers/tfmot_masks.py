"""The child of `mask_selection` in TFMOT's environment: TFMOT's own choice of a mask.

TFMOT shows no function for it, so the class behind its layers is used, the one place where a name
that is not public is imported. Timed is what a training step runs when an update is due: it chooses
the threshold and the mask, and stores both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

from benchmarks.mask_worker import Method, serve_methods


def tfmot_methods(values: NDArray[np.float32], sparsity: float) -> dict[str, Method]:
    """TFMOT's mask update in a `tf.function`, as Keras 2 compiles a training step."""
    weights, mask = tf.Variable(values), tf.Variable(tf.ones_like(values))
    schedule = tfmot.sparsity.keras.ConstantSparsity(sparsity, begin_step=0, frequency=1)
    pruning = Pruning(
        training_step_fn=lambda: tf.constant(1),
        pruning_vars=[(weights, mask, tf.Variable(0.0))],
        pruning_schedule=schedule,
        block_size=(1, 1),
        block_pooling_type="AVG",
    )
    update = tf.function(pruning.conditional_mask_update, autograph=False)

    def choose() -> Any:
        update()  # on a CPU it returns when it is done
        return mask

    return {"TFMOT": choose}


if __name__ == "__main__":
    serve_methods(tfmot_methods)
