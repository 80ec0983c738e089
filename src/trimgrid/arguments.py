"""Arguments that are numbers or flags: checked, and given back as Python's own."""

from __future__ import annotations

import math
from numbers import Integral, Real

from trimgrid.errors import InputError


def check_sparsity(name: str, value: object) -> float:
    """Return ``value`` as a float if it is a sparsity, a fraction in [0, 1).

    Raises `InputError` for anything else, NaN and booleans included.

    >>> check_sparsity("target_sparsity", 0.8)
    0.8
    """
    number = real(value)
    if not 0 <= number < 1:
        raise InputError(
            f"{name} must be a fraction in [0, 1). Received: {name}={value!r}. "
            "Give 0.8 for 80 % zeros."
        )
    return number


def check_integer(name: str, value: object, minimum: int) -> int:
    """Return ``value`` as an int if it is an integer of at least ``minimum``.

    NumPy's integers count, booleans and floats do not. Raises `InputError`.

    >>> import numpy as np
    >>> check_integer("frequency", np.int64(100), minimum=1)
    100
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise InputError(
            f"{name} must be an integer of at least {minimum}. Received: {name}={value!r}. "
            f"Give a whole number, {minimum} or more."
        )
    return int(value)


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False.

    Raises `InputError` for anything else: "no" would count as yes.

    >>> check_flag("shrink", True)
    True
    """
    if not isinstance(value, bool):
        raise InputError(
            f"{name} must be True or False. Received: {name}={value!r:.60}. Give one of them."
        )
    return value


def real(value: object) -> float:
    """Return the number as a float, and NaN, which lies in no range, for what is not a number.

    Booleans are no numbers.

    >>> real(3), real("3"), real(True)
    (3.0, nan, nan)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
