"""Run an example: print what the article prints, and save the recap, the results and pictures."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.grid import AttemptConfig, article_grid
from trimgrid.report.table import recap_text
from trimgrid.results import AttemptInfo, write_results_json
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
) -> list[AttemptInfo]:
    """Run the article's example `name` with its grid of 11 attempts.

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
        from trimgrid.examples.experiments import experiment
        from trimgrid.study import check_run

        task = experiment(name, epochs, seed, data, data_dir)
        grid = article_grid()
        check_run(task.model, grid, task.split.train, task.training, task.split.validation)
        folder.mkdir(parents=True, exist_ok=True)
        _announce(name, grid, task)
        task.model.summary()
        print()
        infos: list[AttemptInfo] = []
        try:
            _run(task, grid, converter, folder, infos)
        except KeyboardInterrupt:
            print(f"Interrupted: {len(infos)} of {len(grid) + 1} done.", file=sys.stderr)
            raise
        finally:
            if infos:
                _report(infos, folder, task)
        return infos


def _run(
    task: Experiment,
    grid: list[AttemptConfig],
    converter: TFLiteConverter,
    folder: Path,
    infos: list[AttemptInfo],
) -> None:
    """Run the grid; print, save and append each result as soon as it is there."""
    from trimgrid.study import run_grid

    with _Progress(len(grid) + 1, task.training.epochs) as progress:
        for info in run_grid(
            task.model,
            grid,
            task.split.train,
            task.training,
            task.evaluate,
            converter,
            validation=task.split.validation,
            on_epoch=progress.on_epoch,
        ):
            infos.append(info)
            write_results_json(infos, folder / "results.json")
            progress.print_block(info)


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


def _announce(name: str, grid: list[AttemptConfig], task: Experiment) -> None:
    import keras

    steps = task.training.steps(len(task.split.train[0]))
    print(
        f"Example {name}: Keras {keras.__version__} on {keras.config.backend()}, the original and "
        f"{len(grid)} attempts, {steps} steps each, one after the other.",
        file=sys.stderr,
    )


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


class _Progress:
    """A bar on standard error, if that is a terminal, out of the way of what is printed."""

    def __init__(self, trainings: int, epochs: int) -> None:
        self._epochs = epochs
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]},"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("original (unpruned)", total=trainings * epochs, loss="-")
        self._done = 0
        self._current = ""

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_epoch(self, name: str, epoch: int, loss: float) -> None:
        if name != self._current:
            self._done += bool(self._current)
            self._current = name
        done = self._done * self._epochs + epoch
        self._bar.update(self._task, description=name, completed=done, loss=f"{loss:.2e}")

    def print_block(self, info: AttemptInfo) -> None:
        self._bar.stop()
        info.print()
        print(flush=True)
        self._bar.start()
