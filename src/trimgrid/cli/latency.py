"""`trimgrid latency`: how long an inference takes, beside the original."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from trimgrid.cli.export import AttemptOrBest, Quantize, chosen_attempt
from trimgrid.cli.options import (
    BackendOption,
    ChosenIncreaseOption,
    MaxErrorOption,
    RunArgument,
    SizeOption,
)
from trimgrid.cli.results import CHOOSING, JsonOption
from trimgrid.cli.words import said_of_options
from trimgrid.terminal_text import printable


def latency(
    run: RunArgument,
    attempt: AttemptOrBest = None,
    quantize: Annotated[
        Quantize,
        typer.Option(
            metavar="HOW",
            help="none, float16, int8 or int4: what is timed beside the int8 weights of the tables "
            "(dynamic).",
        ),
    ] = Quantize.NONE,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="S", help="For how long all files are timed together. Default: 10."),
    ] = None,
    max_error: MaxErrorOption = None,
    max_increase: ChosenIncreaseOption = None,
    size: SizeOption = None,
    as_json: JsonOption = False,
    backend: BackendOption = None,
) -> None:
    """Time the .tflite files of an attempt, dense, sparse and shrunk, beside the original's."""
    from trimgrid.run_directory.elsewhere import local_folder
    from trimgrid.runs.results import load_results, recorded_backend
    from trimgrid.startup import select_backend, start_keras

    folder = local_folder(run)
    results = load_results(folder)
    with said_of_options(**CHOOSING):
        chosen = chosen_attempt(results, attempt, max_error, max_increase, size)
    select_backend(backend, default=recorded_backend(folder) or "jax")
    start_keras()
    from trimgrid.export.latency import check_latency
    from trimgrid.latency import SECONDS
    from trimgrid.report.latency_text import latency_text

    seconds = SECONDS if seconds is None else seconds
    with said_of_options(seconds="--seconds", quantize="--quantize"):
        check_latency(quantize.value, seconds)
    print(f"Timing {printable(chosen.name)} for {seconds:g} seconds.", file=sys.stderr)
    measured = chosen.measure_latency(quantize.value, seconds)
    if as_json:
        print(json.dumps(measured.to_dict(), indent=2, allow_nan=False))
    else:
        print(latency_text(measured), end="")
