"""How much memory a group of attempts needs on a cluster, as far as it can be told before."""

from __future__ import annotations

import math
from typing import Any

from trimgrid.data.sources import ArrayData
from trimgrid.runs.run_options import Subject

# Python, Keras, its backend and the child that converts to .tflite, before a model is there.
_FRAMEWORKS = 2 * 2**30
# Weights, gradients, two moments, a mask, and room for the program to work: as float32.
_COPIES = 12


def bytes_needed(subject: Subject, attempts: int) -> int:
    """Return the bytes of main memory that so many attempts are expected to need together.

    `2 GiB + 2 * data + attempts * 48 bytes * weights`: an estimate, for a cluster to place groups
    by. Data that is no array is not counted.

    >>> import keras, numpy as np
    >>> from trimgrid.runs.study import Study
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
    >>> x, y = np.zeros((1000, 4), "float32"), np.zeros((1000, 2), "float32")
    >>> study = Study(model, (x, y), test=(x, y), loss="mse", epochs=1)
    >>> bytes_needed(study._subject, 10) - 2 * 2**30 == 2 * 2 * 24_000 + 10 * 48 * 8
    True
    """
    data = subject.data
    held = {id(each): each for each in (data.train, data.validation, data.test)}
    arrays = sum(each.nbytes for each in held.values() if isinstance(each, ArrayData))
    return _FRAMEWORKS + 2 * arrays + attempts * 4 * _COPIES * _weights(subject.model)


def _weights(model: Any) -> int:
    return sum(math.prod(each.shape) for each in model.variables)
