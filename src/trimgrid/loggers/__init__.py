"""Loggers that people already use: an attempt is a run of theirs. Off by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.errors import InputError

if TYPE_CHECKING:
    from trimgrid.loggers.mlflow import MLflowLogger
    from trimgrid.loggers.tensorboard import TensorBoardLogger

LOGGERS = ("tensorboard", "mlflow")


def open_logger(name: str, run_dir: str | Path) -> TensorBoardLogger | MLflowLogger:
    """Return the logger "tensorboard" or "mlflow" for a run directory.

    Raises `InputError` for another name, and with the command that installs it for one that is
    missing.

    >>> open_logger("wandb", "runs/m")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A logger must be one of tensorboard, mlflow. Received: 'wandb'.
    """
    if name == "tensorboard":
        from trimgrid.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(Path(run_dir, "logs", "tensorboard"))
    if name == "mlflow":
        from trimgrid.loggers.mlflow import MLflowLogger

        return MLflowLogger(Path(run_dir))
    raise InputError(f"A logger must be one of {', '.join(LOGGERS)}. Received: {name!r}.")
