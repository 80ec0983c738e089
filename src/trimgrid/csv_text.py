"""A table as CSV whose texts a spreadsheet takes for no formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trimgrid.atomic import replacing

# The last four are the wide forms of the others; a spreadsheet skips spaces and quotes.
_FORMULA = re.compile(r"""[\t\r\n]|[\s"']*[=+\-@＝＋－＠]""")  # noqa: RUF001


def csv_text(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], path: str | Path | None = None
) -> str:
    r"""Return lines that end with "\n": the columns' names, then the rows; None is empty.

    They are written to `path` if one is given.

    A text that a spreadsheet would take for a formula begins with an apostrophe; numbers stay as
    they are. Lone surrogates, which no file in UTF-8 has, become escapes.

    Raises `OSError` if the file can't be written; what was there stays.

    >>> print(csv_text(["name", "error"], [("=1+1", -0.5), ("a, b", None)]), end="")
    name,error
    '=1+1,-0.5
    "a, b",
    """
    table = [columns, *([_harmless(cell) for cell in row] for row in rows)]
    text = "".join(map(_line, table))
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if path is not None:
        with replacing(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="")
    return text


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _line(row: Sequence[Any]) -> str:
    text = io.StringIO()
    # Before Python 3.13 a carriage return is quoted only where it is in the lines' ending.
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"
