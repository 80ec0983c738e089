"""What a local copy and its storage had in common last, in a file beside the copy."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from trimgrid.atomic import replacing

Stamp: TypeAlias = tuple[int, int]
"""Bytes and time of change in nanoseconds: what tells a file from the one that was there."""


@dataclass(frozen=True)
class Entry:
    """A file as it was when both sides had the same of it.

    `there`: the storage's mark; empty for what this copy has put there and not seen since. `here`:
    the stamp of the local file, None where it was not fetched.
    """

    there: str
    here: Stamp | None


class Index:
    """The entries by the files' paths, and since when a process writes to the copy.

    Each change is a line at the file's end; `save` writes it anew. A line that is cut off, as the
    last one may be, counts for nothing: then the file is fetched again.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     index = Index(Path(folder, "index"))
    ...     index.put({"manifest.json": Entry("12 a", (12, 0)), "lost": Entry("1 b", None)})
    ...     index.drop(["lost"])
    ...     Index(Path(folder, "index")).entries
    {'manifest.json': Entry(there='12 a', here=(12, 0))}
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[str, Entry] = {}
        # What lies in each folder, so that few files of very many are found at once.
        self._inside: dict[str, set[str]] = {}
        self.since: int | None = None
        """When a process began to write, in nanoseconds; None after it ended well."""
        self.load()

    def load(self) -> None:
        """Read what is there, which other processes may have written."""
        self.entries, self._inside, self.since = {}, {}, None
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            try:
                self._apply(json.loads(line))
            except (ValueError, TypeError, LookupError):
                continue

    def under(self, places: Sequence[str]) -> list[str]:
        """Return the paths of entries: some files, or those in some folders; all without any.

        "." stands for the files right in the folder itself.
        """
        if not places:
            return list(self.entries)
        found: dict[str, None] = {}
        left = [path for place in places for path in self._begin(place)]
        while left:
            path = left.pop()
            if path in self.entries:
                found[path] = None
            left += self._inside.get(path, ())
        return list(found)

    def put(self, entries: dict[str, Entry]) -> None:
        """Add entries, in place of those of the same files."""
        for path, entry in entries.items():
            self._set(path, entry)
        self._append([[path, entry.there, entry.here] for path, entry in entries.items()])

    def drop(self, paths: list[str]) -> None:
        """Let go of files."""
        for path in paths:
            self._forget(path)
        self._append([[path] for path in paths])

    def begin(self, now: int) -> None:
        """Take note that a process begins to write; earlier work that was not put away counts."""
        if self.since is None:
            self.since = now
            self._append([{"since": now}], durable=True)

    def end(self) -> None:
        """Take note that all that was written is in the storage."""
        self.since = None
        self.save()

    def save(self) -> None:
        """Write the file anew, without what later lines made void."""
        lines: list[Any] = [] if self.since is None else [{"since": self.since}]
        lines += [[path, entry.there, entry.here] for path, entry in self.entries.items()]
        with replacing(self._path) as unfinished:
            unfinished.write_text("".join(map(_line, lines)), encoding="utf-8")

    def _apply(self, line: Any) -> None:
        if isinstance(line, dict):
            self.since = None if line["since"] is None else int(line["since"])
        elif len(line) == 1:
            self._forget(str(line[0]))
        else:
            here = None if line[2] is None else (int(line[2][0]), int(line[2][1]))
            self._set(str(line[0]), Entry(str(line[1]), here))

    def _begin(self, place: str) -> list[str]:
        if place == ".":
            return [path for path in self._inside.get("", ()) if path in self.entries]
        return [place]

    def _set(self, path: str, entry: Entry) -> None:
        self.entries[path] = entry
        while path:
            folder = path.rpartition("/")[0]
            inside = self._inside.setdefault(folder, set())
            if path in inside:
                break
            inside.add(path)
            path = folder

    def _forget(self, path: str) -> None:
        if self.entries.pop(path, None) is not None:
            self._inside[path.rpartition("/")[0]].discard(path)

    def _append(self, lines: list[Any], durable: bool = False) -> None:
        if lines:
            with self._path.open("a", encoding="utf-8") as file:
                # After a line that was cut off.
                file.write("\n" * durable + "".join(map(_line, lines)))
                if durable:
                    file.flush()
                    os.fsync(file.fileno())


def _line(value: Any) -> str:
    return json.dumps(value) + "\n"
