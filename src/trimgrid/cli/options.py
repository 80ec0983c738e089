"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trimgrid.errors import InputError
from trimgrid.storage.urls import is_elsewhere
from trimgrid.terminal_text import printable


class Engine(StrEnum):
    """How the attempts are trained."""

    AUTO = "auto"
    VECTORIZED = "vectorized"
    SEQUENTIAL = "sequential"


AllocationOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How attempts that don't say it themselves share the zeros out among the tensors: "
        "uniform, erdos_renyi, global_magnitude or lamp.",
    ),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Keras backend: jax or tensorflow. Default: KERAS_BACKEND, else the run's, else what "
        "suits.",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        metavar="NAME",
        help="vectorized: all attempts at once, on JAX. sequential: one after the other. "
        "auto: what suits.",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="For training, as 4GB or 500MB. Default: 60 % of what is free."
    ),
]
RepeatsOption = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Trainings of each attempt, each with a seed of its own."
    ),
]
ShrinkOption = Annotated[
    bool,
    typer.Option(
        "--shrink",
        help="Measure each model without its idle units too; what is finished, from its file.",
    ),
]
RunArgument = Annotated[
    str,
    # A `Path` would take a slash from a URL. With `path_type` the shell completes it as a path.
    typer.Argument(metavar="R", path_type=str, help="A run directory, or the URL of one."),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What counts as size: h5_size, keras_size or tflite_size, each also as zipped_..., "
        "shrunk_... and zipped_shrunk_... "
        "Default: zipped_tflite_size, or what a search in R looked for; without any .tflite "
        "zipped_keras_size.",
    ),
]
MaxErrorOption = Annotated[
    float | None,
    typer.Option("--max-error", metavar="ERROR", help="The largest error that is good enough."),
]
MaxIncreaseOption = Annotated[
    str | None,
    typer.Option(
        "--max-increase",
        metavar="SHARE",
        help="Over the original's error, as 5% or 0.05. Without any limit: 5%.",
    ),
]
ChosenIncreaseOption = Annotated[
    str | None,
    typer.Option(
        "--max-increase",
        metavar="SHARE",
        help="Over the original's error, as 5% or 0.05. Without any limit: as a search in R asked, "
        "else 5%.",
    ),
]


StructureOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS",
        help="How attempts that don't say it themselves group the weights that stay or go: "
        "'blocks 1x4', 'blocks 2x2 max', 2:4, units or 'units l1'.",
    ),
]


def parse_share(text: str) -> float:
    """Return a share given in percent or as a fraction.

    Raises `InputError` for what is neither.

    A fraction above 1 may be meant in percent, and must say so.

    >>> parse_share("5%"), parse_share("0.05"), parse_share("250%")
    (0.05, 0.05, 2.5)
    """
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise InputError(
            f"A share must be a number, or one in percent. Received: {text!r}. Give 5% or 0.05."
        ) from error
    if share > 1 and not text.endswith("%"):
        raise InputError(
            f"A share above 1 must be written in percent. Received: {text!r}. "
            f"Give {text}%, or {100 * share:g}% if that many times is meant."
        )
    return share


def names_in_run(context: typer.Context, incomplete: str) -> list[str]:
    """The attempts of the run directory on the command line, for the shell's completion."""
    from trimgrid.runs.results import load_results

    try:
        if is_elsewhere(context.params["run"]):
            return []  # nobody wants to wait for the network at each key
        names = [info.name for info in load_results(context.params["run"])]
    except (InputError, KeyError, TypeError):
        return []
    # A name with a control character is none to write on a shell's line.
    return [each for each in names if each.startswith(incomplete) and printable(each) == each]
