"""The results of a run as a table, and one attempt as a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimgrid.cells import (
    ZIPPED_SIZES,
    change_cell,
    error_cell,
    latency_cell,
    milliseconds,
    size_cell,
    size_cells,
    size_label,
    size_unit,
    zeros_cell,
)
from trimgrid.report.aligned_rows import aligned_rows
from trimgrid.report.shrunk_table import shrunk_lines
from trimgrid.report.text_widths import wrapped
from trimgrid.results import AttemptInfo
from trimgrid.shrunk_info import SHRUNK_SIZES
from trimgrid.storage.copies import shown
from trimgrid.terminal_text import one_line, printable

if TYPE_CHECKING:
    from trimgrid.stored.results import StoredResults

_LINE_WIDTH = 80
_NOTES = 20
_HEAD = ("Attempt", "Zeros", "Zipped h5", "keras", "tflite", "Error", "Change", "ms")
_LEAST_WIDTHS = (8, 10, 10, 10, 10, 9, 8)  # of all columns but the name's


def run_table(results: StoredResults, error_name: str, size: str | None = None) -> str:
    """Return a table of a run: share of zeros, size of the zipped files, error and its change.

    A star marks attempts that no other beats in both `size`, None for `Results.default_size`, and
    error. Sizes of files without idle units have a column where one of them is `size`, or what a
    search looked for. What was not measured is "-". Sizes are in bytes, those of large models in kB
    or MB. Below stands what failed, and which attempts are not finished. Names are shortened to the
    width of the terminal, if there is one.
    """
    infos = list(results)
    unit = size_unit(infos)
    size = results.default_size if size is None else size
    front = {info.name for info in results.pareto(size)}
    looked_for = {size, *(str(each.settings.get("size")) for each in results.searches)}
    lines = attempt_lines(infos, results.find_original(), unit, front, looked_for)
    lines += ["", *_legend(infos, error_name, unit)]
    lines += shrunk_lines(infos)
    stopped = sum(info.stopped_early for info in infos)
    if stopped:
        note = f"{stopped} stopped early by a search: others are smaller and better."
        lines += ["", *wrapped(note, _LINE_WIDTH)]
    wrong = [info for info in infos if info.status != "ok" and not info.stopped_early]
    for info in wrong[:_NOTES]:
        lines += ["", *wrapped(f"{printable(info.name)}: {one_line(info.status)}", _LINE_WIDTH)]
    if len(wrong) > _NOTES:
        lines += ["", f"{len(wrong) - _NOTES} more have a status that is not ok."]
    exports = [(info.name, entry) for info in infos for entry in info.exports]
    if exports:
        lines += ["", "Exported:"]
        lines += [
            each for name, entry in exports for each in wrapped(_export(name, entry), _LINE_WIDTH)
        ]
    if results.unfinished:
        missing = len(results.unfinished)
        note = f"Not finished: {missing} of {missing + len(infos)}. Run it again to go on."
        lines += ["", *wrapped(note, _LINE_WIDTH)]
    return "\n".join(lines) + "\n"


def attempt_text(info: AttemptInfo, original: AttemptInfo | None, error_name: str) -> str:
    """Return an attempt beside the original: zeros, sizes and error, a line each.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> print(attempt_text(half, None, "loss: mse"), end="")
    half
      Zeros               50.0 % of 100 weights
      Zipped .h5           1,000 bytes
      Error            2.000e-02 (loss: mse)
    """
    lines = [
        printable(info.name),
        f"  {'Zeros':<16}{zeros_cell(info):>10} of {info.total_weights:,} weights",
    ]
    for name in ZIPPED_SIZES:
        size = getattr(info, name)
        if size is None:
            continue
        before = None if original is None else getattr(original, name)
        less = "" if not before else f", {before / size:.2f}x smaller than the original"
        ending = name.split("_")[1]
        lines.append(f"  {f'Zipped .{ending}':<16}{size:>10,} bytes{less}")
    notes = [printable(error_name), "" if original is None else change_cell(info, original)]
    lines.append(f"  {'Error':<16}{error_cell(info):>10} ({', '.join(filter(None, notes))})")
    if info.shrunk is not None and info.shrunk.units:
        left = f"{info.shrunk.total_weights:,} weights, without {info.shrunk.units:,} idle units"
        lines.append(f"  {'Shrunk':<16}{left}")
    if info.latency_ms is not None:
        time = milliseconds(info.latency_ms)
        lines.append(f"  {'Latency':<16}{time:>10} ms (.tflite, 1 thread)")
    if info.status != "ok":
        lines += wrapped(f"  Status: {one_line(info.status)}", _LINE_WIDTH)
    return "\n".join(lines) + "\n"


def going_on_text(results: StoredResults, folder: Path) -> str:
    """Return the line on a run that goes on: how much of what it had before is finished.

    What it is asked for now may be more.
    """
    planned = len(results) + len(results.unfinished)
    finished = sum(not each.given_up for each in results)
    done = f"{finished} of the {planned} planned so far are finished"
    return f"Going on in {printable(shown(folder))}: {done}."


def attempt_lines(
    infos: Sequence[AttemptInfo],
    original: AttemptInfo | None,
    unit: str,
    front: Set[str],
    looked_for: Set[str],
) -> list[str]:
    """Return the head and a line for each attempt; columns are as wide as what is in them.

    `unit`: of the sizes; `front`: the names of those that have a star; `looked_for`: sizes, of
    which those of files without idle units have columns. Columns in which no attempt has anything
    are left out.
    """
    shrunk = [size for size in SHRUNK_SIZES if size in looked_for]
    place = _HEAD.index("Error")
    heads = [_shrunk_head(size) for size in shrunk]
    rows: list[tuple[str, ...]] = [(" ", *_HEAD[:place], *heads, *_HEAD[place:])]
    for info in infos:
        mark = "*" if info.name in front else " "
        cells = (
            zeros_cell(info),
            *size_cells(info, unit),
            *(size_cell(getattr(info, size), unit) for size in shrunk),
            error_cell(info),
            change_cell(info, original),
            latency_cell(info),
        )
        rows.append((mark, printable(info.name), *cells))
    least = _LEAST_WIDTHS
    return aligned_rows(rows, (*least[: place - 1], *(10 for _ in shrunk), *least[place - 1 :]))


def _shrunk_head(size: str) -> str:
    """What stands above a size of files without idle units: they are zipped unless it says so."""
    label = size_label(size)
    return label.removeprefix("zipped .") if "zipped" in label else f"unzipped {label[1:]}"


def _export(name: str, entry: Mapping[str, Any]) -> str:
    """One line on an export; of an entry that lacks something what it has."""
    quantize = entry.get("quantize", "none")
    how = entry.get("format") if quantize == "none" else quantize
    parts = [f"{entry['file']}: {name}" + (f" ({how})" if how else "")]
    if (size := entry.get("size", {}).get("zipped")) is not None:
        parts.append(f"{size:,} bytes zipped")
    if entry.get("sparse"):
        parts.append("zeros left out")
    if (shrunk := entry.get("shrunk")) and (units := sum(shrunk.get("removed", {}).values())):
        parts.append(f"without {units:,} idle unit{'s' if units > 1 else ''}")
    if (error := entry.get("error")) is not None:
        parts.append(f"error {error:.3e}")
    if (difference := entry.get("max_difference")) is not None:
        parts.append(f"largest difference {difference:.2g}")
    return "  " + printable(", ".join(parts))


def _legend(infos: Sequence[AttemptInfo], error_name: str, unit: str) -> list[str]:
    repeats = max((info.repeats for info in infos), default=1)
    median = f", median of {repeats} repeats" if repeats > 1 else ""
    text = (
        f"{unit} of the zipped files. Error: {printable(error_name)}{median}; change against the "
        "original. *: no other is as small and as good."
    )
    if any(info.latency_ms is not None for info in infos):
        text += (
            " ms: of one inference of the .tflite, LiteRT, 1 thread, measured at different times."
        )
    return wrapped(text, _LINE_WIDTH)
