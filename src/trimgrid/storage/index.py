"""What a local copy and its storage had in common last, in a file beside the copy."""

from __future__ import annotations

import json
import os
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
        self.since: int | None = None
        """When a process began to write, in nanoseconds; None after it ended well."""
        self.load()

    def load(self) -> None:
        """Read what is there, which other processes may have written."""
        self.entries, self.since = {}, None
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            try:
                self._apply(json.loads(line))
            except (ValueError, TypeError, LookupError):
                continue

    def put(self, entries: dict[str, Entry]) -> None:
        """Add entries, in place of those of the same files."""
        self.entries.update(entries)
        self._append([[path, entry.there, entry.here] for path, entry in entries.items()])

    def drop(self, paths: list[str]) -> None:
        """Let go of files."""
        for path in paths:
            self.entries.pop(path, None)
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
            self.entries.pop(str(line[0]), None)
        else:
            here = None if line[2] is None else (int(line[2][0]), int(line[2][1]))
            self.entries[str(line[0])] = Entry(str(line[1]), here)

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
