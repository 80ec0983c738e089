"""One process at a time writes to a run directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from trimgrid.errors import InputError
from trimgrid.run_directory.elsewhere import lock_elsewhere
from trimgrid.run_directory.holder import LOCK, Holder, parse_holder
from trimgrid.storage.copies import shown
from trimgrid.storage.lease import HeldError


class RunLock:
    """The right to write to a run directory, held inside a `with` block.

    A file "lock" in the folder tells the process, the machine and the time; on one machine the
    system's own lock on this file (`flock`) decides, which ends with the process however it ends.
    So what a killed process of this machine left is taken over. Of another machine it can't be
    known whether its process still runs: its lock is refused. Of the local copy of a run directory
    elsewhere the storage's lease decides between machines: see `trimgrid.storage.lease`.

    Raises `InputError` if another process, or this one elsewhere, holds the lock, and for a folder
    that is missing or can't be written; `OSError` if the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunLock(folder):
    ...         print(sorted(path.name for path in Path(folder).iterdir()))
    ...     print(list(Path(folder).iterdir()))
    ['lock']
    []
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder).absolute() / LOCK
        self._descriptor: int | None = None
        self._elsewhere = lock_elsewhere(self._path.parent)

    def __enter__(self) -> Self:
        if self._elsewhere is None:
            self._descriptor = self._taken()
            return self
        with self._elsewhere.turn():
            descriptor = self._taken()
            try:
                self._elsewhere.take(asdict(_this_process()))
            except BaseException as error:
                self._path.unlink(missing_ok=True)
                os.close(descriptor)
                if isinstance(error, HeldError):
                    raise InputError(
                        f"{self._in_use(parse_holder(error.content))} Wait for it to end, or use "
                        "another run directory. If it was killed, try again in a minute."
                    ) from error
                raise
        self._descriptor = descriptor
        return self

    def _taken(self) -> int:
        """Lock the file, and tell in it who did."""
        descriptor = self._locked()
        try:
            holder = parse_holder(os.pread(descriptor, 4096, 0))
            # Of a local copy the lease tells whether the other machine is still there.
            if (
                holder is not None
                and holder.host != socket.gethostname()
                and self._elsewhere is None
            ):
                raise InputError(
                    f"{self._in_use(holder)} It is another machine, so it can't be known whether "
                    f"this still runs. If it does not, remove {str(self._path)!r}."
                )
            self._write(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def __exit__(self, *_: object) -> None:
        assert self._descriptor is not None
        try:
            if self._elsewhere is not None:
                self._elsewhere.give_back()
            if self._is_at_path(self._descriptor):  # else someone removed it, and has a new one
                self._path.unlink()
        finally:
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self) -> int:
        """Open and lock the file that is at the path when both is done."""
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_at_path(descriptor):
                    return descriptor
            except BlockingIOError as error:
                holder = parse_holder(os.pread(descriptor, 4096, 0))
                os.close(descriptor)
                raise InputError(
                    f"{self._in_use(holder)} Wait for it to end, or use another run directory."
                ) from error
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder has just removed it

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
                raise
            raise InputError(
                "A run directory must be a folder that can be written. "
                f"Received: {str(self._path.parent)!r} ({error.strerror}). "
                "Change its permissions, or use another folder."
            ) from error

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def _in_use(self, holder: Holder | None) -> str:
        who = "another process"  # it has just made the file
        if holder is not None:
            mine = (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
            who = f"process {holder.pid}{', which is this one,' if mine else ''} on {holder.host}"
            who += f" (since {holder.started})"
        return (
            "A run directory is written by one process at a time. "
            f"Received: {shown(self._path.parent)!r}, in use by {who}."
        )

    def _write(self, descriptor: int) -> None:
        text = json.dumps(asdict(_this_process()))
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        except OSError as error:
            error.filename = str(self._path)
            raise


def _this_process() -> Holder:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(os.getpid(), socket.gethostname(), now)
