"""A folder becomes a run directory, and what killed processes left in one goes."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from trimgrid.atomic import is_temporary, remove_leftovers, sync_folder
from trimgrid.errors import InputError
from trimgrid.run_directory.attempt_files import RESULT
from trimgrid.run_directory.holder import LOCK
from trimgrid.run_directory.manifest import MANIFEST
from trimgrid.run_directory.paths import CHECKPOINTS, WORK, attempt_folders
from trimgrid.storage.copies import shown


def make_folder(folder: Path) -> None:
    """Make the folder of a run, if it is not there.

    Raises `InputError` for one that can't be made, and one that holds something else.

    >>> make_folder(Path("/dev/null/run"))
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A run directory must be a folder that can be made and written. \
Received: '/dev/null/run' (Not a directory). Give another one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise InputError(
            "A run directory must be a folder that can be made and written. "
            f"Received: {shown(folder)!r} ({error.strerror}). Give another one."
        ) from error
    if MANIFEST not in names:
        others = sorted(name for name in names if name != LOCK and not is_temporary(name))
        if others:
            raise InputError(
                "A run directory must be new, empty or one of trimgrid's. "
                f"Received: {shown(folder)!r}, which is not a run directory and holds "
                f"{others[0]!r}. Give another one."
            )


def has_begun(folder: Path) -> bool:
    """Tell whether a run has a result or a checkpoint.

    >>> has_begun(Path("runs/none"))
    False
    """
    results = (attempt / RESULT for attempt in attempt_folders(folder))
    under_way = (folder / CHECKPOINTS).glob("*.npz")
    return any(under_way) or any(path.exists() for path in results)


def tidy(folder: Path, planned: Collection[str]) -> None:
    """Remove what killed processes left in a run directory that this one holds the lock of.

    Temporary files, the working folder, an empty folder of checkpoints, and the folders of attempts
    that are neither planned, by their ids, nor finished.
    """
    work, checkpoints = folder / WORK, folder / CHECKPOINTS
    if work.is_dir() and not work.is_symlink():
        shutil.rmtree(work)
    places = [folder, checkpoints]
    for attempt in attempt_folders(folder):
        if attempt.name not in planned and not (attempt / RESULT).exists():
            shutil.rmtree(attempt)
        else:
            places += [attempt, attempt / "exports"]
    for place in places:
        if not place.is_symlink() or place == folder:
            remove_leftovers(place)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()


def made(folder: Path) -> Path:
    """Return a folder, made if it is missing, for good."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    return folder
