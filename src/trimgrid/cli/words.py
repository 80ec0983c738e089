"""What the library says of its arguments, said of the options of a command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from trimgrid.errors import InputError


def in_options(text: str, options: Mapping[str, str]) -> str:
    """Return a message in which arguments of Python are the options that they come from.

    `options`: the options by the names of the arguments.

    >>> in_options("Received: seconds=0. Give seconds=10.", {"seconds": "--seconds"})
    'Received: --seconds 0. Give --seconds 10.'
    >>> in_options("Received: sparse=True, path='a.h5'.", {"sparse": "--sparse", "path": "-o"})
    'Received: --sparse, -o a.h5.'
    >>> in_options("size must be one of ...", {"size": "--size"})
    '--size must be one of ...'
    """
    names = "|".join(map(re.escape, options))
    value = r"""'[^']*'|"[^"]*"|[^\s,;]+?(?=[.,;:]?(?:\s|$))"""

    def option(match: re.Match[str]) -> str:
        given = match[2][1:-1] if match[2][0] in "'\"" else match[2]
        return options[match[1]] if given == "True" else f"{options[match[1]]} {given}"

    text = re.sub(rf"\b({names})=({value})", option, text)
    return re.sub(rf"^({names})(?= must )", lambda match: options[match[1]], text)


@contextmanager
def said_of_options(**options: str) -> Iterator[None]:
    """Turn the arguments in the message of an `InputError` into options.

    >>> with said_of_options(seconds="--seconds"):
    ...     raise InputError("A time must be above 0. Received: seconds=0.")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A time must be above 0. Received: --seconds 0.
    """
    try:
        yield
    except InputError as error:
        raise InputError(in_options(str(error), options)) from error
