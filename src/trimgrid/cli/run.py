"""`trimgrid run`: a study of one's own, from a Python file or from a model and its data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from trimgrid.cli.options import (
    AllocationOption,
    BackendOption,
    Engine,
    EngineOption,
    MemoryOption,
    RepeatsOption,
    ShrinkOption,
)
from trimgrid.errors import InputError, RunError
from trimgrid.terminal_text import printable


def run(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="STUDY.py", help="A file that defines study or get_study()."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .keras or .h5 file.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="An .npz with x_train, y_train, x_test, ..., or tfds:NAME."
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A loss of Keras. Default: the compiled model's."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="Of each attempt.")] = None,
    pretrain_epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Of the original, if it is not trained yet. Default: 0."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Examples of a batch. Default: 32.")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: the compiled model's, or adam."),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A metric or loss of Keras. Default: the loss."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Of data order and dropout. Default: 0."),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file. Default: the recommended grid."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Goes on if it exists. Default: runs/ and the name of the model or study file.",
        ),
    ] = None,
    allocation: AllocationOption = None,
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
) -> None:
    """Train, prune and measure a grid of attempts. Run it again to go on where it stopped.

    Either STUDY.py, or --model, --data and --epochs.
    """
    described = {
        "model": None if model is None else str(model),
        "data": data,
        "epochs": epochs,
        "loss": loss,
        "pretrain_epochs": pretrain_epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "error": error,
        "seed": seed,
    }
    _check_arguments(study, described)
    from trimgrid.allocation.setting import check_allocation
    from trimgrid.choosing import has_error
    from trimgrid.memory_size import parse_memory_size
    from trimgrid.report.run_table import going_on_text
    from trimgrid.runs.results import find_results
    from trimgrid.startup import check_engine, select_backend, start_keras

    check_allocation(allocation)
    limit = None if memory is None else parse_memory_size(memory)
    folder = run_dir or _default_folder(study, model)
    # Before Keras, whose backend can't be changed any more then.
    chosen = select_backend(backend, default=_best_backend(model, folder, engine))
    check_engine(engine.value, chosen)
    begun = find_results(folder)
    if begun is not None:
        print(going_on_text(begun, folder), file=sys.stderr)
    with ExitStack() as stack:
        converter = None
        if not no_tflite and (begun is None or begun.unfinished):
            from trimgrid.export.tflite import TFLiteConverter

            converter = stack.enter_context(TFLiteConverter())  # starts while Keras is imported
        start_keras()
        from trimgrid.cli.study_file import load_study
        from trimgrid.grids.grid import with_allocation
        from trimgrid.grids.toml_file import load_grid
        from trimgrid.loggers import open_logger
        from trimgrid.report.page.writing import PAGE
        from trimgrid.report.plots import save_tradeoff
        from trimgrid.report.run_table import run_table
        from trimgrid.runs.study import Study

        if study is not None:
            ready, attempts = load_study(study)
        else:
            given: dict[str, Any] = {k: v for k, v in described.items() if v is not None}
            ready, attempts = Study(given.pop("model"), given.pop("data"), **given), None
        if grid is not None:
            attempts = load_grid(grid, lambda: ready.recommended_grid(allocation or "lamp"))
        if attempts is None:
            attempts = ready.recommended_grid(allocation or "lamp")
        elif allocation is not None:
            attempts = with_allocation(attempts, allocation)
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
            )
        except KeyboardInterrupt:
            print(f"To go on from {printable(str(folder))}, run it again.", file=sys.stderr)
            raise
    print(run_table(results, results.error_name), end="")
    picture = folder / "tradeoff.png"
    save_tradeoff(results, picture, size=results.default_size, error_name=results.error_name)
    print(f"Saved in {printable(str(folder))}, with tradeoff.png.", file=sys.stderr)
    if (folder / PAGE).is_file():
        print(f"The page to pick a model from: {printable(str(folder / PAGE))}", file=sys.stderr)
    if not any(map(has_error, results.attempts)):
        raise RunError("No attempt succeeded; the table says why.")


def _check_arguments(study: Path | None, described: Mapping[str, object]) -> None:
    given = [_option(name) for name, value in described.items() if value is not None]
    needed = [name for name in ("model", "data", "epochs") if described[name] is None]
    if study is not None and given:
        raise InputError(
            f"A study file says all of the study itself. Received: {study} and {given[0]}. Leave "
            "one of them away."
        )
    if study is None and needed:
        raise InputError(
            f"A run needs a study file, or a model, its data and epochs. "
            f"Received: no {', no '.join(map(_option, needed))}. Give for example: trimgrid run "
            "--model model.keras --data data.npz --loss mse --epochs 20"
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _best_backend(model: Path | None, folder: Path, engine: Engine) -> str:
    """That of the run that goes on; else JAX, but TensorFlow for convolutions on a CPU."""
    from trimgrid.runs.results import recorded_backend
    from trimgrid.saved_config import has_convolutions
    from trimgrid.startup import gpu_at_hand

    if (known := recorded_backend(folder)) is not None:
        return known
    slow_on_jax = (
        model is not None
        and engine is not Engine.VECTORIZED
        and not gpu_at_hand()
        and has_convolutions(model)
    )
    return "tensorflow" if slow_on_jax else "jax"


def _default_folder(study: Path | None, model: Path | None) -> Path:
    named = study or model
    assert named is not None
    return Path("runs", named.stem)
