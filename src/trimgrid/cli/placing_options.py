"""The options that say where groups of attempts are trained."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class ExecutorName(StrEnum):
    """Where groups of attempts are trained."""

    LOCAL = "local"
    RAY = "ray"


WorkersOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Processes that train groups of attempts at the same time. Default: 1, this one.",
    ),
]
ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(metavar="NAME", help="local: this machine. ray: a Ray cluster. Default: local."),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Of a Ray cluster, as HOST:6379 or ray://HOST:10001. Default: RAY_ADDRESS, else a "
        "Ray of this machine.",
    ),
]
GroupOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Attempts that a worker trains at once. Default: what suits."
    ),
]
CpusOption = Annotated[
    float | None,
    typer.Option(metavar="N", help="Cores of each group on a Ray cluster. Default: 1."),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        metavar="N", help="Graphics cards of each group on a Ray cluster, as 1 or 0.5. Default: 0."
    ),
]
