"""The errors that are ours, and what those of others say: their cause, the file, the machine."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimgrid.terminal_text import printable

# Terminals' codes for colors and bold text, which Keras puts around a cause.
_COLOR = re.compile(r"\x1b\[[\d;]*m")

# What a full or failing disk, a lack of memory or of rights are told by.
_MACHINE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EROFS,
}


class InputError(ValueError):
    """Bad input, found before any work was started.

    The message is one sentence or two: the rule, what was received, and the remedy.
    The command line prints it without a traceback and exits with 2.

    >>> raise InputError("sparsity must be in [0, 1). Received: sparsity=1.5. Give a fraction.")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: sparsity must be in [0, 1). Received: sparsity=1.5. Give a fraction.
    """


class RunError(RuntimeError):
    """A run that began and can't be completed.

    The command line prints the message without a traceback and exits with 1.

    >>> raise RunError("the original model could not be trained: the loss became nan at step 3")
    Traceback (most recent call last):
    ...
    trimgrid.errors.RunError: the original model could not be trained: the loss became nan at step 3
    """


def cause(error: BaseException) -> str:
    """Return an error's message without what Keras says around the cause: where, and with what.

    >>> text = "Exception encountered when calling Dense.call().\\n\\n\\x1b[1mno rows\\x1b[0m\\n\\n"
    >>> cause(ValueError(f"{text}Arguments received by Dense.call():\\n  - x=None"))
    'no rows'
    """
    text = re.split(r"(?:Exception|Error) encountered:", _COLOR.sub("", str(error)))[-1]
    text = re.split(r"Arguments received by|Full object config", text)[0]
    said = re.sub(r"Exception encountered when calling .*", "", text).strip()
    return said or text.strip()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's cause, to be put into one of our messages.

    >>> first_line(ValueError("no such layer\\nsee above"))
    'no such layer.'
    """
    lines = cause(error).splitlines()
    return f"{lines[0].strip().rstrip('.')}." if lines else "no message."


def of_the_machine(error: BaseException) -> bool:
    """Tell whether an error is the machine's, which has no room or rights, and no content's.

    >>> of_the_machine(OSError(errno.ENOSPC, "No space left")), of_the_machine(OSError("no HDF5"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _MACHINE


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Name the file in an error of the system that names none, as errors in writing do not.

    >>> with naming("model.h5"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    OSError: [Errno 28] No space left on device: 'model.h5'
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Begin the message of a bad input with what it is the input of.

    >>> with told_of("const sparsity 0.5"):
    ...     raise InputError("A seed must not be negative.")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: const sparsity 0.5: A seed must not be negative.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{printable(name)}: {error}") from error
