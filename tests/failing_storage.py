"""A storage in memory that fails, or whose process is killed, after so many writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from trimgrid.storage.filesystem import Storage


class Killed(BaseException):
    """Ends all, as a kill does: nobody handles it."""


class Writes:
    """Counts the writes to storages in memory; after `left` of them `error` is raised.

    `done` has the last part of the path of each file that was written or removed. As an object
    store does it files are removed one by one, and there are no folders.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.error: type[BaseException] = Killed
        self.done: list[str] = []
        for name in ("put_file", "pipe_file", "rm_file"):
            patch.setattr(MemoryFileSystem, name, self._counted(name))
        patch.setattr(
            MemoryFileSystem, "rm", lambda self, paths: [self.rm_file(each) for each in paths]
        )

    def fail_after(self, writes: int | None, error: type[BaseException] = Killed) -> None:
        """Let so many writes succeed, or all."""
        self.left, self.error = writes, error
        self.done.clear()

    def _counted(self, name: str) -> Any:
        original = getattr(MemoryFileSystem, name)

        def write(storage: Any, path: str, *rest: Any, **more: Any) -> Any:
            if self.left == 0:
                raise self.error("the storage is gone")
            if self.left is not None:
                self.left -= 1
            target = rest[0] if name == "put_file" else path
            self.done.append(f"{name.removesuffix('_file')} {target.partition('/run/')[2]}")
            return original(storage, path, *rest, **more)

        return write


def moved_files(patch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that takes the path of each file that is fetched or sent from now on."""
    moved: list[str] = []
    get, put = Storage.get, Storage.put

    def noted_get(self: Storage, files: Sequence[tuple[str, Path]]) -> None:
        moved.extend(path for path, _ in files)
        get(self, files)

    def noted_put(self: Storage, files: Sequence[tuple[Path, str]]) -> None:
        moved.extend(path for _, path in files)
        put(self, files)

    patch.setattr(Storage, "get", noted_get)
    patch.setattr(Storage, "put", noted_put)
    return moved
