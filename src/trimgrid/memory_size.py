"""An amount of memory as people write it."""

from __future__ import annotations

import re

from trimgrid.errors import InputError

_UNITS = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}


def parse_memory_size(text: str) -> int:
    """Return the bytes that a text such as "4GB", "1.5 GB", "500MB" or "2GiB" means.

    kB, MB, GB and TB are powers of 1,000, KiB, MiB, GiB and TiB of 1,024. A fraction of a byte is
    left off. Raises `InputError` for anything else, and for less than a byte.

    >>> parse_memory_size("4GB"), parse_memory_size("2GiB")
    (4000000000, 2147483648)
    >>> parse_memory_size("4")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: An amount of memory must be a number above 0 and a unit. \
Received: '4'. Give for example 4GB, 500MB or 2GiB.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([a-z]+)", text.strip().lower(), re.A)
    unit = _UNITS.get(match[2]) if match is not None else None
    size = int(float(match[1]) * unit) if match is not None and unit is not None else 0
    if size < 1:
        raise InputError(
            "An amount of memory must be a number above 0 and a unit. "
            f"Received: {text!r}. Give for example 4GB, 500MB or 2GiB."
        )
    return size
