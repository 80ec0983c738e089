"""A storage as far as mirrors need it: what is there, read, written and removed, and its errors."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from trimgrid.errors import InputError, first_line
from trimgrid.optional import optional_modules

WAITS = (1.0, 4.0)
"""Seconds before a call that failed is tried again. Storages try themselves, too."""

# Of these an object appears whole or not at all. Elsewhere it is written under another name.
_WHOLE_OBJECTS = {
    *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "tos", "hf", "memory")
}
_AT_A_TIME = 500  # files
# By these a storage tells one content from another, the surest first.
_MARKS = (
    *("ETag", "etag", "md5Hash", "content_md5", "crc32c", "LastModified", "last_modified"),
    *("updated", "mtime", "modified", "created"),
)
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, NotImplementedError)

_Answer = TypeVar("_Answer")


def fsspec_for(url: str) -> Any:
    """Return the module fsspec, with what it needs for a URL of S3.

    Raises `InputError` with the command that installs what is missing.
    """
    what = f"The run directory {url!r}"
    if re.split(r"://|::", url)[0] in ("s3", "s3a"):
        return optional_modules(what, "s3", "fsspec and s3fs", "fsspec", "s3fs")[0]
    return optional_modules(what, "storage", "fsspec", "fsspec")[0]


class Storage:
    """The folder of a URL. Paths are relative to it, with slashes.

    What fails before anything was read, or written, raises `InputError`: then the address, the
    bucket, the rights or the network are not as they must be. What fails later is tried again and
    raises `OSError`, which names the URL.

    Raises `InputError` where the package for such URLs is missing.

    >>> Storage("nowhere://bucket/run")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A URL begins with what fsspec knows. Received: \
