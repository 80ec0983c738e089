"""`trimgrid show`, `best` and `rm`: what is in a run directory. They import no framework."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from trimgrid.cli.options import (
    ChosenIncreaseOption,
    MaxErrorOption,
    RunArgument,
    SizeOption,
    names_in_run,
    parse_share,
)
from trimgrid.cli.words import said_of_options
from trimgrid.errors import InputError
from trimgrid.terminal_text import printable, printable_lines

if TYPE_CHECKING:
    from trimgrid.runs.results import Results, StoredAttempt

AttemptArgument = Annotated[
    str, typer.Argument(metavar="ATTEMPT", help="Its name.", autocompletion=names_in_run)
]
CHOOSING = {"size": "--size", "max_error": "--max-error", "max_increase": "--max-increase"}
"""The options by which an attempt is chosen, by the names of the arguments."""

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]


class Order(StrEnum):
    """By what the attempts are sorted."""

    SIZE = "size"
    ERROR = "error"


def show(
    run: RunArgument,
    attempt: Annotated[
        str | None,
        typer.Argument(
            metavar="ATTEMPT",
            help="Its name: it alone, dense, sparse and shrunk side by side.",
            autocompletion=names_in_run,
        ),
    ] = None,
    sort: Annotated[
        Order | None, typer.Option(help="By size or error. Default: as they were planned.")
    ] = None,
    size: SizeOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV on standard output.")] = False,
) -> None:
    """Show the results in a run directory, finished or not, or one of them in all its forms."""
    from trimgrid.choosing import check_size
    from trimgrid.report.run_table import run_table
    from trimgrid.report.sensitivity_text import sensitivity_text
    from trimgrid.runs.results import load_results

    results = load_results(run)
    if as_json and as_csv:
        raise InputError("One format at a time. Received: --json and --csv. Leave one away.")
    if attempt is not None:
        if sort is not None or as_csv:
            given = "--csv" if as_csv else "--sort"
            raise InputError(
                "Options for a table need all attempts. "
                f"Received: {attempt!r} and {given}. Leave one of them away."
            )
        _show_one(results, results[attempt], as_json, in_forms=True)
        return
    by_size = results.default_size if size is None else size
    with said_of_options(**CHOOSING):
        check_size(by_size)
    shown = (
        results if sort is None else results.sorted_by(by_size if sort is Order.SIZE else "error")
    )
    if as_json:
        print(json.dumps(shown.to_dicts(), indent=2, allow_nan=False))
    elif as_csv:
        text = shown.to_csv()
        # People read it on a terminal, which would obey what a name may hold; in a pipe it is data.
        print(printable_lines(text) if sys.stdout.isatty() else text, end="")
    elif not results and not results.unfinished and results.sensitivity is not None:
        print("No attempts yet, only how sensitive the tensors are:\n")
        print(sensitivity_text(results.sensitivity), end="")
    else:
        print(run_table(shown, results.error_name, by_size), end="")


def best(
    run: RunArgument,
    max_error: MaxErrorOption = None,
    max_increase: ChosenIncreaseOption = None,
    size: SizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the smallest attempt that is good enough."""
    from trimgrid.runs.results import load_results
    from trimgrid.stored.forms import more_than_dense

    results = load_results(run)
    with said_of_options(**CHOOSING):
        found = find_best(results, max_error, max_increase, size)
    _show_one(results, found, as_json, in_forms=more_than_dense(found))


def _show_one(results: Results, found: StoredAttempt, as_json: bool, in_forms: bool) -> None:
    from trimgrid.report.forms_text import forms_text
    from trimgrid.report.run_table import attempt_text

    if as_json:
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    original = results.find_original()
    print(attempt_text(found, None if found is original else original, results.error_name), end="")
    if in_forms and not found.damaged:
        print()
        print(forms_text(found.forms), end="")


def find_best(
    results: Results, max_error: float | None, max_increase: str | None, size: str | None
) -> StoredAttempt:
    """The smallest attempt that is good enough, by the options of the command line.

    What they leave to a search, or might have, is told on standard error.
    """
    share = None if max_increase is None else parse_share(max_increase)
    if told := results.goal.text(limit=max_error is None and share is None, size=size is None):
        print(told, file=sys.stderr)
    return results.best(max_error=max_error, max_increase=share, size=size)


def rm(run: RunArgument, attempt: AttemptArgument) -> None:
    """Remove an attempt and its files, so that it can be trained anew or with other settings."""
    from trimgrid.run_directory.store import remove_attempt

    remove_attempt(run, attempt)
    print(f"Removed: {printable(attempt)}", file=sys.stderr)
