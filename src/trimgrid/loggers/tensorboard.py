"""Results for TensorBoard: curves as scalars, settings and figures as hyperparameters."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from trimgrid.loggers.facts import curves, figures, parameters
from trimgrid.optional import optional_modules
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt


class TensorBoardLogger:
    """Writes event files, a folder for each attempt: `tensorboard --logdir FOLDER` shows them.

    An attempt that is there already is not written again.

    Raises `InputError` if the package tensorboardX is missing.
    """

    def __init__(self, folder: Path) -> None:
        package, summary = optional_modules(
            "Logging to TensorBoard",
            "tensorboard",
            "tensorboardX",
            "tensorboardX",
            "tensorboardX.summary",
        )
        self._writer = package.SummaryWriter
        self._hparams = summary.hparams
        self._folder = folder

    def log(self, attempt: StoredAttempt) -> None:
        """Write an attempt, unless it is there."""
        # Readable, and told apart by the id whatever the name.
        name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', attempt.name).strip('-.')}-{attempt.id[:8]}"
        folder = self._folder / name
        if folder.exists():
            return
        for killed in self._folder.glob(f".{name}.*"):  # one run at a time writes here
            shutil.rmtree(killed)
        unfinished = self._folder / f".{name}.{os.getpid()}"
        with self._writer(str(unfinished)) as writer:
            for tag, epoch, value in curves(attempt):
                writer.add_scalar(tag, value, epoch)
            # Not `add_hparams`, which opens a second writer on a file of the same name.
            settings = {key: str(value) for key, value in parameters(attempt).items()}
            for part in self._hparams(settings, figures(attempt)):
                writer.file_writer.add_summary(part)
            for tag, value in figures(attempt).items():
                writer.add_scalar(tag, value, 0)
            writer.add_text("status", attempt.status)
            writer.add_text(
                "files", "\n".join(shown(attempt.folder / name) for name in attempt.files)
            )
        unfinished.rename(folder)

    def close(self) -> None:
        """Nothing is left to do: each attempt has its files."""
