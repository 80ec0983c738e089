"""`trimgrid example`: the article's three examples."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trimgrid.cli.options import (
    AllocationOption,
    BackendOption,
    Engine,
    EngineOption,
    MemoryOption,
    RepeatsOption,
    ShrinkOption,
    StructureOption,
)
from trimgrid.cli.placing_options import WorkersOption
from trimgrid.errors import RunError


class Example(StrEnum):
    """The article's examples."""

    MLP = "mlp"
    LSTM = "lstm"
    CNN = "cnn"


class Images(StrEnum):
    """Where the images of the example cnn come from."""

    TF_FLOWERS = "tf_flowers"
    PHOTOS = "photos"
    MNIST = "mnist"


def example(
    name: Annotated[
        Example,
        typer.Argument(metavar="NAME", help="Regression, forecast or image classes."),
    ],
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of each attempt. Default: 100, 80, 15."),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of weights, data order, dropout.")
    ] = 1,
    allocation: AllocationOption = None,
    structure: StructureOption = None,
    repeats: RepeatsOption = 1,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            path_type=str,
            help="Goes on if it exists; a path, or a URL as s3://bucket/run. Default: runs/NAME.",
        ),
    ] = None,
    engine: EngineOption = Engine.AUTO,
    memory: MemoryOption = None,
    backend: BackendOption = None,
    shrink: ShrinkOption = False,
    data: Annotated[
        Images | None,
        typer.Option(help="Images for cnn. Default: tf_flowers (a download)."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where tf_flowers is, prepared or as archive."),
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Run one of the article's examples: the original and a grid of 11 attempts."""
    from trimgrid.allocation.setting import check_allocation
    from trimgrid.choosing import has_error
    from trimgrid.memory_size import parse_memory_size
    from trimgrid.run_directory.elsewhere import local_folder
    from trimgrid.runs.results import recorded_backend
    from trimgrid.startup import check_engine, gpu_at_hand, select_backend
    from trimgrid.structures.kinds import structure_of

    check_allocation(allocation)
    structure_of(structure)
    limit = None if memory is None else parse_memory_size(memory)
    folder = Path("runs", name.value) if out is None else local_folder(out)
    slow_on_jax = name is Example.CNN and engine is not Engine.VECTORIZED and not gpu_at_hand()
    best_backend = recorded_backend(folder) or ("tensorflow" if slow_on_jax else "jax")
    check_engine(engine.value, select_backend(backend, default=best_backend))
    from trimgrid.examples.runner import run_example

    infos = run_example(
        name.value,
        folder,
        epochs,
        seed,
        None if data is None else data.value,
        data_dir,
        allocation=allocation,
        structure=structure,
        engine=engine.value,
        repeats=repeats,
        memory=limit,
        shrink=shrink,
        workers=workers,
    )
    if not any(map(has_error, infos[1:])):
        raise RunError("No attempt succeeded; the recap says why.")
