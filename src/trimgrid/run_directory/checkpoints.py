"""Checkpoints: where unfinished trainings have come to, in files that a new process finds."""

from __future__ import annotations

import errno
import json
import time
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.atomic import replacing
from trimgrid.errors import RunError
from trimgrid.run_directory.elsewhere import push
from trimgrid.storage.copies import shown

# The final state of a training that took less than this share of the interval is not saved.
_SHARE_AT_END = 1 / 12
_DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` batches: its arrays, its history so far, and the file they are in."""

    step: int
    arrays: list[NDArray[Any]]
    history: dict[str, list[Any]]
    file: Path


@dataclass(frozen=True)
class _Group:
    """What the head of a file says: who trains together, how far, and the arrays' types."""

    ids: tuple[str, ...]
    step: int
    types: dict[str, str]


class Checkpoints:
    """Saves trainings under way and finds them again; an id names a training.

    Trainings that go on together share a file, `<digest of their ids>.npz`, which appears whole or
    not at all: a JSON text and arrays, no code. Saving costs a copy of the state, so it is done
    every so many seconds of training: `begin` starts the clock, `due` tells.

    `folder`: made when it is first needed. `every`: seconds between two saves.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(Path(folder), every=0)
    ...     weights = np.array([[0.5, 1.5], [2.5, 3.5]])  # of two trainings
    ...     checkpoints.save(["a", "b"], 7, [weights], {"loss": [np.array([0.25, 0.75])]})
    ...     found = Checkpoints(Path(folder)).find("b")
    >>> found.step, found.arrays, found.history
    (7, [array([2.5, 3.5])], {'loss': [0.75]})
    """

    def __init__(self, folder: Path, every: float = 60.0) -> None:
        self.folder = Path(folder)
        self.every = every
        self._since = time.monotonic()
        self._groups: dict[Path, _Group] | None = None
        self._latest: dict[str, Path] = {}
        self._read: tuple[Path, dict[str, NDArray[Any]]] | None = None

    def begin(self) -> None:
        """Start the clock: a training begins, or goes on."""
        self._since = time.monotonic()

    def due(self) -> bool:
        """Tell whether it is time to save: `every` seconds after `begin` or the last save."""
        return time.monotonic() - self._since >= self.every

    def due_at_end(self) -> bool:
        """Tell whether a training that ends now has come so far that its end is worth saving."""
        return time.monotonic() - self._since >= self.every * _SHARE_AT_END

    def step(self, id: str) -> int:
        """Return how many batches a training has been trained on, 0 without a checkpoint.

        Raises `RunError` for a damaged file.
        """
        place = self._place(id)
        return 0 if place is None else self._known()[place].step

    def find(self, id: str) -> Checkpoint | None:
        """Return the latest checkpoint of a training, None if there is none.

        Raises `RunError` for a damaged file.
        """
        file = self._place(id)
        if file is None:
            return None
        group, content = self._known()[file], self._content(file)
        at = group.ids.index(id)
        arrays: dict[int, NDArray[Any]] = {}
        history: dict[str, list[Any]] = {}
        for name, array in content.items():
            kind, _, key = name.partition(":")
            if kind == "array":
                arrays[int(key)] = np.asarray(array[at])
            else:
                history[key] = array[:, at].tolist()
        return Checkpoint(group.step, [arrays[i] for i in sorted(arrays)], history, file)

    def save(
        self,
        ids: Sequence[str],
        step: int,
        arrays: Sequence[NDArray[Any]],
        history: Mapping[str, Sequence[Any]],
    ) -> None:
        """Save where trainings have come to, in place of what was saved of them before.

        `arrays`: their state, each array of shape [ids, ...]. `history`: under each key a value
        for every epoch so far, of shape [ids, ...].
        """
        self._read = None
        content = {f"array:{i}": np.asarray(array) for i, array in enumerate(arrays)}
        content |= {f"history:{key}": np.stack(values) for key, values in history.items() if values}
        types = {name: array.dtype.name for name, array in content.items()}
        head = json.dumps({"ids": list(ids), "step": step, "types": types})
        known = self._known()
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{sha256(json.dumps(list(ids)).encode()).hexdigest()[:16]}.npz"
        plain: dict[str, Any] = {name: _plain(array) for name, array in content.items()}
        with replacing(file) as unfinished:
            np.savez(unfinished, head=np.frombuffer(head.encode(), np.uint8), **plain)
        known[file] = _Group(tuple(ids), step, types)
        self._latest.update(dict.fromkeys(ids, file))
        self._remove_needless()
        push(self.folder)
        self._since = time.monotonic()

    @property
    def ids(self) -> set[str]:
        """The trainings of which there are checkpoints."""
        return {id for group in self._known().values() for id in group.ids}

    def forget(self, ids: Iterable[str]) -> None:
        """Let go of trainings whose results are stored; a file goes with the last of its own.

        What is forgotten is known to this process only: a new one forgets first what it finds
        stored.
        """
        self._known()
        for id in ids:
            self._latest.pop(id, None)
        if self._remove_needless():
            push(self.folder)

    def _known(self) -> dict[Path, _Group]:
        """The groups of all files; those of other processes that were there at the first look."""
        if self._groups is None:
            self._groups = {}
            for file in sorted(self.folder.glob("*.npz")):
                head = None if file.name.startswith(".") else _head(file)
                if head is not None:
                    self._groups[file] = head
            # An older one of a training may not be gone yet.
            for file, group in sorted(self._groups.items(), key=lambda each: each[1].step):
                self._latest.update(dict.fromkeys(group.ids, file))
        return self._groups

    def _place(self, id: str) -> Path | None:
        self._known()
        return self._latest.get(id)

    def _remove_needless(self) -> bool:
        """Remove the files that no training needs; tell whether there were any."""
        groups = self._known()
        needless = set(groups) - set(self._latest.values())
        for file in needless:
            file.unlink(missing_ok=True)
            del groups[file]
        return bool(needless)

    def _content(self, file: Path) -> dict[str, NDArray[Any]]:
        """The arrays of a file, which is kept for the next training of its group."""
        if self._read is None or self._read[0] != file:
            types = self._known()[file].types
            try:
                with file.open("rb") as opened, np.load(opened, allow_pickle=False) as saved:
                    content = {key: _typed(saved[key], kind) for key, kind in types.items()}
            except _DAMAGES as error:
                raise _damaged(file, error) from error
            self._read = file, content
        return self._read[1]


def _head(file: Path) -> _Group | None:
    """What the head of a file says; None if another process has just removed the file."""
    try:
        # Opened here: `np.load` leaves a damaged file open.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as saved:
            head = json.loads(saved["head"].tobytes())
        return _Group(tuple(head["ids"]), int(head["step"]), dict(head["types"]))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise _damaged(file, error) from error
    except _DAMAGES as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RunError:
    return RunError(
        f"A checkpoint must be whole. Received: {shown(file)!r}, which fails with "
        f"{type(error).__name__}. Remove the file: its trainings then begin anew."
    )


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """The array as NumPy can save it: the bytes of types that are not its own (bfloat16)."""
    if array.dtype.isbuiltin == 1:
        return array
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _typed(array: NDArray[Any], name: str) -> NDArray[Any]:
    return array if array.dtype.name == name else array.view(np.dtype(name))
