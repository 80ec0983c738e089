"""The original's learning rates once more, and optimizers that leave theirs to a plan."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from trimgrid.errors import InputError, first_line
from trimgrid.optimizers import unscaled, with_rate
from trimgrid.training import Training


@dataclass(frozen=True)
class Rewound:
    """The learning rates of a training, run through once more in a training of any length.

    Batch t of T has the rate that batch ``t * steps // T`` had, `steps` being the batches of the
    first training; where the optimizer has one rate for all its steps, that one.

    >>> rates = keras.optimizers.schedules.PiecewiseConstantDecay([49], [0.5, 0.25])
    >>> Rewound(Training("mse", keras.optimizers.SGD(rates)), steps=100).plan(4).tolist()
    [0.5, 0.5, 0.25, 0.25]
    """

    training: Training
    steps: int

    def plan(self, steps: int) -> NDArray[np.float32]:
        """Return the learning rate of each of the batches 0 to steps - 1, shape ``(steps,)``.

        Raises `InputError` for a schedule that gives what are no rates.
        """
        optimizer = self.training.fresh_optimizer()
        rate = unscaled(optimizer).get_config().get("learning_rate")
        # The class counts too: a notebook may define one of the same name anew.
        kind: Any = type(keras.saving.deserialize_keras_object(rate))
        return _rates(json.dumps(rate, sort_keys=True), kind, self.steps, steps)


def with_planned_rate(training: Training, rates: NDArray[np.float32]) -> Training:
    """Return the same settings with an optimizer whose learning rate is a number: the highest rate.

    A plan can put another in its place before each batch, whatever the optimizer followed before.

    Raises `InputError` for an optimizer that does not take a number, and rates of which none is
    above 0.

    >>> adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 100), beta_1=0.5)
    >>> found = with_planned_rate(Training("mse", adam), np.array([0.25, 0.125])).optimizer
    >>> found.get_config()["learning_rate"], found.beta_1
    (0.25, 0.5)
    """
    optimizer = training.fresh_optimizer()
    try:
        planned = with_rate(optimizer, float(rates.max()))
        fits = isinstance(planned.learning_rate, keras.Variable)
        why = "whose learning rate then is no variable."
    except Exception as error:  # whatever a custom class raises
        fits, why = False, f"which fails with {type(error).__name__}: {first_line(error)}"
    if not fits:
        raise InputError(
            "A plan of learning rates needs an optimizer that takes a number for its rate. "
            f"Received: {type(optimizer).__name__}, {why} Give another optimizer."
        )
    return replace(training, optimizer=planned)


@lru_cache(maxsize=16)
def _rates(config: str, kind: Any, original_steps: int, steps: int) -> NDArray[np.float32]:
    """The rates of `steps` batches; kept, because many attempts ask for the same."""
    rate = keras.saving.deserialize_keras_object(json.loads(config))
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        places = np.arange(steps, dtype=np.int64) * original_steps // max(1, steps)
        # Not one after the other: a call of its own for each step takes milliseconds.
        try:
            rate = ops.convert_to_numpy(ops.vectorized_map(rate, places.astype(np.int32)))
        except Exception:  # whatever a schedule does that can't be traced: then one by one
            rate = [float(rate(int(place))) for place in places]
    elif callable(rate):  # a function without arguments is the other thing that Keras takes
        rate = float(rate())
    rates = np.broadcast_to(np.asarray(rate, np.float32), (steps,)).copy()
    if not np.isfinite(rates).all():
        raise InputError(
            "A rewound schedule of learning rates must give finite numbers. "
            f"Received: {float(rates[~np.isfinite(rates)][0])} from {config}. Give the attempt "
            "another learning rate."
        )
    rates.flags.writeable = False
    return rates
