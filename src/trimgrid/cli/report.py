"""`trimgrid report`: the page of a run, or of several side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trimgrid.errors import InputError
from trimgrid.storage.copies import shown
from trimgrid.terminal_text import printable


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="R...", path_type=str, help="Run directories, or URLs of some."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="An .html file. Default: report.html, in the run directory if it is one.",
        ),
    ] = None,
) -> None:
    """Write the page of a run: trade-off, table, curves, weights, predictions, in one HTML file.

    Several run directories are laid side by side.
    """
    from trimgrid.report.page.writing import PAGE
    from trimgrid.run_directory.elsewhere import local_folder
    from trimgrid.runs.results import load_results

    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"A page is an .html file. Received: {str(out)!r}. Give -o report.html")
    folders = [local_folder(run) for run in runs]
    if out is None:
        out = folders[0] / PAGE if len(folders) == 1 else Path(PAGE)
    first, *others = map(load_results, folders)
    first.report(out, *others)
    print(f"Saved: {printable(shown(out))}", file=sys.stderr)
