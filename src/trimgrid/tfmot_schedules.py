"""Schedules of the TensorFlow Model Optimization toolkit (TFMOT), read from what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimgrid.errors import InputError
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.timed import TFMOT

_KINDS: dict[str, type[ConstantSparsity] | type[PolynomialDecay]] = {
    "ConstantSparsity": ConstantSparsity,
    "PolynomialDecay": PolynomialDecay,
}


def known_schedule(schedule: Any) -> Any:
    """Return a schedule of TFMOT as the one here that does the same, to the step.

    `schedule`: a `ConstantSparsity` or `PolynomialDecay` of `tfmot.sparsity.keras`, or its config
    (`{"class_name", "config"}`, also as Keras serializes it). TFMOT need not be installed. Anything
    else comes back as it is.

    Raises `InputError` for another class of TFMOT's kind, arguments that are out of range, and a
    decay that ends where it begins, which is NaN in TFMOT.

    >>> config = {"target_sparsity": 0.5, "begin_step": 0, "end_step": -1, "frequency": 10}
    >>> schedule = known_schedule({"class_name": "ConstantSparsity", "config": config})
    >>> schedule == ConstantSparsity(0.5, frequency=10, timing="tfmot")
    True
    """
    told = _told(schedule)
    if told is None:
        return schedule
    name, config = told
    if name not in _KINDS:
        raise InputError(
            f"A schedule of TFMOT's must be one of {', '.join(_KINDS)}. Received: {name!r}. "
            "Give an object with plan(steps): the sparsity of the steps 0 to steps, NaN where "
            "nothing is pruned. What TFMOT does in front of batch t belongs to t - 1."
        )
    return _KINDS[name].from_config({**config, "timing": TFMOT})


def _told(schedule: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The class and the arguments that a schedule of TFMOT's tells, None of anything else."""
    found = schedule
    if not isinstance(found, Mapping):
        if isinstance(found, type) or hasattr(found, "plan") or not hasattr(found, "get_config"):
            return None
        try:
            found = found.get_config()
        except NotImplementedError:  # a class that does not tell its config is none that we know
            return None
    name = None
    # Keras puts the whole config into one of its own.
    while isinstance(found, Mapping) and {"class_name", "config"} <= found.keys():
        name, found = str(found["class_name"]), found["config"]
    return None if name is None or not isinstance(found, Mapping) else (name, found)
