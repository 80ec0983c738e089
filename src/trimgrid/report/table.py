"""The article's recap: one line for each attempt."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimgrid.report.text_widths import cell_width, padded, wrapped
from trimgrid.results import AttemptInfo
from trimgrid.terminal_text import one_line, printable

_NAME_WIDTH = 20
_LINE_WIDTH = 80
_RANGE_WIDTH = 19  # what the other columns leave of the line
_NOTES = 20


def recap_text(attempt_infos: Sequence[AttemptInfo]) -> str:
    """Return the recap: name, bytes of the zipped .h5, percent that zipping took off it, error.

    What was not measured is "-", the error of a failed attempt is "failed". Below the table stands
    what went wrong, for the first 20 attempts whose status is not "ok", and how many more there
    are. The text ends with a newline.

    Where an attempt was repeated, the error is the median, and one more column tells the least and
    the greatest error of the repeats.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> print(recap_text([half]), end="")
    Attempt name              Size h5 (Comp. %)     Error (loss)
    half                         1000 ( 75.00%)     2.000000e-02
    """
    infos = list(attempt_infos)
    width = max([_NAME_WIDTH, *(cell_width(printable(info.name)) for info in infos)])
    repeated = any(info.error_range is not None for info in infos)
    titles = ("Attempt name", "Size h5", "(Comp. %)", "Error (loss)")
    if repeated:
        titles = (*titles[:3], "Error (median)")
    lines = [
        f"{padded(name, width)} {size:>12} {comp:>9} {error:>16}"
        for name, size, comp, error in (titles, *map(_row, infos))
    ]
    if repeated:
        column = ["Range of repeats", *map(_range, infos)]
        width = max(_RANGE_WIDTH, *map(len, column))
        lines = [f"{line} {text:>{width}}" for line, text in zip(lines, column, strict=True)]
    wrong = [info for info in infos if info.status != "ok"]
    for info in wrong[:_NOTES]:
        note = f"{printable(info.name)}: {one_line(info.status)}"
        lines += ["", *wrapped(note, _LINE_WIDTH)]
    if len(wrong) > _NOTES:
        lines += ["", f"{len(wrong) - _NOTES} more have a status that is not ok."]
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
    return printable(info.name), size, compression, error


def _range(info: AttemptInfo) -> str:
    if info.error_range is None:
        return "-"
    low, high = info.error_range
    return f"{low:.1e} to {high:.1e}"
