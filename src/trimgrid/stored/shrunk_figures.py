"""What is left of an attempt without its idle units, as flat figures for tables and loggers."""

from __future__ import annotations

from typing import Any

from trimgrid.measured_values import finite_or_none
from trimgrid.results import AttemptInfo
from trimgrid.shrunk_info import SHRUNK_SIZES


def shrunk_figures(attempt: AttemptInfo) -> dict[str, Any]:
    """Return "shrunk_weights", "shrunk_error" and the sizes, None for what was not measured.

    Where no unit left these are those of the whole model.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> set(shrunk_figures(half).values())
    {None}
    """
    sizes: dict[str, Any] = {key: getattr(attempt, key) for key in SHRUNK_SIZES}
    if attempt.shrunk is None:
        return {**sizes, "shrunk_weights": None, "shrunk_error": None}
    error = attempt.shrunk.error if attempt.shrunk.units else attempt.error
    weights = attempt.shrunk.total_weights
    return {**sizes, "shrunk_weights": weights, "shrunk_error": finite_or_none(error)}
