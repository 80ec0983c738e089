"""Rows of cells as lines of a table for terminals."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from trimgrid.report.text_widths import cell_width, padded, shortened

_LINE_WIDTH = 80


def aligned_rows(rows: Sequence[tuple[str, ...]], least_widths: Sequence[int]) -> list[str]:
    """Return rows that begin with a mark and a name as lines; the first one is the head.

    Columns are as wide as what is in them, at least `least_widths` (all but the name's), and left
    out where there is nothing in them. Names are shortened to the width of the terminal, if
    there is one.

    >>> print("\\n".join(aligned_rows([(" ", "Name", "Error"), ("*", "half", "0.5")], [9])))
      Name    Error
    * half      0.5
    """
    columns = list(zip(*rows, strict=True))
    told = [place for place, (_, *cells) in enumerate(columns) if place < 2 or {*cells} - {"-", ""}]
    rows = [tuple(row[place] for place in told) for row in rows]
    _, name_width, *widths = (max(map(cell_width, columns[place])) for place in told)
    least = [least_widths[place - 2] for place in told[2:]]
    widths = [max(pair[0], pair[1] + 1) for pair in zip(least, widths, strict=True)]
    if sys.stdout.isatty():
        line_width = max(_LINE_WIDTH, shutil.get_terminal_size().columns)
        name_width = min(name_width, max(len("Attempt"), line_width - 2 - sum(widths)))
    lines = []
    for mark, name, *rest in rows:
        shown = padded(shortened(name, name_width), name_width)
        row = "".join(f"{cell:>{width}}" for cell, width in zip(rest, widths, strict=True))
        lines.append(f"{mark} {shown}{row}".rstrip())
    return lines
