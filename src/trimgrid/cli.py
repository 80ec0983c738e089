"""The command `trimgrid`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from trimgrid import __version__
from trimgrid.errors import InputError, RunError
from trimgrid.memory_size import parse_memory_size
from trimgrid.startup import check_engine, gpu_at_hand, select_backend, start_keras

app = typer.Typer(
    name="trimgrid",
    help="Prune a Keras model in a grid of attempts; pick the smallest that is good enough.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class Example(StrEnum):
    """The article's examples."""

    MLP = "mlp"
    LSTM = "lstm"
    CNN = "cnn"


class Engine(StrEnum):
    """How the attempts are trained."""

    AUTO = "auto"
    VECTORIZED = "vectorized"
    SEQUENTIAL = "sequential"


class Images(StrEnum):
    """Where the images of the example cnn come from."""

    TF_FLOWERS = "tf_flowers"
    PHOTOS = "photos"
    MNIST = "mnist"


BackendOption = Annotated[
    str | None,
    typer.Option(help="Keras backend: jax or tensorflow. Default: KERAS_BACKEND if set."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"trimgrid {__version__}")
        raise typer.Exit


@app.callback()
def trimgrid(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Prune a Keras model in a grid of attempts; pick the smallest that is good enough."""


@app.command(epilog="Example: trimgrid example mlp --out runs/mlp")
def example(
    name: Annotated[Example, typer.Argument(help="Regression, forecast or image classes.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs. Default: 100, 80, 15, as the article.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, data order, dropout.")] = 1,
    repeats: Annotated[
        int, typer.Option(min=1, help="Trainings of each attempt, each with a seed of its own.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: runs/NAME.")] = None,
    engine: Annotated[
        Engine, typer.Option(help="vectorized: all attempts at once, on JAX. Default: what suits.")
    ] = Engine.AUTO,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="For training, as 4GB or 500MB. Default: 60 % of what is free."
        ),
    ] = None,
    backend: BackendOption = None,
    data: Annotated[
        Images | None, typer.Option(help="Images for cnn. Default: tf_flowers (a download).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with tf_flowers, prepared or as archive.")
    ] = None,
) -> None:
    """Run one of the article's examples: the original and a grid of 11 attempts."""
    limit = None if memory is None else parse_memory_size(memory)
    slow_on_jax = name is Example.CNN and engine is not Engine.VECTORIZED and not gpu_at_hand()
    chosen = select_backend(backend, default="tensorflow" if slow_on_jax else "jax")
    check_engine(engine.value, chosen)
    from trimgrid.examples.runner import run_example

    infos = run_example(
        name.value,
        epochs,
        seed,
        out,
        None if data is None else data.value,
        data_dir,
        engine=engine.value,
        repeats=repeats,
        memory=limit,
    )
    if all(info.status != "ok" for info in infos[1:]):
        raise RunError("No attempt succeeded; the recap says why.")


@app.command(epilog="Example: trimgrid inspect model.keras")
def inspect(
    model: Annotated[Path, typer.Argument(help="A .keras or .h5 file.")],
    backend: BackendOption = None,
) -> None:
    """List a model's weights: shape, weights, zeros, and which are pruned or why not."""
    select_backend(backend, default="jax")
    start_keras()
    from trimgrid.models import load_model, prunable_variables
    from trimgrid.report.inspection import print_variables

    print_variables(prunable_variables(load_model(model).weights))


@app.command(epilog="Example: trimgrid size model.keras")
def size(
    model: Annotated[Path, typer.Argument(help="A .keras or .h5 file.")],
    backend: BackendOption = None,
) -> None:
    """Measure a model as .h5, .keras and .tflite, plain and zipped."""
    select_backend(backend, default="jax")
    from trimgrid.tflite import TFLiteConverter

    with TFLiteConverter() as converter, TemporaryDirectory(prefix="trimgrid-") as folder:
        converter.start()
        start_keras()
        from trimgrid.export import measure_model
        from trimgrid.models import load_model, sample_inputs
        from trimgrid.report.inspection import print_sizes
        from trimgrid.tflite import ConversionError

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exits with 2 on bad input and with 1 on a failed run."""
    # An end that was asked for is like Ctrl-C: what is finished is saved, the child ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=None if arguments is None else list(arguments))
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except (RunError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