'nowhere://bucket/run': Protocol not known: nowhere. Give for example s3://BUCKET/FOLDER.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            # A listing that is kept would hide what others write.
            self._fs, root = fsspec_for(url).core.url_to_fs(url, use_listings_cache=False)
        except InputError:
            raise
        except ImportError as error:
            raise InputError(
                f"The run directory {url!r} needs another package. Received: {first_line(error)} "
                "Install it with pip."
            ) from error
        except ValueError as error:
            raise InputError(
                f"A URL begins with what fsspec knows. Received: {url!r}: {first_line(error)} "
                "Give for example s3://BUCKET/FOLDER."
            ) from error
        except Exception as error:
            raise self._unusable(error) from error
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        known = {protocols} if isinstance(protocols, str) else {*protocols}
        self._whole = bool(known & _WHOLE_OBJECTS)
        self._has_read = self._has_written = False

    def names(self) -> list[str]:
        """Return what lies right in the folder, files and folders; empty if it is not there."""
        found = self._reading(lambda: self._ls(self._root))
        return [name for each in found if (name := self._relative(each["name"]))]

    def listing(self, under: Iterable[str] = ("",)) -> dict[str, str]:
        """Return all files, each with a mark that another content has not; of some folders.

        "." stands for what lies right in the folder.
        """

        def found() -> dict[str, str]:
            files: dict[str, str] = {}
            for folder in under:
                for entry in self._ls(self._root) if folder == "." else self._find(folder):
                    path = self._relative(entry["name"])
                    if path and entry.get("type", "file") == "file":
                        files[path] = _mark(entry)
            return files

        return self._reading(found)

    def get(self, files: Sequence[tuple[str, Path]]) -> None:
        """Read files into files of this machine, several at a time."""
        for start in range(0, len(files), _AT_A_TIME):
            part = files[start : start + _AT_A_TIME]
            sources = [self._full(path) for path, _ in part]
            targets = [str(target) for _, target in part]
            self._reading(lambda s=sources, t=targets: self._fs.get(s, t))  # type: ignore[misc]

    def put(self, files: Sequence[tuple[Path, str]]) -> None:
        """Write files of this machine, several at a time; each appears whole or not at all."""
        for start in range(0, len(files), _AT_A_TIME):
            part = files[start : start + _AT_A_TIME]
            sources = [str(source) for source, _ in part]
            targets = [self._full(path) for _, path in part]
            self._writing(lambda s=sources, t=targets: self._put(s, t))  # type: ignore[misc]

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files, several at a time; what is not there is fine."""
        for start in range(0, len(paths), _AT_A_TIME):
            full = [self._full(path) for path in paths[start : start + _AT_A_TIME]]
            self._writing(lambda f=full: self._remove(f))  # type: ignore[misc]

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file, None if it is not there."""

        def content() -> bytes | None:
            try:
                return bytes(self._fs.cat_file(self._full(path)))
            except FileNotFoundError:
                return None

        return self._reading(content)

    def write(self, path: str, content: bytes, new: bool = False) -> bool:
        """Write a small file. With `new` return False, with nothing written, where there is one."""

        def written() -> bool:
            if not self._whole:
                self._fs.makedirs(self._full(path).rpartition("/")[0], exist_ok=True)
            try:
                mode = "create" if new else "overwrite"
                self._fs.pipe_file(self._full(path), content, mode=mode)
            except FileExistsError:
                return False
            except OSError as error:
                if new and "precondition" in str(error).lower():  # as S3 says it
                    return False
                raise
            return True

        return self._writing(written)

    def modified(self, path: str) -> datetime | None:
        """Return when a file was written, by the storage's clock; None where it does not tell."""
        try:
            found = self._fs.modified(self._full(path))
        except FileNotFoundError:
            raise
        except (NotImplementedError, KeyError, AttributeError, TypeError):
            return None
        return found if isinstance(found, datetime) else None

    def _put(self, sources: list[str], targets: list[str]) -> None:
        if self._whole:
            self._fs.put(sources, targets)
            return
        for source, target in zip(sources, targets, strict=True):
            folder, _, name = target.rpartition("/")
            unfinished = f"{folder}/.{name}.{os.getpid()}"  # as `replacing` calls its files
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.put_file(source, unfinished)
            self._fs.mv(unfinished, target)

    def _remove(self, paths: list[str]) -> None:
        try:
            self._fs.rm(paths)
        except FileNotFoundError:  # some of them are gone already
            for path in paths:
                try:
                    self._fs.rm_file(path)
                except FileNotFoundError:
                    continue

    def _find(self, folder: str) -> list[dict[str, Any]]:
        try:
            return list(self._fs.find(self._full(folder), detail=True).values())
        except FileNotFoundError:
            return []

    def _ls(self, path: str) -> list[dict[str, Any]]:
        try:
            return list(self._fs.ls(path, detail=True))
        except FileNotFoundError:
            return []

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _relative(self, name: str) -> str:
        return str(name).rstrip("/")[len(self._root) :].lstrip("/")

    def _reading(self, call: Callable[[], _Answer]) -> _Answer:
        answer = self._tried(call, begun=self._has_read)
        self._has_read = True
        return answer

    def _writing(self, call: Callable[[], _Answer]) -> _Answer:
        answer = self._tried(call, begun=self._has_written)
        self._has_written = True
        return answer

    def _tried(self, call: Callable[[], _Answer], begun: bool) -> _Answer:
        for wait in (*WAITS, None):
            try:
                return call()
            except Exception as error:  # storages raise what the libraries below them raise
                if not begun:
                    raise self._unusable(error) from error
                if wait is None or not _may_pass(error):
                    raise self._failed(error) from error
                time.sleep(wait)
        raise AssertionError  # the last turn returns or raises

    def _unusable(self, error: Exception) -> InputError:
        remedy = "Check the address and the network."
        if isinstance(error, PermissionError):
            remedy = "Check that your credentials allow to read and write there."
        elif "Credentials" in type(error).__name__:
            remedy = "Give credentials; for S3 in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        elif isinstance(error, FileNotFoundError):
            remedy = "Make the bucket first, or check its name."
        return InputError(
            "A run directory must be one that can be reached. "
            f"Received: {self.url!r} ({type(error).__name__}: {first_line(error)}) {remedy}"
        )

    def _failed(self, error: Exception) -> OSError:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        if isinstance(error, FileNotFoundError):
            number = errno.ENOENT
        return OSError(
            number,
            f"The storage fails with {type(error).__name__}: {first_line(error)} What was "
            "computed is kept on this machine; the same command puts it there later",
            self.url,
        )


def _may_pass(error: Exception) -> bool:
    """Whether to try once more: not where rights or the bucket are missing."""
    return not isinstance(error, _LASTING) and "Credentials" not in type(error).__name__


def _mark(entry: dict[str, Any]) -> str:
    size = entry.get("size")
    for key in _MARKS:
        value = entry.get(key)
        if value is not None:
            told = value.timestamp() if isinstance(value, datetime) else value
            return f"{size} {told}"
    return f"{size} "
