"""`trimgrid run`: a study of one's own, from a Python file or from a model and its data."""

from __future__ import annotations

import sys
from contextlib import ExitStack
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
from trimgrid.cli.placing_options import (
    CpusOption,
    ExecutorName,
    ExecutorOption,
    GpusOption,
    GroupOption,
    RayAddressOption,
    WorkersOption,
)
from trimgrid.cli.study_options import (
    BatchSizeOption,
    DataOption,
    EpochsOption,
    ErrorOption,
    LossOption,
    ModelOption,
    OptimizerOption,
    PretrainOption,
    RunDirOption,
    SeedOption,
    StudyArgument,
    StudyOptions,
)
from trimgrid.errors import RunError
from trimgrid.storage.copies import shown
from trimgrid.terminal_text import printable


def run(
    study: StudyArgument = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss: LossOption = None,
    epochs: EpochsOption = None,
    pretrain_epochs: PretrainOption = None,
    batch_size: BatchSizeOption = None,
    optimizer: OptimizerOption = None,
    error: ErrorOption = None,
    seed: SeedOption = None,
    grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file. Default: the recommended grid."),
    ] = None,
    run_dir: RunDirOption = None,
    allocation: AllocationOption = None,
    structure: StructureOption = None,
    repeats: RepeatsOption = 1,
    engine: EngineOption = Engine.AUTO,
    memory: MemoryOption = None,
    backend: BackendOption = None,
    no_tflite: Annotated[
        bool, typer.Option("--no-tflite", help="Leave the conversions to .tflite away.")
    ] = False,
    shrink: ShrinkOption = False,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tensorboard or mlflow; may be given twice."),
    ] = None,
    workers: WorkersOption = 1,
    executor: ExecutorOption = ExecutorName.LOCAL,
    ray_address: RayAddressOption = None,
    group: GroupOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
) -> None:
    """Train, prune and measure a grid of attempts. Run it again to go on where it stopped.

    Either STUDY.py, or --model, --data and --epochs.
    """
    described = StudyOptions(
        study, model, data, epochs, loss, pretrain_epochs, batch_size, optimizer, error, seed
    )
    from trimgrid.allocation.setting import check_allocation
    from trimgrid.choosing import has_error
    from trimgrid.memory_size import parse_memory_size
    from trimgrid.report.run_table import going_on_text
    from trimgrid.runs.results import find_results
    from trimgrid.startup import check_engine, select_backend, start_keras
    from trimgrid.structures.kinds import structure_of

    check_allocation(allocation)
    structure_of(structure)
    limit = None if memory is None else parse_memory_size(memory)
    folder = described.folder(run_dir)
    # Before Keras, whose backend can't be changed any more then.
    best = described.best_backend(folder, engine is Engine.VECTORIZED)
    chosen = select_backend(backend, default=best)
    check_engine(engine.value, chosen)
    begun = find_results(folder)
    if begun is not None:
        print(going_on_text(begun, folder), file=sys.stderr)
    with ExitStack() as stack:
        converter = None
        here = executor is ExecutorName.LOCAL and workers == 1
        if here and not no_tflite and (begun is None or begun.unfinished):
            from trimgrid.export.tflite import TFLiteConverter

            converter = stack.enter_context(TFLiteConverter())  # starts while Keras is imported
        start_keras()
        from trimgrid.grids.grid import with_allocation, with_structure
        from trimgrid.grids.toml_file import load_grid
        from trimgrid.loggers import open_logger
        from trimgrid.report.page.writing import PAGE
        from trimgrid.report.plots import save_tradeoff
        from trimgrid.report.run_table import run_table
        from trimgrid.run_directory.elsewhere import push
        from trimgrid.runs.placing import resources_of

        ready, attempts = described.open()
        if grid is not None:
            attempts = load_grid(
                grid, lambda: ready.recommended_grid(allocation or "lamp", structure)
            )
        if attempts is None:
            attempts = ready.recommended_grid(allocation or "lamp", structure)
        elif allocation is not None:
            attempts = with_allocation(attempts, allocation)
        if structure is not None:
            attempts = with_structure(attempts, structure)
        try:
            results = ready.run(
                attempts,
                folder,
                engine=engine.value,
                repeats=repeats,
                memory=limit,
                tflite=not no_tflite,
                shrink=shrink,
                loggers=[open_logger(name, folder) for name in log or ()],
                converter=converter,
                executor=executor.value,
                workers=workers,
                ray_address=ray_address,
                group=group,
                resources=resources_of(cpus, gpus),
            )
        except KeyboardInterrupt:
            print(f"To go on from {printable(shown(folder))}, run it again.", file=sys.stderr)
            raise
    print(run_table(results, results.error_name), end="")
    picture = folder / "tradeoff.png"
    save_tradeoff(results, picture, size=results.default_size, error_name=results.error_name)
    push(picture)
    print(f"Saved in {printable(shown(folder))}, with tradeoff.png.", file=sys.stderr)
    if (folder / PAGE).is_file():
        print(f"The page to pick a model from: {printable(shown(folder / PAGE))}", file=sys.stderr)
    if not any(map(has_error, results.attempts)):
        raise RunError("No attempt succeeded; the table says why.")
