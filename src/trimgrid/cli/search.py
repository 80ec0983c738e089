"""`trimgrid search`: the smallest model that is good enough, found."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from trimgrid.cli.options import (
    BackendOption,
    Engine,
    EngineOption,
    MaxErrorOption,
    MaxIncreaseOption,
    MemoryOption,
    ShrinkOption,
    SizeOption,
    parse_share,
)
from trimgrid.cli.results import CHOOSING
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
from trimgrid.cli.words import said_of_options
from trimgrid.storage.copies import shown
from trimgrid.terminal_text import printable


def search(
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
    run_dir: RunDirOption = None,
    max_error: MaxErrorOption = None,
    max_increase: MaxIncreaseOption = None,
    size: SizeOption = None,
    budget: Annotated[
        int, typer.Option(metavar="N", min=1, help="Attempts in all; more continue a search.")
    ] = 64,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Attempts that train together. Default: 16."),
    ] = None,
    search_seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of what is tried; --seed is the trainings'.")
    ] = 0,
    engine: EngineOption = Engine.AUTO,
    memory: MemoryOption = None,
    backend: BackendOption = None,
    shrink: ShrinkOption = False,
    no_tflite: Annotated[
        bool, typer.Option("--no-tflite", help="Leave the conversions to .tflite away.")
    ] = False,
) -> None:
    """Find the smallest model that is good enough. Run it again to go on where it stopped.

    Either STUDY.py, or --model, --data and --epochs. What a study file has as grid is not used.
    """
    how = loss, pretrain_epochs, batch_size, optimizer, error, seed
    described = StudyOptions(study, model, data, epochs, *how, command="search")
    share = None if max_increase is None else parse_share(max_increase)
    from trimgrid.choosing import check_size
    from trimgrid.memory_size import parse_memory_size
    from trimgrid.report.page.writing import PAGE
    from trimgrid.report.run_table import going_on_text
    from trimgrid.report.search_text import answer_text, learnt_text
    from trimgrid.runs.results import find_results
    from trimgrid.shrunk_info import SHRUNK_SIZES
    from trimgrid.startup import check_engine, select_backend, start_keras

    if size is None:
        size = "zipped_keras_size" if no_tflite else "zipped_tflite_size"
    with said_of_options(**CHOOSING):
        check_size(size)
    limit = None if memory is None else parse_memory_size(memory)
    folder = described.folder(run_dir)
    suits = described.best_backend(folder, engine is Engine.VECTORIZED)
    check_engine(engine.value, select_backend(backend, default=suits))
    begun = find_results(folder)
    if begun is not None:
        print(going_on_text(begun, folder), file=sys.stderr)
    with ExitStack() as stack:
        converter = None
        if not no_tflite:
            from trimgrid.export.tflite import TFLiteConverter

            converter = stack.enter_context(TFLiteConverter())  # starts while Keras is imported
        start_keras()
        from trimgrid.runs.searching import BATCH

        ready, _ = described.open()
        try:
            with said_of_options(**CHOOSING):
                found = ready.search(
                    share,
                    size,
                    budget,
                    folder,
                    max_error=max_error,
                    batch=BATCH if batch is None else batch,
                    seed=search_seed,
                    engine=engine.value,
                    memory=limit,
                    tflite=not no_tflite,
                    shrink=shrink,
                    converter=converter,
                )
        except KeyboardInterrupt:
            print(f"To go on from {printable(shown(folder))}, run it again.", file=sys.stderr)
            raise
    original = found.results.find_original()
    print(learnt_text(found.attempts, original, found.front, found.importances, size))
    if (folder / PAGE).is_file():
        print(f"The page to pick a model from: {printable(shown(folder / PAGE))}", file=sys.stderr)
    # Last: where none is good enough it says so, after all that was found.
    best = found.best
    error_name, params = found.results.error_name, found.params[best.name]
    print(answer_text(best, original, size, found.limit_text, error_name, params), end="")
    words = ["trimgrid", "export", shown(folder), best.name, "-o", f"small.{size.split('_')[-2]}"]
    command = shlex.join([*words, "--shrink"] if size in SHRUNK_SIZES else words)
    print(f"To ship it: {printable(command)}", file=sys.stderr)
