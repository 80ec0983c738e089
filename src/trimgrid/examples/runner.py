"""Run an example: print what the article prints, and save the recap, the results and pictures."""

from __future__ import annotations

import sys
import tempfile
import threading
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig, article_grid, with_allocation, with_structure
from trimgrid.report.page.writing import PAGE
from trimgrid.report.run_table import going_on_text
from trimgrid.report.table import recap_text
from trimgrid.results import AttemptInfo, write_results_json
from trimgrid.run_directory.elsewhere import push
from trimgrid.runs.results import find_results
from trimgrid.startup import start_keras
from trimgrid.storage.copies import shown
from trimgrid.terminal_text import printable

if TYPE_CHECKING:
    from trimgrid.examples.experiments import Experiment
    from trimgrid.runs.study import Study


def run_example(
    name: str,
    folder: Path,
    epochs: int | None = None,
    seed: int = 1,
    data: str | None = None,
    data_dir: Path | None = None,
    *,
    allocation: str | None = None,
    structure: str | None = None,
    engine: str = "auto",
    repeats: int = 1,
    memory: int | None = None,
    shrink: bool = False,
    workers: int = 1,
) -> list[AttemptInfo]:
    """Run the article's example `name` with its grid of 11 attempts.

    `folder` is the run directory: a run there goes on where it stopped. `allocation`: how the zeros
    are shared out among the tensors, None for the article's way, each by itself. `structure`: that
    of the masks, in words. `engine`, `repeats`, `memory` (bytes), `shrink` and `workers` are
    those of `trimgrid.Study.run`, the others those of `trimgrid.examples.experiments.experiment`.

    Prints the model's summary, the block of each attempt and the recap to standard output, and
    shows progress on standard error. Writes `recap.txt`, `results.json`, `tradeoff.png` and, where
    predictions are curves, `predictions.png` into `folder`.

    Raises `InputError` before any training, and `RunError` if the original can't be trained.
    What was finished before a failure is saved all the same.
    """
    check_writable(folder)
    print(f"Example {name}: starting.", file=sys.stderr)  # the imports take seconds
    begun = find_results(folder)
    if begun is not None:
        print(going_on_text(begun, folder), file=sys.stderr)
    with ExitStack() as stack:
        converter = None
        if workers == 1 and (begun is None or begun.unfinished):
            converter = stack.enter_context(TFLiteConverter())  # starts while Keras is imported
        start_keras()
        from trimgrid.examples.experiments import experiment

        task = experiment(name, epochs, seed, data, data_dir)
        grid = article_grid()
        if allocation is not None:
            grid = with_allocation(grid, allocation)
        if structure is not None:
            grid = with_structure(grid, structure)
        _announce(name, grid, task.study, repeats)
        infos: list[AttemptInfo] = []

        def show(info: AttemptInfo) -> None:  # printed and saved as soon as it is there
            if not infos:
                task.study.model.summary()
                print()
                # From now on this process mostly waits for conversions.
                threading.Thread(target=_import_for_pictures, daemon=True).start()
            infos.append(info)
            write_results_json(infos, folder / "results.json")
            info.print()
            print(flush=True)

        try:
            task.study.run(
                grid,
                folder,
                engine=engine,
                repeats=repeats,
                memory=memory,
                shrink=shrink,
                on_result=show,
                converter=converter,
                workers=workers,
            )
        except KeyboardInterrupt:
            done = f"{len(infos)} of {len(grid) + 1} are finished"
            print(
                f"{done}. To go on from {printable(shown(folder))}, run it again.", file=sys.stderr
            )
            raise
        finally:
            if infos:
                _report(infos, folder, task)
        if (folder / PAGE).is_file():
            print(f"The page to pick a model from: {printable(shown(folder / PAGE))}")
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


def _announce(name: str, grid: list[AttemptConfig], study: Study, repeats: int) -> None:
    import keras

    often = "" if repeats == 1 else f", {repeats} times"
    print(
        f"Example {name}: Keras {keras.__version__} on {keras.config.backend()}, the original and "
        f"{len(grid)} attempts{often}, {study.steps} steps each.",
        file=sys.stderr,
    )


def _import_for_pictures() -> None:
    for module in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        import_module(module)


def _report(infos: list[AttemptInfo], folder: Path, task: Experiment) -> None:
    """Print and save the recap, then draw: a picture that fails costs nothing else."""
    from trimgrid.report.plots import save_predictions, save_tradeoff

    recap = recap_text(infos)
    print(f"*** Final recap ***\n{recap}")
    with replacing(folder / "recap.txt") as unfinished:
        unfinished.write_text(recap, encoding="utf-8")
    files = ["results.json", "recap.txt", "tradeoff.png"]
    if task.curve is not None:
        save_predictions(infos, *task.curve, folder / "predictions.png")
        files.append("predictions.png")
    save_tradeoff(infos, folder / "tradeoff.png", error_name=task.error_name)
    push(*(folder / name for name in files))
    print(f"Saved in {printable(shown(folder))}: {', '.join(files)}")
