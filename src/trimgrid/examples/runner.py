"""Run an example: print what the article prints, and save the recap, the results and pictures."""

from __future__ import annotations

import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.examples.progress import Progress
from trimgrid.grid import AttemptConfig, article_grid
from trimgrid.report.table import recap_text
from trimgrid.results import AttemptInfo, write_results_json
from trimgrid.startup import start_keras
from trimgrid.tflite import TFLiteConverter

if TYPE_CHECKING:
    from trimgrid.examples.experiments import Experiment


def run_example(
    name: str,
    epochs: int | None = None,
    seed: int = 1,
    out: Path | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    *,
    engine: str = "auto",
    repeats: int = 1,
    memory: int | None = None,
) -> list[AttemptInfo]:
    """Run the article's example `name` with its grid of 11 attempts.

    `engine`, `repeats` and `memory` (bytes) are those of `trimgrid.study.run_grid`, the others
    those of `trimgrid.examples.experiments.experiment`.

    Prints the model's summary, the block of each attempt and the recap to standard output, and
    shows progress on standard error. Writes `recap.txt`, `results.json`, `tradeoff.png` and, where
    predictions are curves, `curves.png` into `out` (default: runs/NAME).

    Raises `InputError` before any training, and `RunError` if the original can't be trained.
    What was finished before a failure is saved all the same.
    """
    folder = Path("runs", name) if out is None else out
    check_writable(folder)
    print(f"Example {name}: starting.", file=sys.stderr)  # the imports take seconds
    with TFLiteConverter() as converter:
        converter.start()  # its imports overlap those of this process
        start_keras()
        from trimgrid.examples.experiments import experiment
        from trimgrid.study import run_grid

        task = experiment(name, epochs, seed, data, data_dir)
        grid = article_grid()
        progress = Progress(1 + len(grid) * repeats, task.training.epochs)
        _announce(name, grid, task, repeats)
        results = run_grid(
            task.model,
            grid,
            task.split.train,
            task.training,
            task.evaluate,
            converter,
            validation=task.split.validation,
            on_epoch=progress.on_epoch,
            engine=engine,
            repeats=repeats,
            memory=memory,
            say=progress.say,
        )
        folder.mkdir(parents=True, exist_ok=True)
        task.model.summary()
        print()
        infos: list[AttemptInfo] = []
        try:
            with progress:
                for info in results:  # printed and saved as soon as it is there
                    if not infos:  # from now on this process mostly waits for conversions
                        threading.Thread(target=_import_for_pictures, daemon=True).start()
                    infos.append(info)
                    write_results_json(infos, folder / "results.json")
                    progress.print_block(info)
        except KeyboardInterrupt:
            print(f"Interrupted: {len(infos)} of {len(grid) + 1} done.", file=sys.stderr)
            raise
        finally:
            if infos:
                _report(infos, folder, task)
        return infos


def check_writable(folder: Path) -> None:
    """Check that files can be written to the folder, or that it can be made. Makes nothing.

    Raises `InputError` if they can't.

    >>> check_writable(Path("/dev/null/runs"))
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The output folder must be writable. Received: '/dev/null/runs', \
where /dev/null is no folder. Name another one with --out.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    problem = None if existing.is_dir() else "is no folder"
    if problem is None:
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            problem = f"says: {error.strerror or error}"
    if problem is not None:
        raise InputError(
            f"The output folder must be writable. Received: {str(folder)!r}, "
            f"where {existing} {problem}. Name another one with --out."
        )


def _announce(name: str, grid: list[AttemptConfig], task: Experiment, repeats: int) -> None:
    import keras

    steps = task.training.steps(len(task.split.train[0]))
    often = "" if repeats == 1 else f", {repeats} times"
    print(
        f"Example {name}: Keras {keras.__version__} on {keras.config.backend()}, the original and "
        f"{len(grid)} attempts{often}, {steps} steps each.",
        file=sys.stderr,
    )


def _import_for_pictures() -> None:
    for module in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        import_module(module)


def _report(infos: list[AttemptInfo], folder: Path, task: Experiment) -> None:
    """Print and save the recap, then draw: a picture that fails costs nothing else."""
    from trimgrid.report.plots import save_curves, save_tradeoff

    recap = recap_text(infos)
    print(f"*** Final recap ***\n{recap}")
    with replacing(folder / "recap.txt") as unfinished:
        unfinished.write_text(recap, encoding="utf-8")
    files = ["results.json", "recap.txt", "tradeoff.png"]
    if task.curve is not None:
        save_curves(infos, *task.curve, folder / "curves.png")
        files.append("curves.png")
    save_tradeoff(infos, folder / "tradeoff.png", error_name=task.error_name)
    print(f"Saved in {folder}: {', '.join(files)}")
