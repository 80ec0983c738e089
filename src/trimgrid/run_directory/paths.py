"""Where things lie in a run directory: nothing that it names leads out of it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from trimgrid.errors import InputError

ATTEMPTS = "attempts"
CHECKPOINTS = "checkpoints"
CHOICES = "choices"
MANIFEST = "manifest.json"
PROGRESS = "progress.json"
RESULT = "result.json"
"""Of an attempt, written last: it is there where an attempt is finished."""
SAMPLES = "samples.npz"
WORKER_LOGS = "worker-logs"
"""What the workers of failed groups printed last."""
WORK = "work"
"""For files that are not finished."""
_ID = re.compile(r"[0-9a-f]{1,64}")


def attempt_path(folder: Path, id: str) -> Path:
    """Return the folder of an attempt in a run directory; it need not exist.

    Raises `InputError` for an id that is not of hex digits, and for a folder that is a link: what
    belongs to a run directory never lies outside of it.

    >>> attempt_path(Path("run"), "5f0c").as_posix()
    'run/attempts/5f0c'
    """
    path = folder.joinpath(ATTEMPTS, check_id(id))
    if path.is_symlink() or path.parent.is_symlink():
        raise _outside(path, "which is a link")
    return path


def attempt_folders(folder: Path) -> list[Path]:
    """Return the folders of attempts that there are, planned or not, links and others left out."""
    parent = folder / ATTEMPTS
    if parent.is_symlink() or not parent.is_dir():
        return []
    return sorted(
        path
        for path in parent.iterdir()
        if _ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )


def check_id(id: object) -> str:
    """Return an attempt's id if it is one: hex digits. Raises `InputError`.

    >>> check_id("../model")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: An attempt's id must be hex digits. Received: id='../model'. \
Take the digest of what determines the result.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InputError(
            f"An attempt's id must be hex digits. Received: id={id!r:.80}. "
            "Take the digest of what determines the result."
        )
    return id


def path_inside(folder: Path, path: str) -> Path:
    """Return a path that is stored in a run directory, relative to one of its folders.

    Raises `InputError` for a path that leaves the folder: absolute, with "..", or through a link.

    >>> path_inside(Path("run"), "exports/half.tflite").as_posix()
    'run/exports/half.tflite'
    """
    parts = PurePath(path).parts
    if not parts or PurePath(path).is_absolute() or ".." in parts or "\0" in path:
        raise _outside(path, f"which leaves {str(folder)!r}")
    found = folder / path
    if not found.resolve().is_relative_to(folder.resolve()):
        raise _outside(path, f"which leaves {str(folder)!r} through a link")
    return found


def _outside(path: str | Path, why: str) -> InputError:
    return InputError(
        "What a run directory names must lie in it. "
        f"Received: {str(path)!r}, {why}. Replace it by the file or folder itself."
    )
