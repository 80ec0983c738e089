"""What an attempt can't have where TFMOT trains it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from trimgrid.errors import InputError, told_of
from trimgrid.grids.grid import AttemptConfig
from trimgrid.iterative import may_rewind
from trimgrid.learning_rates import AS_IS
from trimgrid.legacy.settings import in_keras_2
from trimgrid.schedule_kinds import is_trained

IN_KERAS_3 = "load the model into Keras 3: save it as .h5 and give the path"


def check_tfmot_attempts(grid: Sequence[AttemptConfig], optimizer: Any) -> None:
    """Check that TFMOT can train each attempt; `optimizer` is that of the training.

    Raises `InputError` with the attempt's name, what TFMOT has no counterpart for, and the remedy.
    """
    in_keras_2(optimizer)
    for attempt in grid:
        with told_of(attempt.name):
            for name, value in _unknown(attempt).items():
                raise InputError(
                    "TFMOT trains a tf_keras model, and has no counterpart to some settings of an "
                    f"attempt. Received: {name}={value!r}. Leave it away, or {IN_KERAS_3}."
                )
            if attempt.optimizer is not None:
                in_keras_2(attempt.optimizer)


def _unknown(attempt: AttemptConfig) -> dict[str, Any]:
    """The settings of an attempt that TFMOT has nothing for."""
    names = ("allocation", "min_kept", "overrides", "distillation", "structure")
    found = {name: getattr(attempt, name) for name in names if getattr(attempt, name) is not None}
    rate, schedule = attempt.learning_rate, attempt.pruning_schedule
    if rate not in (None, AS_IS) and not isinstance(rate, Real):
        found["learning_rate"] = rate
    if not is_trained(schedule) or may_rewind(schedule):
        found["pruning_schedule"] = schedule
    return found
