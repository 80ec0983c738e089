"""The right to write to a folder of a storage: an object that its holder renews."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from trimgrid.errors import RunError
from trimgrid.storage.filesystem import Storage

EVERY = 10.0
"""Seconds between two renewals."""
LASTS = 60.0
"""Seconds after which a lease that was not renewed may be taken over."""
_SETTLES = 1.0  # seconds in which another process that takes over at the same time has written


class HeldError(Exception):
    """Another process has the lease; `content` is what it tells of itself."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content


class Lease:
    """The lease `path` of a storage, renewed by a thread from `take` to `give_back`.

    `holder` is told to others. `machine`: a lease of the same machine is that of a process that is
    gone, because the caller holds the system's lock there. `meanwhile` is called at each renewal.

    How old a lease is the storage's own clock tells: the time of the lease against that of an
    object that was just written. One that can't be told is never taken over.
    """

    def __init__(
        self,
        storage: Storage,
        path: str,
        holder: Mapping[str, Any],
        machine: str,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._path = path
        self._token = uuid4().hex
        self._machine = machine
        self._content = json.dumps({**holder, "token": self._token, "machine": machine}).encode()
        self._meanwhile = meanwhile
        self._ended = threading.Event()
        self._lost = False
        self._renewed = _now()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Take the lease. Raises `HeldError`, and what `Storage.write` does."""
        while not self._storage.write(self._path, self._content, new=True):
            found = self._storage.read(self._path)
            if found is None:  # it was just given back
                continue
            mine = _told(found, "machine") == self._machine
            if not mine and not self._is_stale():
                raise HeldError(found)
            self._storage.write(self._path, self._content)
            if not mine:
                time.sleep(_SETTLES)
            found = self._storage.read(self._path)
            if found is not None and _told(found, "token") != self._token:
                raise HeldError(found)
            break
        self._renewed = _now()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still held. Raises `RunError` if another process has it."""
        if not self._lost and _now() - self._renewed > LASTS / 2:
            self._renew_once()  # the thread has had no success, or the machine slept
        if self._lost:
            raise RunError(
                f"Another process has taken over {self._storage.url!r}, because this one had not "
                "been heard of for a minute. It stops here; what the other one has counts."
            )

    def give_back(self) -> None:
        """Stop renewing, and remove the lease if it is still held."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=LASTS)
        # One that can't be removed is taken over later; what went wrong before is to be told.
        with suppress(OSError):
            found = self._storage.read(self._path)
            if found is not None and _told(found, "token") == self._token:
                self._storage.remove([self._path])

    def _renew(self) -> None:
        while not self._ended.wait(EVERY):
            # A storage that fails for a while is for the writer to complain of.
            with suppress(Exception):
                self._renew_once()
                if not self._lost:
                    self._meanwhile()

    def _renew_once(self) -> None:
        with self._turn:
            found = self._storage.read(self._path)
            if found is None or _told(found, "token") != self._token:
                self._lost = True
                return
            began = _now()
            self._storage.write(self._path, self._content)
            self._renewed = began

    def _is_stale(self) -> bool:
        probe = f"{self._path}.{self._token}"
        self._storage.write(probe, b"")
        try:
            now, then = self._storage.modified(probe), self._storage.modified(self._path)
        except FileNotFoundError:  # it was just given back: try again
            return True
        finally:
            self._storage.remove([probe])
        return now is not None and then is not None and (now - then).total_seconds() > LASTS


def _now() -> float:
    """A time that goes on while the machine sleeps, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _told(content: bytes, key: str) -> str | None:
    try:
        return str(json.loads(content)[key])
    except (ValueError, KeyError, TypeError):
        return None
