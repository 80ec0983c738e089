"""What an attempt has that determines its result, as data that tells it from every other."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.iterative import planned_rewinds
from trimgrid.json_values import JSON, class_name, json_value
from trimgrid.schedule_kinds import SCHEDULES
from trimgrid.schedules import Schedule


def attempt_config(attempt: AttemptConfig, steps: int) -> dict[str, JSON]:
    """Return all of an attempt, but its name, that determines its result, ready for JSON.

    `steps` is the number of batches of the training. "schedule" holds the class, the arguments if
    it is one of trimgrid's, and the SHA-256 of the plan: `steps + 1` sparsities, NaN without an
    update; of another schedule that rewinds weights also the SHA-256 of where it does. "optimizer"
    is None, a name in small letters, or {"class_name", "config"}. The same in every process and on
    every machine.

    Raises `InputError`, with the attempt's name, for a schedule that refuses its plan and for an
    optimizer that holds something which can't be told, such as a function.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> config = attempt_config(AttemptConfig("half", ConstantSparsity(0.5), seed=3), steps=200)
    >>> config["schedule"]["target_sparsity"], config["seed"], config["optimizer"]
    (0.5, 3, None)
    """
    try:
        schedule = _schedule_config(attempt.pruning_schedule, steps)
        optimizer = _optimizer_config(attempt.optimizer)
    except InputError as error:
        raise InputError(f"{attempt.name}: {error}") from error
    rate, seed = attempt.learning_rate, attempt.seed
    return {
        "schedule": schedule,
        "learning_rate": None if rate is None else float(rate),
        "optimizer": optimizer,
        "seed": None if seed is None else int(seed),
    }


def _schedule_config(schedule: Schedule, steps: int) -> dict[str, JSON]:
    # Bytes that do not depend on the machine, nor on which of the many NaN and zeros it is.
    plan = np.asarray(schedule.plan(steps)).astype("<f8") + 0.0
    plan[np.isnan(plan)] = np.nan
    digest = hashlib.sha256(plan.tobytes()).hexdigest()
    if type(schedule) in SCHEDULES.values():
        arguments: dict[str, Any] = schedule.get_config()  # type: ignore[attr-defined]
        return {"class": type(schedule).__name__, **arguments, "plan": digest}
    # Of the others only the plan counts, and what they hold need not be tellable.
    known = {"class": class_name(schedule), "plan": digest}
    rewinds = planned_rewinds(schedule, steps)
    if rewinds.any():
        known["rewinds"] = hashlib.sha256(rewinds.tobytes()).hexdigest()
    return known


def _optimizer_config(optimizer: Any) -> JSON:
    # Keras knows the names of its optimizers in any case.
    return optimizer.lower() if isinstance(optimizer, str) else json_value(optimizer)
