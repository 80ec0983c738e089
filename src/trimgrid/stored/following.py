"""A run directory that is read again and again while it grows: what changed is read anew."""

from __future__ import annotations

from pathlib import Path

from trimgrid.run_directory.attempt_files import RESULT
from trimgrid.run_directory.manifest import MANIFEST, Manifest, read_manifest
from trimgrid.run_directory.paths import ATTEMPTS
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults

_Version = tuple[int, int, int]


class Following:
    """Reads the results of a run as often as they are asked for.

    A file is read again when its time, size or place on the disk differs.

    >>> Following("runs/none").results()
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A run directory must exist. Received: 'runs/none'. Check the path.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._manifest: tuple[_Version, Manifest] | None = None
        self._read: dict[str, tuple[_Version, StoredAttempt]] = {}

    def results(self) -> StoredResults:
        """Return what is finished by now. Raises `InputError` as `read_manifest` does."""
        manifest = self._current_manifest()
        finished = []
        for planned in manifest.planned:
            version = _version(manifest.folder / ATTEMPTS / planned.id / RESULT)
            known = self._read.get(planned.id)
            if version is None:
                continue
            if known is None or known[0] != version:
                attempt = StoredAttempt.read(manifest.folder, planned)
                if attempt is None:  # removed since
                    continue
                known = self._read[planned.id] = version, attempt
            finished.append(known[1])
        return StoredResults(manifest, finished)

    def _current_manifest(self) -> Manifest:
        version = _version(self.folder / MANIFEST)
        if version is None:
            return read_manifest(self.folder)
        if self._manifest is None or self._manifest[0] != version:
            self._manifest = version, read_manifest(self.folder)
            self._read.clear()  # an attempt may have another name now
        return self._manifest[1]


def _version(path: Path) -> _Version | None:
    """What tells a file from the one that was there before; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
