"""`trimgrid inspect` and `trimgrid size`: what is in a model file, and what it weighs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimgrid.cli.options import BackendOption
from trimgrid.errors import RunError

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras or .h5 file.")]


def inspect(
    model: ModelArgument,
    structure: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="As masks have it: 'blocks 1x4', 2:4, units."),
    ] = None,
    backend: BackendOption = None,
) -> None:
    """List a model's weights: shape, weights, zeros, and which are pruned or why not."""
    from trimgrid.startup import select_backend, start_keras
    from trimgrid.structures.kinds import structure_of

    asked = structure_of(structure)
    select_backend(backend, default="jax")
    start_keras()
    from trimgrid.models import load_model
    from trimgrid.prunable import prunable_variables
    from trimgrid.report.inspection import print_variables
    from trimgrid.shrinking.output_kernels import with_outputs

    loaded = load_model(model)
    print_variables(prunable_variables(loaded.weights, structure=with_outputs(asked, loaded)))


def size(model: ModelArgument, backend: BackendOption = None) -> None:
    """Measure a model as .h5, .keras and .tflite, plain and zipped."""
    from trimgrid.export.tflite import ConversionError, TFLiteConverter
    from trimgrid.scratch import scratch_folder
    from trimgrid.startup import select_backend, start_keras

    select_backend(backend, default="jax")
    with TFLiteConverter() as converter, scratch_folder() as folder:
        start_keras()
        from trimgrid.export.files import measure_model
        from trimgrid.models import load_model, sample_inputs
        from trimgrid.report.inspection import print_sizes

        loaded = load_model(model)
        samples = sample_inputs(loaded)
        sizes = measure_model(loaded, folder)
        try:
            converted = converter.convert(
                Path(folder, "model.keras"), Path(folder, "model.tflite"), samples
            )
        except ConversionError as error:
            print_sizes({".h5": sizes.h5, ".keras": sizes.keras})
            raise RunError(f"No .tflite: {error}") from error
        print_sizes({".h5": sizes.h5, ".keras": sizes.keras, ".tflite": converted.size})
