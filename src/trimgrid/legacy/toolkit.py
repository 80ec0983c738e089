"""TFMOT, imported without a trace in the environment."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

_CHOICE = "TF_USE_LEGACY_KERAS"


def _imported() -> Any:
    """Import TFMOT, which sets an environment variable that makes `tf.keras` Keras 2.

    The variable is put back. `tf.keras`, which TensorFlow settles at its first use, is settled
    before, as the caller's environment has it.
    """
    before = os.environ.get(_CHOICE)
    _ = tf.keras.layers
    try:
        import tensorflow_model_optimization
    finally:
        if before is None:
            os.environ.pop(_CHOICE, None)
        else:
            os.environ[_CHOICE] = before
    return tensorflow_model_optimization


tfmot = _imported()
