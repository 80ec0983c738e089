"""The command `trimgrid`: each command in a file of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from trimgrid import __version__
from trimgrid.cli.example import example
from trimgrid.cli.export import export
from trimgrid.cli.latency import latency
from trimgrid.cli.models import inspect, size
from trimgrid.cli.report import report
from trimgrid.cli.results import best, rm, show
from trimgrid.cli.run import run
from trimgrid.cli.search import search
from trimgrid.cli.sensitivity import sensitivity
from trimgrid.cli.watch import watch
from trimgrid.errors import InputError, RunError
from trimgrid.terminal_text import printable_lines

_INTERRUPTED = 130

app = typer.Typer(
    name="trimgrid",
    help="Prune a Keras model in a grid of attempts; pick the smallest that is good enough.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_EXAMPLES: dict[Callable[..., None], str] = {
    run: "trimgrid run --model m.keras --data d.npz --loss mse --epochs 20",
    search: "trimgrid search study.py --max-increase 5%",
    sensitivity: "trimgrid sensitivity study.py -o heat.png",
    watch: "trimgrid watch runs/m",
    show: "trimgrid show runs/m --sort size",
    best: "trimgrid best runs/m --max-increase 5%",
    report: "trimgrid report runs/m -o report.html",
    export: "trimgrid export runs/m -o small.tflite --quantize int8",
    latency: "trimgrid latency runs/m",
    rm: 'trimgrid rm runs/m "const sparsity 0.9"',
    example: "trimgrid example mlp --out runs/mlp",
    inspect: "trimgrid inspect model.keras",
    size: "trimgrid size model.keras",
}
for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"Example: {_example}")(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"trimgrid {__version__}")
        raise typer.Exit


@app.callback()
def trimgrid(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Prune a Keras model in a grid of attempts; pick the smallest that is good enough."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exits with 2 on bad input, 1 on a failed run and 130 on Ctrl-C."""
    # An end that was asked for is like Ctrl-C: what is finished is saved, the child ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may have letters that its encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments))
    except SystemExit as ended:  # as Typer always ends, after Ctrl-C with a code and no word
        if ended.code == _INTERRUPTED:
            print("Interrupted.", file=sys.stderr)
        _flush_output()
        raise
    except InputError as error:
        print(f"Error: {printable_lines(str(error))}", file=sys.stderr)
        sys.exit(2)
    except (RunError, OSError) as error:
        print(f"Error: {printable_lines(str(error))}", file=sys.stderr)
        sys.exit(1)


def _flush_output() -> None:
    """Write what is left of the output; quietly, if whoever read it has read enough."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        sys.exit(1)
