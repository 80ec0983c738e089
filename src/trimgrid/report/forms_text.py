"""The forms of an attempt as a table: dense, sparse and shrunk side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trimgrid.cells import milliseconds, quantized
from trimgrid.forms import Form, TFLiteForm, quantizations
from trimgrid.report.text_widths import wrapped
from trimgrid.terminal_text import one_line

_LINE_WIDTH = 80
_NAME_WIDTH, _LEAST_WIDTH = 24, 12


def forms_table(forms: Sequence[Form]) -> dict[str, Any]:
    """Return `head` and `rows` of a table, a column for each form, and `words` on what it lacks.

    Rows in which no form has anything are left out.

    >>> table = forms_table([Form("dense", 100, 4000, error=0.02), Form("shrunk", reason="None.")])
    >>> table["head"], table["rows"][0], table["words"]
    (['', 'dense', 'shrunk'], ['Weights', '100', '-'], ['shrunk: None.'])
    """
    rows = [
        ["Weights", *(_count(form.total_weights) for form in forms)],
        ["Zipped .h5", *(_count(form.zipped_h5_size) for form in forms)],
        ["Zipped .keras", *(_count(form.zipped_keras_size) for form in forms)],
        ["Error", *(_error(form.error) for form in forms)],
    ]
    for quantize in quantizations(forms):
        files = [form.tflite.get(quantize) for form in forms]
        for name, cell in _CELLS.items():
            told = name.format(quantized(quantize))
            rows.append([told, *("-" if file is None else cell(file) for file in files)])
    rows = [row for row in rows if {*row[1:]} != {"-"}]
    words = [
        f"{form.storage}: {one_line(form.reason)}" for form in forms if form.reason is not None
    ]
    return {"head": ["", *(form.storage for form in forms)], "rows": rows, "words": words}


def forms_text(forms: Sequence[Form]) -> str:
    """Return the same as lines of 80 columns."""
    table = forms_table(forms)
    lines = []
    columns = list(zip(table["head"], *table["rows"], strict=True))
    widths = [max(_LEAST_WIDTH, *(len(each) + 2 for each in column)) for column in columns[1:]]
    for name, *cells in [table["head"], *table["rows"]]:
        shown = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {name:<{_NAME_WIDTH}}{shown}")
    for each in table["words"]:
        lines += [f"  {line}" for line in wrapped(each, _LINE_WIDTH - 2)]
    return "\n".join(lines) + "\n"


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _error(error: float | None) -> str:
    return "-" if error is None else f"{error:.3e}"


def _time(time: float | None) -> str:
    return "-" if time is None else milliseconds(time)


_CELLS: dict[str, Callable[[TFLiteForm], str]] = {
    ".tflite, {}": lambda file: _count(file.size.plain),
    "  zipped": lambda file: _count(file.size.zipped),
    "  its own error": lambda file: _error(file.error),
    "  ms, 1 thread": lambda file: _time(file.milliseconds),
}
