"""The models of a run that lost idle units, as a table below that of the attempts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimgrid.cells import size_cell, size_unit
from trimgrid.report.aligned_rows import aligned_rows
from trimgrid.report.text_widths import wrapped
from trimgrid.results import AttemptInfo
from trimgrid.shrunk_info import NOTHING_LEFT
from trimgrid.terminal_text import one_line, printable

_LINE_WIDTH = 80
_NOTES = 20
_KINDS = ("h5", "keras", "tflite")
_HEAD = ("Shrunk", "Units", "Weights", "Zipped h5", "keras", "tflite", "Error")
_LEAST_WIDTHS = (8, 10, 10, 10, 10, 9)  # as those of the table of attempts


def shrunk_lines(infos: Sequence[AttemptInfo]) -> list[str]:
    """Return a table of the models without idle units, with their sizes and errors.

    Below stands why models were left whole, or what could not be measured. Nothing of a run that
    was not asked for them.
    """
    asked = [(info, info.shrunk) for info in infos if info.shrunk is not None]
    if not asked:
        return []
    unit = size_unit(infos)
    rows: list[tuple[str, ...]] = [(" ", *_HEAD)]
    for info, shrunk in asked:
        if not shrunk.units:
            continue
        sizes = (getattr(shrunk, f"zipped_{kind}_size") for kind in _KINDS)
        cells = (
            f"{shrunk.units:,}",
            f"{shrunk.total_weights:,}",
            *(size_cell(size, unit) for size in sizes),
            f"{shrunk.error:.3e}" if math.isfinite(shrunk.error) else "-",
        )
        rows.append((" ", printable(info.name), *cells))
    smaller = len(rows) - 1
    lines = ["", *aligned_rows(rows, _LEAST_WIDTHS)] if smaller else []
    whole = len(asked) - smaller
    note = "Shrunk: of no attempt idle units could be left out."
    if smaller:
        others = "1 other" if whole == 1 else f"{whole} others"
        note = "Shrunk, without idle units; zipped as above, the error measured anew."
        note += f" Of {others} none could be left out." if whole else ""
    told = {
        (printable(info.name) if shrunk.units else "Left whole", one_line(shrunk.reason))
        for info, shrunk in asked
        if shrunk.reason not in (None, NOTHING_LEFT)
    }
    reasons = [f"{name}: {reason}" for name, reason in sorted(told)][:_NOTES]
    wrapped_lines = [line for each in (note, *reasons) for line in wrapped(each, _LINE_WIDTH)]
    return [*lines, "", *wrapped_lines]
