"""Folders for files that nobody keeps: gone at the end, and those of killed processes later."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"trimgrid-([1-9][0-9]*)-.+")


def make_scratch(where: str | Path | None = None) -> Path:
    """Make a folder for temporary files, whose name tells the process that it belongs to.

    It lies in the system's folder for such files, or in `where`. Raises `OSError`, which names it,
    if it can't be made.

    >>> folder = make_scratch()
    >>> folder.name.startswith(f"trimgrid-{os.getpid()}-")
    True
    >>> folder.rmdir()
    """
    return Path(tempfile.mkdtemp(prefix=f"trimgrid-{os.getpid()}-", dir=where))


@contextmanager
def scratch_folder(where: str | Path | None = None) -> Iterator[Path]:
    """Give a folder as `make_scratch` makes it, and remove it with all that is in it.

    >>> with scratch_folder() as folder:
    ...     _ = Path(folder, "recap.txt").write_text("done")
    >>> folder.exists()
    False
    """
    folder = make_scratch(where)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_scratch(where: str | Path | None = None) -> None:
    """Remove what killed processes of this user have left in the system's folder for temporary
    files, or in `where`.

    Folders of processes that live stay, and those that can't be removed. Only POSIX systems can
    tell; elsewhere nothing is done.

    >>> remove_stale_scratch()
    """
    if os.name != "posix":
        return
    with suppress(OSError), os.scandir(where or tempfile.gettempdir()) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is not None and _is_ours(entry) and not _lives(int(match[1])):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    try:
        owner = entry.stat(follow_symlinks=False).st_uid
        return entry.is_dir(follow_symlinks=False) and owner == os.getuid()
    except OSError:  # gone in the meantime
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's process has the number now
        return True
    return True
