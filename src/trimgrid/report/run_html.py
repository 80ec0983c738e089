"""The results of a run as a table of HTML, for notebooks."""

from __future__ import annotations

from trimgrid.cells import change_cell, error_cell, size_cell, size_cells, size_unit, zeros_cell
from trimgrid.errors import RunError
from trimgrid.html_table import Align, table_html
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults

_MOST_ROWS = 200
_COLUMNS: tuple[tuple[str, Align], ...] = (
    ("", "right"),
    ("Attempt", "left"),
    ("Weights", "right"),
    ("Zeros", "right"),
    ("Zipped h5", "right"),
    ("keras", "right"),
    ("tflite", "right"),
    ("tflite, shrunk", "right"),
    ("Error", "right"),
    ("Change", "right"),
    ("Status", "left"),
)


def run_html(results: StoredResults) -> str:
    """Return what `trimgrid show` prints as a table of HTML.

    A star marks attempts that no other beats in both size and error, bold letters the best: the
    smallest that is good enough (see `Results.goal`), if there is one. Of more than 200 attempts
    these, the original and the first of the others are shown. Columns in which no attempt has
    anything are left out.
    """
    infos, original = list(results), results.find_original()
    front, best = results.pareto(), _best(results)
    places = {info.name: place for place, info in enumerate(infos)}
    first = [places[info.name] for info in (original, best, *front) if info is not None]
    shown = sorted(list(dict.fromkeys([*first, *range(len(infos))]))[:_MOST_ROWS])
    unit = size_unit(infos)
    names = {info.name for info in front}
    rows: list[tuple[str, ...]] = [
        (
            "*" if info.name in names else "",
            info.name,
            f"{info.total_weights:,}",
            zeros_cell(info),
            *size_cells(info, unit),
            size_cell(info.zipped_shrunk_tflite_size, unit),
            error_cell(info),
            change_cell(info, original),
            info.status,
        )
        for info in (infos[place] for place in shown)
    ]
    told = [place for place, cells in enumerate(zip(*rows, strict=True)) if {*cells} - {"-", ""}]
    columns = [_COLUMNS[place] for place in told]
    rows = [tuple(row[place] for place in told) for row in rows]
    strong = [row for row, place in enumerate(shown) if infos[place] is best]
    return table_html(columns, rows, _notes(results, best, unit), strong)


def _notes(results: StoredResults, best: StoredAttempt | None, unit: str) -> list[str]:
    repeats = max((info.repeats for info in results), default=1)
    median = f", median of {repeats} repeats" if repeats > 1 else ""
    notes = [f"and {len(results) - _MOST_ROWS:,} more"] if len(results) > _MOST_ROWS else []
    notes.append(
        f"{unit} of the zipped files. Error: {results.error_name}{median}; change against the "
        "original. *: no other is as small and as good."
        + (f" Bold: the smallest {results.goal.limit_text}." if best else "")
    )
    if results.unfinished:
        missing = len(results.unfinished)
        notes.append(f"Not finished: {missing} of {missing + len(results)}.")
    return notes


def _best(results: StoredResults) -> StoredAttempt | None:
    try:
        return results.best()
    except RunError:  # nothing is good enough, or there is nothing to compare with
        return None
