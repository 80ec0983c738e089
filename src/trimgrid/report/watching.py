"""A run as `trimgrid watch` shows it: how far it is, what it has found, when it will end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trimgrid.cells import change_cell, error_cell, zeros_cell
from trimgrid.choosing import check_size, has_error
from trimgrid.errors import RunError
from trimgrid.report.estimated_end import estimated_end
from trimgrid.report.run_state import RunState
from trimgrid.report.text_widths import cell_width, shortened, wrapped
from trimgrid.run_directory.holder import Holder
from trimgrid.run_directory.progress_file import RunProgress
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults
from trimgrid.terminal_text import one_line, printable

_FAILURES = 3
_LABEL = 10  # columns
_BAR = 80


@dataclass(frozen=True)
class Watched:
    """A run at a moment.

    `holder` and `progress` are what the run directory tells of the process, `state` is what follows
    from them. Times are shown in the time zone of `now`.
    """

    results: StoredResults
    holder: Holder | None
    progress: RunProgress | None
    state: RunState
    now: datetime


def render(
    watched: Watched, size: str | None = None, width: int = 80, height: int | None = None
) -> RenderableType:
    """Return the state of a run in lines of `width` columns, made for rich.

    `size`: what counts as size, as for `StoredResults.pareto`. `height`: how many lines there are
    room for, None for as many as it takes; of the front so many rows are left out.

    Raises `InputError` for an unknown size.
    """
    size = watched.results.default_size if size is None else size
    check_size(size)
    head = [*_head(watched, width), *_progress(watched, width), *_found(watched, size)]
    failures = _failures(watched.results, width)
    rows = None if height is None else height - len(head) - len(failures)
    return Group(*head, *_front(watched.results, size, width, rows), *failures)


def _head(watched: Watched, width: int) -> list[Text]:
    lines = [_line(shortened(printable(shown(watched.results.folder)), width), "bold")]
    told, ended = _state_text(watched), watched.state.ended
    good = not ended or watched.state is RunState.FINISHED
    lines.append(_line(told, "green" if good else "yellow"))
    if ended and watched.results.unfinished:
        others = "Others are planned: run their grid to finish them."
        lines.append(_line(others if good else "To go on, run it again."))
        if command := watched.results.about.get("command"):
            told = "Begun by".ljust(_LABEL) + printable(str(command))
            lines += [_line(line) for line in wrapped(told, width)]  # whole, to be copied
    return lines


def _state_text(watched: Watched) -> str:
    progress, now = watched.progress, watched.now
    process = "its process"
    if watched.holder is not None:
        process = f"process {watched.holder.pid} on {watched.holder.host}"
    since = "" if progress is None else f" since {_clock(progress.began, now)}"
    told = "" if progress is None else f" at {_clock(progress.told, now)}"
    last = f", last{told}" if told else ""
    texts = {
        RunState.STARTING: f"Starting: {process} has told nothing yet.",
        RunState.TRAINING: f"Training{since}, {process}.",
        RunState.MEASURING: f"Measuring the last ones, all is trained; {process}.",
        RunState.SILENT: f"No word from {process}{last}; it may be gone.",
        RunState.FINISHED: f"Finished{told}.",
        RunState.STOPPED: f"Stopped{told}.",
        RunState.GONE: f"Stopped: {process} is gone, killed or crashed.",
    }
    return texts[watched.state]


def _progress(watched: Watched, width: int) -> list[RenderableType]:
    """A bar, the times, and what trains at the moment."""
    progress, now, state = watched.progress, watched.now, watched.state
    if progress is None or state is RunState.STARTING:  # it may be that of an earlier process
        return []
    lines: list[RenderableType] = []
    if progress.total_epochs:
        count = f"{progress.epochs:,} of {progress.total_epochs:,}"
        length = max(4, min(width, _BAR) - _LABEL - len(count) - 2)
        bar = Table.grid(padding=(0, 1, 0, 0))
        bar.add_row(
            Text("Epochs".ljust(_LABEL - 1)),
            ProgressBar(progress.total_epochs, progress.epochs, width=length),
            Text(count),
        )
        lines.append(bar)
    since_told = timedelta(0) if state.ended else max(now - progress.told, timedelta(0))
    worked = f"{_duration(timedelta(seconds=progress.seconds) + since_told)} of work"
    end = None if state.ended or state is RunState.SILENT else estimated_end(progress, now)
    if end is not None:
        worked += f", about {_duration(end - now)} left, trained by {_clock(end, now)}"
    lines.append(_labelled("Time", worked))
    if state is RunState.TRAINING and progress.names:
        loss = "" if progress.loss is None else f" (loss {progress.loss:.2e})"
        count = f"{progress.attempts:,} attempt{'s' if progress.attempts > 1 else ''}{loss}"
        more = ", ..." if progress.attempts > len(progress.names) else ""
        lines.append(_labelled("Trains", f"{count}: {', '.join(progress.names)}{more}"))
    return lines


def _found(watched: Watched, size: str) -> list[Text]:
    """How many attempts are finished, and the original's figures."""
    results = watched.results
    planned = len(results) + len(results.unfinished)
    failed = sum(not has_error(each) for each in results)
    count = f"{len(results):,} of {planned:,} finished" + (f", {failed:,} failed" if failed else "")
    original = results.find_original()
    lines = [_labelled("Attempts", count), *_searches(results)]
    if original is not None:
        nbytes = getattr(original, size)
        known = "not measured" if nbytes is None else f"{nbytes:,} bytes"
        figures = f"{_named(size)} {known}, error {error_cell(original)} ({results.error_name})"
        lines.append(_labelled("Original", figures))
    return [*lines, Text("")]


