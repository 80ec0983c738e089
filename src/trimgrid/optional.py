"""Packages that only some of the library needs, installed as extras."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from trimgrid.errors import InputError


def optional_modules(what: str, extra: str, packages: str, *modules: str) -> list[Any]:
    """Import modules of packages that an extra installs.

    `what` begins the message where one is missing: what it is that needs the packages.

    Raises `InputError` with the command that installs them.

    >>> optional_modules("This data", "examples", "no-such-package", "no_such_module")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: This data needs no-such-package. Received: No module named \
'no_such_module'. Install it: pip install 'trimgrid[examples]'
    """
    try:
        return [import_module(module) for module in modules]
    except ImportError as error:
        raise InputError(
            f"{what} needs {packages}. Received: {error}. "
            f"Install it: pip install 'trimgrid[{extra}]'"
        ) from error
