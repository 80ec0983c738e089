"""The article's recap: one line for each attempt."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from trimgrid.results import AttemptInfo

_NAME_WIDTH = 20
_LINE_WIDTH = 80


def recap_text(attempt_infos: Sequence[AttemptInfo]) -> str:
    """Return the recap: name, bytes of the zipped .h5, percent that zipping took off it, error.

    What was not measured is "-", the error of a failed attempt is "failed". Below the table stands
    what went wrong, for each attempt whose status is not "ok". The text ends with a newline.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> print(recap_text([half]), end="")
    Attempt name              Size h5 (Comp. %)     Error (loss)
    half                         1000 ( 75.00%)     2.000000e-02
    """
    infos = list(attempt_infos)
    width = max([_NAME_WIDTH, *(len(info.name) for info in infos)])
    rows = [("Attempt name", "Size h5", "(Comp. %)", "Error (loss)"), *map(_row, infos)]
    lines = [
        f"{name:<{width}} {size:>12} {comp:>9} {error:>16}" for name, size, comp, error in rows
    ]
    for info in infos:
        if info.status != "ok":
            note = f"{info.name}: {info.status}"
            lines += ["", *textwrap.wrap(note, _LINE_WIDTH, subsequent_indent="  ")]
    return "\n".join(lines) + "\n"


def print_attempt_infos(attempt_infos: Sequence[AttemptInfo]) -> None:
    """Print the recap of the attempts to standard output: see `recap_text`.

    >>> print_attempt_infos([])
    Attempt name              Size h5 (Comp. %)     Error (loss)
    """
    print(recap_text(attempt_infos), end="")


def _row(info: AttemptInfo) -> tuple[str, str, str, str]:
    size = "-" if info.zipped_h5_size is None else f"{info.zipped_h5_size:d}"
    measured = info.h5_size is not None and info.zipped_h5_size is not None
    compression = f"({info.compressionh5_factor:6.2f}%)" if measured else "-"
    if not math.isnan(info.error):
        error = f"{info.error:e}"
    else:
        error = "-" if info.status == "ok" else "failed"
    return info.name, size, compression, error
