"""A run directory that lies elsewhere: its local copy, what is sent when, and who may write."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trimgrid.atomic import is_temporary, replacing
from trimgrid.errors import InputError
from trimgrid.run_directory.holder import LOCK
from trimgrid.run_directory.paths import (
    ATTEMPTS,
    CHECKPOINTS,
    CHOICES,
    MANIFEST,
    PROGRESS,
    RESULT,
    SAMPLES,
    WORK,
    WORKER_LOGS,
)
from trimgrid.storage.copies import another_copy, machine_of, mirror_at, mirror_of
from trimgrid.storage.layout import Layout
from trimgrid.storage.lease import Lease
from trimgrid.storage.mirror import Mirror
from trimgrid.storage.turns import is_locked, turn
from trimgrid.storage.urls import is_elsewhere, plain_path

_HOLDER = "holder"
_WAITS = (0.5, 5.0, 30.0)  # seconds
_ID = re.compile(r"[0-9a-f]{1,64}")
# Of an attempt these are read for tables; models and predictions are fetched when they are needed.
_READ_AT_ONCE = (".json", ".csv")


def local_folder(run_dir: str | Path) -> Path:
    """Return the folder of this machine to work in: the path itself, or the copy of a URL.

    The copy is made what the storage has, but for models and predictions: see `present`. While a
    process of this machine writes to the copy, that is newer, and stays as it is.

    Raises `InputError` for a URL that can't be reached, and for one whose package is missing.

    >>> local_folder("runs/m").as_posix()
    'runs/m'
    """
    if not is_elsewhere(run_dir):
        return plain_path(run_dir)
    mirror = mirror_at(str(run_dir), _LAYOUT)
    refresh(mirror.folder)
    return mirror.folder


def refresh(folder: Path) -> None:
    """Make a local copy what the storage has by now; of all other folders nothing is to be done.

    >>> refresh(Path("runs/m"))
    """
    mirror = mirror_of(folder, _LAYOUT)
    if mirror is None:
        return
    with turn(mirror.place):
        if not is_locked(mirror.folder / LOCK):
            mirror.fetch()
            _keep_holder(mirror, mirror.storage.read(LOCK))
        else:
            mirror.reload()


def holder_folder(folder: Path) -> Path:
    """Return the folder whose lock tells who writes to a run directory: see `read_holder`.

    >>> holder_folder(Path("runs/m")).as_posix()
    'runs/m'
    """
    mirror = mirror_of(folder, _LAYOUT)
    return folder if mirror is None else mirror.place / _HOLDER


def present(path: Path) -> Path:
    """Return a path; in a local copy the file is fetched first, if it was not yet.

    >>> present(Path("runs/m/samples.npz")).as_posix()
    'runs/m/samples.npz'
    """
    mirror = mirror_of(path, _LAYOUT)
    if mirror is not None:
        mirror.present(path)
    return path


def fetch_attempt(folder: Path, id: str) -> None:
    """Fetch what a worker has written of an attempt; its model is fetched when it is needed.

    Of a run directory that is no copy nothing is to be done.

    >>> fetch_attempt(Path("runs/m"), "5f0c")
    """
    mirror = mirror_of(folder, _LAYOUT)
    if mirror is not None:
        mirror.fetch(f"{ATTEMPTS}/{id}")


def push(*paths: Path) -> None:
    """Send what was changed at some paths of a local copy to the storage: see `Mirror.push`.

    Of paths that lie in no copy nothing is to be done. Raises `RunError` if another process has
    taken over, and `OSError` where the storage fails.

    >>> push(Path("runs/m/report.html"))
    """
    mirror = mirror_of(paths[0], _LAYOUT)
    if mirror is not None:
        mirror.push(*paths)


def push_all(folder: Path) -> None:
    """Send all that is left to the storage, at the end of a run: see `Mirror.end`.

    >>> push_all(Path("runs/m"))
    """
    mirror = mirror_of(folder, _LAYOUT)
    if mirror is not None:
        mirror.end()


class WorkerCopy:
    """A copy of a run directory for a worker that trains some of its attempts: see `worker_copy`.

    It keeps the original between two groups of attempts, and what later exports need.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    @contextmanager
    def of(self, attempts: Sequence[str], kept: Sequence[str] = ()) -> Iterator[Path]:
        """Give the copy as the storage has it by now, for some attempts, by their ids.

        It has the manifest, what was finished of the attempts and of those that are `kept`, all
        checkpoints and the measured choices; models come when `present` asks for them. The
        attempts are gone from it after the block, those that are `kept` stay.

        Raises `InputError` for a URL that can't be reached.
        """
        mirror = self._mirror
        own = [f"{ATTEMPTS}/{id}" for id in attempts]
        folders = [".", CHECKPOINTS, CHOICES, *(f"{ATTEMPTS}/{id}" for id in kept), *own]
        try:
            self._fetch(folders)
            mirror.begin(time.time_ns())
            yield mirror.folder
        finally:
            mirror.let_go(*own)

    def _fetch(self, folders: Sequence[str]) -> None:
        for wait in (*_WAITS, None):
            try:
                self._mirror.fetch(*folders, writing=True)
                return
            except (InputError, OSError):
                # The driver has reached it: this passes, as where another worker has just let go of
                # a checkpoint.
                if wait is None:
                    raise
                time.sleep(wait)