def _searches(results: StoredResults) -> list[Text]:
    """How much of its budget each search has spent: what it asks for is planned batch by batch."""
    finished = {each.name: each for each in results}
    lines = []
    for search in results.searches:
        ended = [finished[name] for name in search.names if name in finished]
        budget = max(search.budget or 0, len(search.names))
        stopped = sum(each.stopped_early for each in ended)
        early = f", {stopped:,} of them stopped early" if stopped else ""
        lines.append(_labelled("Search", f"{len(ended):,} of {budget:,} have ended{early}"))
    return lines


def _front(results: StoredResults, size: str, width: int, height: int | None) -> list[Text]:
    """The head of the table, the attempts of the front, and what the mark means."""
    front = results.pareto(size)
    if not len(results):
        return [_line("Nothing is finished yet.")]
    if not front:
        return [_line(f"None has an error and {_named(size)} yet.")]
    best = _best(results, front, size)
    around = 1 if best is None else 2  # lines that are no rows
    shown = _window(len(front), None if height is None else height - around, best or 0)
    rows = [("Front", "Zeros", _named(size).capitalize(), "Error", "Change")]
    original = results.find_original()
    for each in front[shown]:
        cells = (zeros_cell(each), f"{getattr(each, size):,}", error_cell(each))
        rows.append((each.name, *cells, change_cell(each, original)))
    places = range(len(front))[shown]
    lines = _aligned(rows, [place == best for place in places], width)
    if left_out := len(front) - len(front[shown]):
        lines.append(_line(f"  and {left_out:,} more", "dim"))
    if best is not None:
        lines.append(_line(f"> the smallest {results.goal.limit_text}", "dim"))
    return lines


def _best(results: StoredResults, front: Sequence[StoredAttempt], size: str) -> int | None:
    """The place in the front of the smallest attempt that is good enough, if there is one."""
    try:
        return front.index(results.best(size=size))
    except (RunError, ValueError):  # none is good enough, or the original beats it
        return None


def _window(count: int, room: int | None, place: int) -> slice:
    """Which rows of the table are shown, so that that at `place` is one of them."""
    if room is None or count <= room:
        return slice(0, count)
    rows = max(1, room - 1)  # one line says how many more there are
    begin = min(max(0, place - rows // 2), count - rows)
    return slice(begin, begin + rows)


def _aligned(rows: Sequence[tuple[str, ...]], marked: Sequence[bool], width: int) -> list[Text]:
    """A head and rows in columns, names first; the marked ones stand out.

    A column with nothing in it is left out.
    """
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) + 2 for column in columns[1:]]
    longest = max(cell_width(printable(name)) for name, *_ in rows)
    room = min(longest, max(len("Front"), width - 2 - sum(widths)))
    lines = []
    for (name, *cells), mark in zip(zip(*columns, strict=True), (False, *marked), strict=True):
        shown = shortened(printable(name), room)
        text = ("> " if mark else "  ") + shown + " " * (room - cell_width(shown))
        text += "".join(cell.rjust(each) for cell, each in zip(cells, widths, strict=True))
        lines.append(_line(text.rstrip(), "bold green" if mark else ""))
    return lines


def _failures(results: StoredResults, width: int) -> list[Text]:
    failed: list[StoredAttempt] = [each for each in results if not has_error(each)]
    if not failed:
        return []
    lines = [Text("")]
    for each in failed[-_FAILURES:]:
        lines.append(
            _line(f"{shortened(printable(each.name), width // 3)}: {one_line(each.status)}", "red")
        )
    if len(failed) > _FAILURES:
        lines.append(_line(f"and {len(failed) - _FAILURES:,} more that failed", "dim"))
    return lines


def _labelled(label: str, text: str) -> Text:
    return _line(label.ljust(_LABEL) + text)


def _line(text: str, style: str = "") -> Text:
    """A text that rich cuts at its end where the line is too short for it."""
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _named(size: str) -> str:
    """The name of a size as people read it: "zipped tflite"."""
    return size.removesuffix("_size").replace("_", " ")


def _clock(time: datetime, now: datetime) -> str:
    local = time.astimezone(now.tzinfo)
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M}"


def _duration(time: timedelta) -> str:
    return str(timedelta(seconds=round(time.total_seconds())))
