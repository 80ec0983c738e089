"""Times of files as a table for terminals, and what they say in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimgrid.cells import milliseconds, quantized
from trimgrid.latency import Latency, TimedFile
from trimgrid.report.text_widths import padded, shortened, wrapped
from trimgrid.terminal_text import one_line, printable

_LINE_WIDTH = 80
_LEAST_NAME, _SIZE_WIDTH, _TIME_WIDTH = 12, 10, 14


def latency_text(latency: Latency) -> str:
    """Return a table of the files with their times, then what they say, in lines of 80 columns."""
    columns = _head(latency)
    cells = {id(file): _cells(file, len(columns)) for file in latency.files}
    least = [_SIZE_WIDTH, _SIZE_WIDTH, *(_TIME_WIDTH for _ in latency.threads)]
    widths = [
        max(width, *(len(each) + 1 for each in column))
        for width, column in zip(least, zip(columns, *cells.values(), strict=True), strict=True)
    ]
    lines = wrapped(_about(latency), _LINE_WIDTH)
    for how in dict.fromkeys(file.quantize for file in latency.files):
        lines += ["", _row(quantized(how), columns, widths)]
        model = None
        for file in latency.files:
            if file.quantize == how:
                below = file.storage != "dense" and file.model == model
                model = file.model
                name = one_line(printable(model))
                if file.storage != "dense":
                    name = f"  {file.storage}" if below else f"{name}, {file.storage}"
                lines.append(_row(f"  {name}", cells[id(file)], widths))
    notes = [note for file in latency.files for note in _notes(file)]
    for paragraph in (latency_verdicts(latency), notes):
        if paragraph:
            lines += ["", *_paragraphs(paragraph)]
    return "\n".join(lines) + "\n"


def latency_verdicts(latency: Latency) -> list[str]:
    """Return what the times say, a sentence for each file that is compared with another.

    >>> from trimgrid.latency import Spread
    >>> first = TimedFile("original", "none", "dense", None, {1: Spread(1, 1, 1)})
    >>> ratios = {1: Spread(1.01, 0.99, 1.03)}
    >>> second = TimedFile("half", "none", "dense", None, {1: Spread(1, 1, 1)}, ratios)
    >>> for each in latency_verdicts(Latency((first, second), (1,), 20, "LiteRT", "a machine")):
    ...     print(each)
    float32, dense: on 1 thread no faster than the original (1.01 of its time, 0.99 to 1.03).
    Zeros do not make it faster here: they pay off in the size of the file only.
    Fastest on 1 thread: original, float32, 1.00 ms.
    """
    first: dict[str, TimedFile] = {}
    said = []
    compared = []
    for file in latency.files:
        if not file.milliseconds:
            continue
        other = first.setdefault(file.quantize, file)
        if other is file:
            continue
        compared.append(file)
        against = "the original" if other.model != file.model else f"the {other.storage} file"
        parts = [_verdict(file, count, against) for count in file.ratios]
        said.append(f"{quantized(file.quantize)}, {file.storage}: {'; '.join(parts)}.")
    return said + _on_zeros(compared) + [_fastest(latency, count) for count in latency.threads]


def _verdict(file: TimedFile, threads: int, against: str) -> str:
    ratio = file.ratios[threads]
    none = "no faster" if file.no_faster(threads) else "not measurably faster"
    word = {True: "faster", False: "slower", None: none}[file.faster(threads)]
    times = f"{ratio.median:.2f} of its time, {ratio.low:.2f} to {ratio.high:.2f}"
    return f"on {_threads(threads)} {word} than {against} ({times})"


def _on_zeros(compared: Sequence[TimedFile]) -> list[str]:
    """What zeros are good for: of files that have the same units as what they are compared with."""
    dense = [file for file in compared if file.storage == "dense"]
    sparse = [file for file in compared if file.storage.endswith("sparse")]
    if any(map(_ever_faster, sparse)) and not any(map(_ever_faster, dense)):
        always = all(file.faster(count) for file in sparse for count in file.ratios)
        but = "" if always else ", and not on every number of threads"
        return [f"Zeros make it faster only where they are left out of the file{but}."]
    both = dense + sparse
    if both and all(file.no_faster(count) for file in both for count in file.ratios):
        return ["Zeros do not make it faster here: they pay off in the size of the file only."]
    return []


def _ever_faster(file: TimedFile) -> bool:
    return any(file.faster(count) for count in file.ratios)


def _fastest(latency: Latency, threads: int) -> str:
    """The file of the least median; what is within the noise of it may be as fast."""
    timed = [file for file in latency.files if threads in file.milliseconds]
    best = min(timed, key=lambda file: file.milliseconds[threads].median)
    time = milliseconds(best.milliseconds[threads].median)
    return f"Fastest on {_threads(threads)}: {file_label(best)}, {time} ms."


def file_label(file: TimedFile) -> str:
    """Return what a file is: its model, its numbers, how it is stored.

    >>> file_label(TimedFile("half", "none", "sparse"))
    'half, float32, sparse'
    """
    storage = "" if file.storage == "dense" else f", {file.storage}"
    return f"{one_line(printable(file.model))}, {quantized(file.quantize)}{storage}"


def latency_table(latency: Latency) -> dict[str, Any]:
    """Return the same for a page: `head` and `rows` of a table, `about` it, and `words` on it.

    A row is a file and its bytes as they are and zipped, then its time for each number of threads.
    """
    rows = []
    for file in latency.files:
        rows.append([file_label(file), *_cells(file, 2 + len(latency.threads))])
    words = [*latency_verdicts(latency), *(note for file in latency.files for note in _notes(file))]
    return {
        "head": ["File", *_head(latency)],
        "rows": rows,
        "about": _about(latency),
        "words": words,
    }


def _head(latency: Latency) -> list[str]:
    return ["Bytes", "zipped", *(_threads(count) for count in latency.threads)]


def _about(latency: Latency) -> str:
    return (
        f"One inference in {latency.runtime}, milliseconds: median of {latency.rounds} rounds "
        f"in turns, ± half the interquartile range. {latency.machine}."
    )


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count > 1 else "")


def _row(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    width = max(_LEAST_NAME, _LINE_WIDTH - sum(widths))
    shown = padded(shortened(name, width), width)
    return shown + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _cells(file: TimedFile, columns: int) -> list[str]:
    if file.size is None:
        return ["-"] * columns
    times = [spread.text() for spread in file.milliseconds.values()]
    return [f"{file.size.plain:,}", f"{file.size.zipped:,}", *times]


def _notes(file: TimedFile) -> list[str]:
    if file.reason is None:
        return []
    return [f"{quantized(file.quantize)}, {file.storage}: not timed. {one_line(file.reason)}."]


def _paragraphs(sentences: Sequence[str]) -> list[str]:
    return [line for each in sentences for line in wrapped(each, _LINE_WIDTH)]
