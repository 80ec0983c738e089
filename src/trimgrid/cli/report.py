"""`trimgrid report`: the page of a run, or of several side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trimgrid.errors import InputError
from trimgrid.terminal_text import printable


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="R...", help="Run directories.")],
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
    from trimgrid.runs.results import load_results

    if out is None:
        out = runs[0] / PAGE if len(runs) == 1 else Path(PAGE)
    elif out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"A page is an .html file. Received: {str(out)!r}. Give -o report.html")
    first, *others = map(load_results, runs)
    first.report(out, *others)
    print(f"Saved: {printable(str(out))}", file=sys.stderr)
