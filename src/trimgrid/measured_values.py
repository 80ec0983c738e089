"""Values of measurements as JSON has them: written, and checked when they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

from trimgrid.errors import InputError


def finite_or_none(number: float) -> float | None:
    """Return a number as a float, None for NaN and infinity, which JSON does not have.

    >>> finite_or_none(0.5), finite_or_none(math.nan)
    (0.5, None)
    """
    return float(number) if math.isfinite(number) else None


def nan_if_none(number: float | None) -> float:
    """Return a number as a float, NaN for None.

    >>> nan_if_none(None)
    nan
    """
    return math.nan if number is None else float(number)


def checked_value(values: Mapping[str, Any], key: str, *types: type) -> Any:
    """Return a value of exactly one of the types: JSON's booleans are no numbers.

    Raises `InputError` for a key that is missing or has a value of another type.

    >>> checked_value({"error": 0.5}, "error", float, int)
    0.5
    """
    if key not in values or type(values[key]) not in types:
        found = repr(values[key]) if key in values else "nothing"
        names = " or ".join("null" if each is NoneType else each.__name__ for each in types)
        raise InputError(
            f"The measurements of an attempt must have {key!r} as {names}. "
            f"Received: {found:.60}. Measure the attempt again."
        )
    return values[key]
