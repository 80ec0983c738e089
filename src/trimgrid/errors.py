"""The one error that means: the input is wrong, nothing has been done yet."""

from __future__ import annotations


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


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, to be put into one of ours.

    >>> first_line(ValueError("no such layer\\nsee above"))
    'no such layer.'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0].rstrip('.')}." if lines else "no message."