@contextmanager
def worker_copy(url: str) -> Iterator[WorkerCopy]:
    """Give a worker a copy of a run directory of its own, which is gone after the block.

    So several workers of a machine are not in each other's way. No lease is taken: the driver holds
    it, and a worker writes nothing but its own attempts and checkpoints. `push` sends them; the
    manifest and all else stays as the driver has it.
    """
    with another_copy(url, _LAYOUT) as mirror:
        yield WorkerCopy(mirror)


class LockElsewhere:
    """What of a `RunLock` lies in the storage, for a folder of a local copy: the lease.

    To be entered before the system's lock is asked for, so that nobody fetches meanwhile; `take`
    after it. Of the run directory itself all is fetched then, and what the copy has is sent from
    now on; of another folder in it only that one is.
    """

    def __init__(self, mirror: Mirror, folder: Path) -> None:
        self._mirror = mirror
        self._under = folder.relative_to(mirror.folder).as_posix()
        self._stack = ExitStack()
        self._lease: Lease | None = None

    @property
    def _is_whole(self) -> bool:
        return self._under == "."

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other processes of this machine from fetching while the lock is taken."""
        with turn(self._mirror.place):
            yield

    def take(self, holder: Mapping[str, Any]) -> None:
        """Take the lease and make the folder what the storage has.

        Raises `HeldError` where another process has the lease, and `InputError` where the storage
        can't be written, or holds something else.
        """
        mirror = self._mirror
        path = LOCK if self._is_whole else f"{self._under}/{LOCK}"
        progress = mirror.folder / PROGRESS

        def meanwhile() -> None:
            if self._is_whole:
                mirror.push_soon(progress)

        lease = Lease(mirror.storage, path, holder, machine_of(mirror), meanwhile)
        lease.take()
        try:
            if self._is_whole:
                mirror.fetch(writing=True)
                self._check_ours()
                mirror.folder.mkdir(parents=True, exist_ok=True)
                mirror.begin(time.time_ns())
                mirror.check = lease.check
                _keep_holder(mirror, mirror.storage.read(LOCK))
            elif not is_locked(mirror.folder / LOCK):
                mirror.fetch(self._under)
        except BaseException:
            mirror.leave()
            lease.give_back()
            raise
        self._lease = lease

    def give_back(self) -> None:
        """Give the lease back."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        if self._is_whole:
            self._mirror.leave()
            _keep_holder(self._mirror, None)
        lease.give_back()

    def _check_ours(self) -> None:
        if self._mirror.others:
            raise InputError(
                "A run directory must be new, empty or one of trimgrid's. "
                f"Received: {self._mirror.url!r}, which is not a run directory and holds "
                f"{self._mirror.others[0]!r}. Give another one."
            )


def lock_elsewhere(folder: Path) -> LockElsewhere | None:
    """Return what of a folder's lock lies in a storage; None for a folder that is no copy of one.

    >>> lock_elsewhere(Path("runs/m"))
    """
    mirror = mirror_of(folder, _LAYOUT)
    return None if mirror is None else LockElsewhere(mirror, folder)


def _keep_holder(mirror: Mirror, content: bytes | None) -> None:
    file = mirror.place / _HOLDER / LOCK
    if content is None:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(exist_ok=True)
    with replacing(file, durable=False) as unfinished:
        unfinished.write_bytes(content)


def _is_sent(path: str) -> bool:
    parts = path.split("/")
    return parts[0] != WORK and not any(is_temporary(part) for part in parts)


def _is_wanted(path: str, writing: bool) -> bool:
    match path.split("/"):
        case [name]:
            return name.endswith(".json") or (writing and name == SAMPLES)
        case [folder, id, name] if folder == ATTEMPTS:
            return _ID.fullmatch(id) is not None and name.endswith(_READ_AT_ONCE)
        case [folder, *_] if folder in (CHECKPOINTS, CHOICES, "logs"):
            return writing
        case [folder, _] if folder == WORKER_LOGS:
            return True
    return False


_LAYOUT = Layout(MANIFEST, RESULT, LOCK, (CHOICES,), _is_sent, _is_wanted)
