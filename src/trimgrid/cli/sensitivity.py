"""`trimgrid sensitivity`: which tensors to spare, found anew or read from a run directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimgrid.cli.options import BackendOption, MaxIncreaseOption, parse_share
from trimgrid.cli.results import JsonOption
from trimgrid.cli.study_options import (
    DataOption,
    ErrorOption,
    LossOption,
    ModelOption,
    StudyOptions,
)
from trimgrid.errors import InputError
from trimgrid.storage.copies import shown
from trimgrid.storage.urls import is_elsewhere
from trimgrid.terminal_text import printable

if TYPE_CHECKING:
    from trimgrid.sensitivity import Sensitivity


def sensitivity(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="R|STUDY.py",
            path_type=str,
            help="A run directory in which it was found before, or a study file.",
        ),
    ] = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss: LossOption = None,
    error: ErrorOption = None,
    run_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            path_type=str,
            help="The run directory to keep it in, or the URL of one. Default: none.",
        ),
    ] = None,
    max_increase: MaxIncreaseOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.png", help="The heat map.")
    ] = None,
    as_json: JsonOption = False,
    backend: BackendOption = None,
) -> None:
    """Prune each tensor of a model alone, train nothing: which ones to spare.

    With R what is known of a run is shown. With STUDY.py, or --model and --data, it is found.
    """
    from trimgrid.report.sensitivity_text import sensitivity_text
    from trimgrid.run_directory.elsewhere import local_folder

    share = 0.05 if max_increase is None else parse_share(max_increase)
    if output is not None and (output.suffix != ".png" or not output.parent.is_dir()):
        raise InputError(
            "The heat map is a .png file in a folder that exists. "
            f"Received: {str(output)!r}. Give for example heat.png."
        )
    if what is not None and not is_elsewhere(what) and not Path(what).exists():
        raise InputError(
            "Sensitivity is read from a run directory, or found for a study file. "
            f"Received: {printable(str(what))!r}, which is neither: it does not exist. "
            "Check the path."
        )
    if what is not None and (is_elsewhere(what) or Path(what).is_dir()):
        others = {"model": model, "data": data, "loss": loss, "error": error, "run-dir": run_dir}
        given = [f"--{name}" for name, value in others.items() if value is not None]
        if given:
            raise InputError(
                "A run directory has what was found in it. "
                f"Received: {what} and {given[0]}. Leave one of them away."
            )
        found = _read(local_folder(what))
    else:
        # An attempt's epochs count for nothing here.
        epochs = None if what is not None else 1
        study = None if what is None else Path(what)
        described = StudyOptions(
            study, model, data, epochs, loss, None, None, None, error, None, "sensitivity"
        )
        found = _find(described, run_dir, backend)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        print(sensitivity_text(found, share), end="")
    if output is not None:
        from trimgrid.report.plot_sensitivity import save_sensitivity  # matplotlib takes its time

        save_sensitivity(found, output)
        print(f"Saved: {printable(str(output))}", file=sys.stderr)


def _read(folder: Path) -> Sensitivity:
    from trimgrid.runs.results import load_results

    found = load_results(folder).sensitivity
    if found is None:
        raise InputError(
            "The sensitivity of a run is there when it was found. "
            f"Received: {printable(shown(folder))!r}, where it was not. Find it with: trimgrid "
            f"sensitivity STUDY.py --run-dir {printable(shown(folder))}"
        )
    return found


def _find(described: StudyOptions, run_dir: str | None, backend: str | None) -> Sensitivity:
    from trimgrid.startup import select_backend, start_keras

    folder = described.folder(run_dir)
    select_backend(backend, default=described.best_backend(folder, vectorized=False))
    start_keras()
    study, _ = described.open()
    if study.pretrain_epochs > 0:
        raise InputError(
            "Sensitivity is that of a trained model. Received: a study that trains the original "
            f"for {study.pretrain_epochs} epochs first. Train it, or let trimgrid search do both."
        )
    return study.sensitivity(run_dir=None if run_dir is None else folder)
