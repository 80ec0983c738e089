"""Files that appear whole or not at all, even if the process is killed or the power fails."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What `replacing` calls its files: a dot, the stem, the process, the ending.
_TEMPORARY = re.compile(r"\..+\.[1-9][0-9]*(\.[^.]+)?")


@contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; at the block's end it takes its place.

    What was written is on the disk before it takes the name, and the name is before the block is
    left; where it is not to be `durable` neither is waited for, and a power failure may leave the
    earlier file or an empty one. If the block raises, the temporary file is removed and what was at
    `path` stays. The temporary name keeps the ending, by which many writers tell the format. A
    killed process leaves its temporary file: see `remove_leftovers`.

    Raises `OSError` where the folder is missing or can't be written, or the disk is full; its
    message names `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "recap.txt")) as unfinished:
    ...         _ = unfinished.write_text("done")
    ...     [path.name for path in Path(folder).iterdir()]
    ['recap.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        if durable:
            _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # a disk that can't be written refuses this as well
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            _name(error, path, temporary)
        raise


def move(source: str | Path, target: str | Path) -> None:
    """Give a finished file another name on the same disk, for good, in place of what has it.

    Raises `OSError`, whose message names the file, if the disk fails.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "new.txt").write_text("done")
    ...     move(Path(folder, "new.txt"), Path(folder, "recap.txt"))
    ...     [path.name for path in Path(folder).iterdir()]
    ['recap.txt']
    """
    _sync(Path(source), os.O_RDWR)
    os.replace(source, target)
    sync_folder(Path(target).parent)


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk: files made, renamed and removed.

    Only POSIX systems can; elsewhere nothing is done. Raises `OSError` if the disk fails.

    >>> sync_folder(".")
    """
    if os.name == "posix":
        try:
            _sync(Path(folder), os.O_RDONLY)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems keep names by themselves
                raise


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of `replacing` in a folder, not in the folders below it.

    Call it only where nobody else writes: the files of processes that still run go too. Other
    hidden files, links and folders stay. A folder that is missing has none.

    Raises `OSError` for a file that can't be removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in (".recap.4711.txt", ".gitignore", "recap.txt"):
    ...         Path(folder, name).touch()
    ...     remove_leftovers(folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['.gitignore', 'recap.txt']
    """
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.path
                for entry in entries
                if is_temporary(entry.name) and entry.is_file(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return
    for path in found:
        Path(path).unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one that `replacing` gives.

    >>> is_temporary(".manifest.4711.json"), is_temporary("manifest.json")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


def _name(error: OSError, path: Path, temporary: Path) -> None:
    """Put the file's name into an error that names none, or the one that nobody knows."""
    if error.filename is None or str(error.filename) == str(temporary):
        error.filename = str(path)
        del error.filename2  # None would be shown


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)
