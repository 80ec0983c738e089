"""What an attempt has that determines its result, as data that tells it from every other."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np

from trimgrid.allocation.setting import allocation_of
from trimgrid.errors import told_of
from trimgrid.grids.grid import AttemptConfig
from trimgrid.iterative import planned_rate_rounds, planned_rewinds
from trimgrid.json_values import JSON, class_name, json_value
from trimgrid.learning_rates import AS_IS, REWIND, Cosine, LearningRate, OneCycle, table_of
from trimgrid.schedule_kinds import SCHEDULES
from trimgrid.schedules import Schedule
from trimgrid.structures.kinds import structure_config, structure_of


def attempt_config(
    attempt: AttemptConfig, steps: int, original_steps: int | None = None
) -> dict[str, JSON]:
    """Return all of an attempt, but its name, that determines its result, ready for JSON.

    `steps` is the number of batches of the training, `original_steps` that of the original's, which
    counts only for a learning rate that is rewound. "schedule" holds the class, the arguments if it
    is one of trimgrid's, and the SHA-256 of the plan: `steps + 1` sparsities, NaN without an
    update; of another schedule that rewinds weights also the SHA-256 of where it does.
    "learning_rate" is None, a number, or the name of a schedule with its arguments. "optimizer" is
    None, a name in small letters, or {"class_name", "config"}. "distillation", "allocation" and
    "structure" are there only where the attempt has one. The same in every process and on every
    machine.

    Raises `InputError`, with the attempt's name, for a schedule that refuses its plan and for an
    optimizer that holds something which can't be told, such as a function.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> config = attempt_config(AttemptConfig("half", ConstantSparsity(0.5), seed=3), steps=200)
    >>> config["schedule"]["target_sparsity"], config["seed"], config["optimizer"]
    (0.5, 3, None)
    """
    with told_of(attempt.name):
        schedule = _schedule_config(attempt.pruning_schedule, steps)
        optimizer = _optimizer_config(attempt.optimizer)
        allocation = allocation_of(attempt.allocation, attempt.min_kept, attempt.overrides)
    seed = attempt.seed
    config: dict[str, JSON] = {
        "schedule": schedule,
        "learning_rate": _rate_config(attempt.learning_rate, original_steps),
        "optimizer": optimizer,
        "seed": None if seed is None else int(seed),
    }
    # Only where they are set: attempts from before there were such settings keep their ids.
    if attempt.distillation is not None:
        config["distillation"] = asdict(attempt.distillation)
    if allocation is not None:
        config["allocation"] = asdict(allocation)
    if (structure := structure_of(attempt.structure)) is not None:
        config["structure"] = structure_config(structure)
    return config


def _schedule_config(schedule: Schedule, steps: int) -> dict[str, JSON]:
    # Bytes that do not depend on the machine, nor on which of the many NaN and zeros it is.
    plan = np.asarray(schedule.plan(steps)).astype("<f8") + 0.0
    plan[np.isnan(plan)] = np.nan
    digest = hashlib.sha256(plan.tobytes()).hexdigest()
    if type(schedule) in SCHEDULES.values():
        arguments: dict[str, Any] = schedule.get_config()  # type: ignore[attr-defined]
        return {"class": type(schedule).__name__, **arguments, "plan": digest}
    # Of the others only the plan counts, and what they hold need not be tellable.
    known: dict[str, JSON] = {"class": class_name(schedule), "plan": digest}
    rewinds = planned_rewinds(schedule, steps)
    if rewinds.any():
        known["rewinds"] = hashlib.sha256(rewinds.tobytes()).hexdigest()
    if rounds := planned_rate_rounds(schedule, steps):
        known["rate_rounds"] = [*rounds]
    return known


def _rate_config(rate: LearningRate | None, original_steps: int | None) -> JSON:
    if rate is None or rate == AS_IS:
        return None
    if rate == REWIND:
        return {"name": REWIND, "original_steps": original_steps}
    return table_of(rate) if isinstance(rate, Cosine | OneCycle) else float(rate)


def _optimizer_config(optimizer: Any) -> JSON:
    # Keras knows the names of its optimizers in any case.
    return optimizer.lower() if isinstance(optimizer, str) else json_value(optimizer)
