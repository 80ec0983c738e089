"""`trimgrid export`: an attempt as the file to ship, run and compared."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimgrid.cli.options import (
    BackendOption,
    ChosenIncreaseOption,
    MaxErrorOption,
    RunArgument,
    SizeOption,
    names_in_run,
)
from trimgrid.cli.results import CHOOSING, JsonOption, find_best
from trimgrid.cli.words import said_of_options
from trimgrid.errors import InputError
from trimgrid.terminal_text import printable

if TYPE_CHECKING:
    from trimgrid.runs.results import Results, StoredAttempt


class Quantize(StrEnum):
    """How the weights are stored."""

    NONE = "none"
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    INT8 = "int8"
    INT4 = "int4"


AttemptOrBest = Annotated[
    str | None,
    typer.Argument(
        metavar="ATTEMPT",
        help="Its name. Default: the smallest that is good enough.",
        autocompletion=names_in_run,
    ),
]


def chosen_attempt(
    results: Results,
    attempt: str | None,
    max_error: float | None,
    max_increase: str | None,
    size: str | None,
) -> StoredAttempt:
    """The attempt that was named, or the smallest that is good enough."""
    if attempt is None:
        return find_best(results, max_error, max_increase, size)
    if max_error is not None or max_increase is not None:
        raise InputError(
            "Either an attempt is named or the best is looked for. Received: "
            f"{attempt!r} and a limit for the error. Leave one of them away."
        )
    return results[attempt]


def export(
    run: RunArgument,
    attempt: AttemptOrBest = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A .tflite, .keras, .h5 or .onnx file."),
    ] = None,
    quantize: Annotated[
        Quantize | None,
        typer.Option(
            metavar="HOW",
            help="none, float16, dynamic, int8 or int4. Default: dynamic for .tflite, the file "
            "that was measured; none for others.",
        ),
    ] = None,
    sparse: Annotated[
        bool,
        typer.Option(
            "--sparse",
            help="Leave zeros out of a .tflite in float32 (the default then) or float16; tells its "
            "size and time beside the dense file.",
        ),
    ] = False,
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink", help="Leave out units that do nothing: fewer weights, smaller files."
        ),
    ] = False,
    max_error: MaxErrorOption = None,
    max_increase: ChosenIncreaseOption = None,
    size: SizeOption = None,
    as_json: JsonOption = False,
    backend: BackendOption = None,
) -> None:
    """Export an attempt as a file, run the file, and tell how it compares with the Keras model."""
    if out is None:
        raise InputError("An export needs a file. Received: no --out. Give -o small.tflite")
    from trimgrid.run_directory.elsewhere import local_folder
    from trimgrid.runs.results import load_results, recorded_backend
    from trimgrid.shrunk_info import SHRUNK_SIZES
    from trimgrid.startup import select_backend, start_keras

    folder = local_folder(run)
    results = load_results(folder)
    with said_of_options(**CHOOSING):
        chosen = chosen_attempt(results, attempt, max_error, max_increase, size)
    select_backend(backend, default=recorded_backend(folder) or "jax")
    print(f"Exporting {printable(chosen.name)} to {printable(str(out))}.", file=sys.stderr)
    if attempt is None and not shrink and (size or results.default_size) in SHRUNK_SIZES:
        print("Chosen by its size without idle units: --shrink leaves them out.", file=sys.stderr)
    start_keras()
    from trimgrid.report.export_text import export_text

    how = None if quantize is None else quantize.value
    with said_of_options(path="--out", quantize="--quantize", sparse="--sparse"):
        exported = chosen.export(out, how, sparse=sparse, shrink=shrink)
    if as_json:
        print(json.dumps(exported.to_dict(), indent=2, allow_nan=False))
    else:
        print(export_text(exported, results.error_name), end="")
