"""The study of a command: the options that say it, and how it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimgrid.errors import InputError

if TYPE_CHECKING:
    from trimgrid.grids.grid import AttemptConfig
    from trimgrid.runs.study import Study

StudyArgument = Annotated[
    Path | None,
    typer.Argument(metavar="STUDY.py", help="A file that defines study or get_study()."),
]
ModelOption = Annotated[Path | None, typer.Option(metavar="FILE", help="A .keras or .h5 file.")]
DataOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="An .npz with x_train, y_train, x_test, ..., or tfds:NAME."),
]
LossOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A loss of Keras. Default: the compiled model's."),
]
EpochsOption = Annotated[int | None, typer.Option(metavar="N", min=1, help="Of each attempt.")]
PretrainOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Of the original, if it is not trained yet. Default: 0."),
]
BatchSizeOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Examples of a batch. Default: 32.")
]
OptimizerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Default: the compiled model's, or adam.")
]
ErrorOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="A metric or loss of Keras. Default: the loss.")
]
SeedOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Of data order and dropout. Default: 0.")
]
RunDirOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        path_type=str,
        help="Goes on if it exists; a path, or a URL as s3://bucket/run. Default: runs/ and the "
        "name of the model or study file.",
    ),
]


@dataclass(frozen=True)
class StudyOptions:
    """What says a study on the command line: a file, or a model, its data and how it is trained.

    Raises `InputError` for both, and for neither.
    """

    study: Path | None
    model: Path | None
    data: str | None
    epochs: int | None
    loss: str | None
    pretrain_epochs: int | None
    batch_size: int | None
    optimizer: str | None
    error: str | None
    seed: int | None
    command: str = "run"

    def __post_init__(self) -> None:
        described = {key: value for key, value in self._said().items() if key != "study"}
        given = [_option(name) for name, value in described.items() if value is not None]
        needed = [name for name in ("model", "data", "epochs") if described[name] is None]
        if self.study is not None and given:
            raise InputError(
                f"A study file says all of the study itself. Received: {self.study} and "
                f"{given[0]}. Leave one of them away."
            )
        if self.study is None and needed:
            missing = ", no ".join(map(_option, needed))
            raise InputError(
                "A study file says what is studied, or a model, its data and epochs do. "
                f"Received: no {missing}. Give for example: trimgrid {self.command} --model "
                "model.keras --data data.npz --loss mse"
                + (" --epochs 20" if self.command != "sensitivity" else "")
            )

    def _said(self) -> dict[str, Any]:
        """What says the study, by the names of the options."""
        return {key: value for key, value in asdict(self).items() if key != "command"}

    def folder(self, run_dir: str | None) -> Path:
        """The run directory, or its local copy, by default that of the study's name."""
        from trimgrid.run_directory.elsewhere import local_folder

        if run_dir is not None:
            return local_folder(run_dir)
        named = self.study or self.model
        assert named is not None
        return Path("runs", named.stem)

    def best_backend(self, folder: Path, vectorized: bool) -> str:
        """Return the backend that suits, before Keras is imported.

        That of the run that goes on; else JAX, but TensorFlow for convolutions on a CPU, unless the
        engine must be the vectorized one.
        """
        from trimgrid.runs.results import recorded_backend
        from trimgrid.saved_config import has_convolutions
        from trimgrid.startup import gpu_at_hand

        if (known := recorded_backend(folder)) is not None:
            return known
        slow_on_jax = (
            self.model is not None
            and not vectorized
            and not gpu_at_hand()
            and has_convolutions(self.model)
        )
        return "tensorflow" if slow_on_jax else "jax"

    def open(self) -> tuple[Study, Sequence[AttemptConfig] | None]:
        """Return the study, and the grid of a study file, if it has one.

        Raises `InputError` for a study that can't be made.
        """
        from trimgrid.cli.study_file import load_study
        from trimgrid.runs.study import Study

        if self.study is not None:
            return load_study(self.study)
        given: dict[str, Any] = {
            key: value for key, value in self._said().items() if value is not None
        }
        given["model"] = str(given["model"])
        return Study(given.pop("model"), given.pop("data"), **given), None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
