"""`trimgrid watch`: a run in the terminal while it goes on, from its run directory alone."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from trimgrid.cli.options import RunArgument, SizeOption
from trimgrid.errors import InputError
from trimgrid.storage.urls import is_elsewhere

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from trimgrid.report.watching import Watched
    from trimgrid.stored.following import Following

_SECONDS, _SECONDS_ELSEWHERE = 1.0, 10.0  # where each look is a listing of the storage
_UNLIMITED = 10_000  # columns: names are not cut in a pipe


def watch(
    run: RunArgument,
    once: Annotated[
        bool, typer.Option("--once", help="Show it once. So it is where there is no terminal.")
    ] = False,
    size: SizeOption = None,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Between two looks at the run directory. Default: 1, of a URL 10.",
        ),
    ] = None,
) -> None:
    """Show how far a run is, what it has found, and when it will end.

    It ends with the run; Ctrl-C ends it before. The run goes on either way.
    """
    from rich.console import Console

    from trimgrid.report.watching import render
    from trimgrid.run_directory.elsewhere import local_folder
    from trimgrid.stored.following import Following

    if interval is None:
        interval = _SECONDS_ELSEWHERE if is_elsewhere(run) else _SECONDS
    if not 0.1 <= interval <= 3600:
        raise InputError(
            "The time between two looks must be from 0.1 to 3600 seconds. "
            f"Received: {interval:g}. Give for example 1."
        )
    following, console = Following(local_folder(run)), Console(highlight=False)
    terminal = console.is_terminal and not console.is_dumb_terminal
    with suppress(KeyboardInterrupt):
        if terminal and not once:
            _follow(following, console, size, interval)
        else:
            if not terminal:
                console.width = _UNLIMITED
            console.print(render(_look(following), size, console.width))


def _follow(following: Following, console: Console, size: str | None, interval: float) -> None:
    """Show the run until no process works on it any more; the last state stays."""
    from rich.live import Live

    from trimgrid.report.watching import render
    from trimgrid.run_directory.elsewhere import refresh

    def shown(watched: Watched) -> RenderableType:
        return render(watched, size, console.width, console.height - 1)  # and the cursor's line

    watched = _look(following)
    first = shown(watched)
    # Not given to Live at once: an interruption there would leave the cursor hidden.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        live.update(first, refresh=True)
        while not watched.state.ended:
            time.sleep(interval)
            refresh(following.folder)
            watched = _look(following)
            live.update(shown(watched), refresh=True)


def _look(following: Following) -> Watched:
    from datetime import datetime

    from trimgrid.report.run_state import is_alive, run_state
    from trimgrid.report.watching import Watched
    from trimgrid.run_directory.elsewhere import holder_folder
    from trimgrid.run_directory.holder import read_holder
    from trimgrid.run_directory.progress_file import read_progress

    now = datetime.now().astimezone()
    holder = read_holder(holder_folder(following.folder))
    lives = None
    if holder is not None:
        lives = is_alive(holder, read_progress(following.folder), now)
    # In this order: what a process tells and keeps at its end is there when it is gone.
    progress = read_progress(following.folder)
    results = following.results()
    state = run_state(holder, lives, progress, len(results.unfinished))
    return Watched(results, holder, progress, state, now)
