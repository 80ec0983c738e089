"""A local copy of a folder that lies in a storage: what differs is fetched, and sent in order."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from trimgrid.scratch import remove_stale_scratch, scratch_folder
from trimgrid.storage.filesystem import Storage
from trimgrid.storage.index import Entry, Index, Stamp
from trimgrid.storage.layout import Layout

_FEW = 8  # folders


class Mirror:
    """The copy `place / name` of the folder at `url`.

    Storages have no renames, so what a rename does on a disk is done by order here: see `push`.

    Of a copy nothing is trusted but what a process has written since it began to, see `begin`:
    all else is as the storage has it, or goes. All methods raise what `Storage` does.
    """

    def __init__(self, url: str, place: Path, name: str, layout: Layout) -> None:
        self.url = url
        self.place = place
        self.folder = place / name
        self.layout = layout
        # Machines may share the user's cache, and can't tell whether each other's processes live.
        self._scratch = place / f"at-{socket.gethostname()}"
        self._index = Index(place / "index")
        self._turn = threading.RLock()
        self._sent: set[str] = set()
        self.check: Callable[[], None] | None = None
        """Called before anything is written: raises if that is not allowed any more."""
        self.others: list[str] = []
        """What the last `fetch` found in the storage, where the head is missing."""

    @cached_property
    def storage(self) -> Storage:
        """The storage, which the first use opens."""
        return Storage(self.url)

    def begin(self, now: int) -> None:
        """From now on, in nanoseconds, what is written to the copy counts until it is sent."""
        self._index.begin(now)

    def fetch(self, *under: str, writing: bool = False) -> None:
        """Make the copy what the storage has; of some folders, or of all; "." is what lies right
        in the folder.

        Files that are not `Layout.wanted` are only taken note of: see `present`. A file that this
        machine has changed and the storage has not stays as it is. Where both have, the storage
        wins, but for the files of a folder that was sealed here and is not there.
        """
        with self._turn:
            self._index.load()
            self.place.mkdir(parents=True, exist_ok=True)
            remove_stale_scratch(self._scratch)
            there, here = self._there(under), self._here(under)
            before = self._index.under(under)
            sealed = self._sealed_here(there, here)
            missing: list[str] = []
            noted: dict[str, Entry] = {}
            gone: list[str] = []
            for path in sorted({*there, *here, *before}):
                mark, stamp = there.get(path), here.get(path)
                base = self._index.entries.get(path)
                if self._index.since is not None and (
                    _folder(path) in sealed or self._is_ours(path, mark, stamp)
                ):
                    continue
                if mark is not None and self._is_same(path, mark, stamp):
                    noted[path] = Entry(mark, stamp)
                elif mark is not None and self.layout.wanted(path, writing):
                    missing.append(path)
                else:
                    (self.folder / path).unlink(missing_ok=True)
                    if mark is not None:
                        noted[path] = Entry(mark, None)
                    elif base is not None:
                        gone.append(path)
            self._index.drop(gone)
            known = self._index.entries
            self._index.put({path: e for path, e in noted.items() if known.get(path) != e})
            self._get(missing, there)
            for folder in {_folder(path) for path in there}:  # else it would be one removed here
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            if there or here or before:
                self._index.save()

    def present(self, path: Path) -> None:
        """Fetch a file of the copy if it is not there and the storage has it."""
        with self._turn:
            name = self._name(path)
            entry = self._index.entries.get(name)
            if entry is not None and not path.exists():
                with suppress(FileNotFoundError):  # removed since: it is missing here, too
                    self._get([name], {name: entry.there})

    def let_go(self, *under: str) -> None:
        """Remove some folders from the copy, and nothing from the storage."""
        with self._turn:
            for folder in under:
                self._index.drop(self._index.under([folder]))
                shutil.rmtree(self.folder / folder, ignore_errors=True)

    def push(self, *paths: Path) -> None:
        """Send what was changed at some paths, files or folders; without any paths all that was.

        Where there is a `check`, so that this process alone writes, what lies right in the folder
        is sent, too, and `Layout.always`.

        In this order: seals of folders in which something changes are removed; what is gone right
        in the folder; files are written; the head; the seals; at last all else that is gone here is
        removed there. So whoever reads, also after this process was killed at any point, finds
        sealed folders whole, and what came in place of a file before the file is gone.
        """
        with self._turn:
            if self.check is not None:
                self.check()
            under = [self._name(path) for path in paths]
            if paths and self.check is not None:
                under += [".", *self.layout.always]
            here = self._here(under)
            changed = [path for path, stamp in here.items() if self._differs(path, stamp)]
            gone = [path for path in self._index.under(under) if self._is_gone(path, here)]
            if not changed and not gone:
                return
            self._send(changed, gone, here)
            folders = {_folder(path) for path in changed} - {""}
            if 0 < len(folders) <= _FEW:  # of many, at the end
                self._see(self.storage.listing(sorted(folders)))

    def push_soon(self, path: Path) -> None:
        """Send one small file, unless something else is sent at the moment."""
        if self._turn.acquire(blocking=False):
            try:
                name, found = self._name(path), self._here([self._name(path)])
                if name in found and self._differs(name, found[name]):
                    self._put([name], found)
            finally:
                self._turn.release()

    def reload(self) -> None:
        """Take note of what another process of this machine has fetched and sent."""
        with self._turn:
            self._index.load()

    def leave(self) -> None:
        """Take note that other machines may write from now on."""
        with self._turn:
            self.check = None
            self._sent.clear()

    def end(self) -> None:
        """Send all that is left; from then on the storage is what counts."""
        with self._turn:
            self.push()
            if any(entry.there == "" for entry in self._index.entries.values()):
                self._see(self.storage.listing())
            self._index.end()

    def _there(self, under: Sequence[str]) -> dict[str, str]:
        """What of ours the storage has; nothing where the head is missing."""
        names = [] if under else self.storage.names()
        if not under and self.layout.head not in names:
            self.others = sorted(name for name in names if not self._is_lock(name))
            return {}
        self.others = []
        found = self.storage.listing(under or ("",))
        return {path: mark for path, mark in found.items() if self._is_part(path)}

    def _here(self, under: Sequence[str]) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for each in under or ("",):
            if each == ".":
                found |= self._right_here()
                continue
            start = self.folder / each
            for file in [start] if start.is_file() else _files(start):
                self._note(file, found)
        return found

    def _right_here(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    self._note(Path(entry.path), found)
        return found

    def _note(self, file: Path, found: dict[str, Stamp]) -> None:
        name = self._name(file)
        if self._is_part(name):
            try:
                found[name] = _stamp(file)
            except FileNotFoundError:  # a progress file that was just replaced, or removed
                return

    def _is_part(self, path: str) -> bool:
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            return False
        return not self._is_lock(parts[-1]) and self.layout.sent(path)

    def _is_lock(self, name: str) -> bool:
        return name == self.layout.lock or name.startswith(f"{self.layout.lock}.")

    def _sealed_here(self, there: dict[str, str], here: dict[str, Stamp]) -> set[str]:
        """The folders that are whole here and not there."""
        return {
            _folder(path)
            for path in here
            if self._seals(path) and path not in there and path not in self._index.entries
        }

    def _seals(self, path: str) -> bool:
        return path.rpartition("/")[2] == self.layout.seal and "/" in path

    def _is_ours(self, path: str, mark: str | None, stamp: Stamp | None) -> bool:
        """Whether this machine has changed a file since it began, and the storage has not."""
        base = self._index.entries.get(path)
        if base is None:
            return mark is None
        if base.there == "":  # sent, and not seen since
            unchanged = path in self._sent and mark is not None
        else:
            unchanged = base.there == mark
        changed = base.here is not None and base.here != stamp
        return unchanged and changed and (stamp is None or stamp[1] >= (self._index.since or 0))

    def _is_same(self, path: str, mark: str, stamp: Stamp | None) -> bool:
        """Whether a local file has the content that the mark is of."""
        base = self._index.entries.get(path)
        if base is None or stamp is None or base.here != stamp:
            return False
        sent = base.there == "" and path in self._sent and mark.split(" ")[0] == str(stamp[0])
        return base.there == mark or sent

    def _get(self, paths: Sequence[str], there: dict[str, str]) -> None:
        """Fetch files; each takes its place when it is whole."""
        if not paths:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch.mkdir(exist_ok=True)
        with scratch_folder(self._scratch) as scratch:
            pairs = [(path, scratch / str(number)) for number, path in enumerate(paths)]
            self.storage.get(pairs)
            entries = {}
            for path, fetched in pairs:
                target = self.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(fetched, target)
                entries[path] = Entry(there[path], _stamp(target))
            self._index.put(entries)

    def _differs(self, path: str, stamp: Stamp) -> bool:
        entry = self._index.entries.get(path)
        if entry is None:
            return True
        if entry.here is None:  # another process has fetched it
            return entry.there.split(" ")[0] != str(stamp[0])
        return entry.here != stamp

    def _is_gone(self, path: str, here: dict[str, Stamp]) -> bool:
        """Whether a file was removed here: it was here, or its whole folder is gone."""
        if path in here:
            return False
        entry = self._index.entries[path]
        return entry.here is not None or not (self.folder / path).parent.is_dir()

    def _send(self, changed: Sequence[str], gone: Sequence[str], here: dict[str, Stamp]) -> None:
        entries, head = self._index.entries, self.layout.head
        beside = {
            _folder(path) for path in (*changed, *gone) if "/" in path and not self._seals(path)
        }
        open_again = [
            seal for folder in sorted(beside) if (seal := f"{folder}/{self.layout.seal}") in entries
        ]
        first = {*open_again, *(path for path in gone if self._seals(path) or "/" not in path)}
        seals = {path for path in changed if self._seals(path)}
        for path in open_again:
            if (self.folder / path).is_file():
                here[path] = _stamp(self.folder / path)
                seals.add(path)
        self._remove(sorted(first))
        self._put([path for path in changed if path not in seals and path != head], here)
        self._put([path for path in changed if path == head], here)
        self._put(sorted(seals), here)
        self._remove([path for path in gone if path not in first])

    def _put(self, paths: Sequence[str], here: dict[str, Stamp]) -> None:
        if paths:
            self.storage.put([(self.folder / path, path) for path in paths])
            self._sent.update(paths)
            self._index.put({path: Entry("", here[path]) for path in paths})

    def _remove(self, paths: Sequence[str]) -> None:
        if paths:
            self.storage.remove(paths)
            self._index.drop(list(paths))

    def _see(self, there: dict[str, str]) -> None:
        """Take note of the marks of what was sent, so that others' changes can be told."""
        seen = {}
        for path, mark in there.items():
            entry = self._index.entries.get(path)
            if entry is not None and entry.there == "" and self._is_same(path, mark, entry.here):
                seen[path] = Entry(mark, entry.here)
        self._index.put(seen)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() if path.is_absolute() else path.as_posix()


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
