"""The run directory as the process that runs sees it: what is there, and what it adds."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from trimgrid.atomic import sync_folder
from trimgrid.errors import InputError, RunError
from trimgrid.run_directory.attempt_files import RESULT
from trimgrid.run_directory.attempt_store import AttemptStore
from trimgrid.run_directory.differences import describe_differences
from trimgrid.run_directory.elsewhere import local_folder, push, push_all
from trimgrid.run_directory.json_files import as_json
from trimgrid.run_directory.lock import RunLock
from trimgrid.run_directory.manifest import (
    MANIFEST,
    SCHEMA,
    Manifest,
    Planned,
    find_planned,
    read_manifest,
    write_manifest,
)
from trimgrid.run_directory.paths import (
    ATTEMPTS,
    CHECKPOINTS,
    SAMPLES,
    attempt_path,
    check_id,
)
from trimgrid.run_directory.progress_file import PROGRESS
from trimgrid.run_directory.search_file import find_searches
from trimgrid.run_directory.sensitivity_file import SENSITIVITY, write_sensitivity
from trimgrid.run_directory.tidying import has_begun, make_folder, tidy
from trimgrid.sensitivity import Sensitivity
from trimgrid.storage.copies import shown

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "Manifest",
    "Planned",
    "RunDirectory",
    "read_manifest",
    "remove_attempt",
]


class RunDirectory(AttemptStore):
    """A run directory, open for writing by this process alone inside a `with` block.

    Entering makes the folder, or resumes the run in it: its settings must be the same. `settings`
    is what all attempts share and what their results depend on, made of what JSON has; a dict with
    a key "digest" stands for something that is too large. `about` is only kept for people; that of
    the first run stays.

    Every file appears whole or not at all. What a killed process left is removed at entering, and
    an attempt is finished when its result is in place.

    Entering raises `InputError` for a folder that holds something else, is in use, can't be
    written, is damaged, was written by a newer trimgrid or with other settings. All methods raise
    `OSError` with the file's name where the disk is full or can't be written; what was there stays.

    >>> import tempfile
    >>> half = Planned("5f0c", "half", {"sparsity": 0.5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunDirectory(folder, {"epochs": 20}, {"version": "1.0"}) as run:
    ...         run.plan([half])
    ...     with RunDirectory(folder, {"epochs": 20}, {}) as run:
    ...         run.planned == [half], run.is_finished("5f0c")
    (True, False)
    """

    def __init__(
        self, folder: str | Path, settings: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        super().__init__(folder, ())
        self._wanted = Manifest(self.folder, as_json(settings), as_json(about), ())
        self._manifest = self._wanted
        self._lock = RunLock(self.folder)

    def __enter__(self) -> Self:
        make_folder(self.folder)
        self._lock.__enter__()
        try:
            if (self.folder / MANIFEST).exists():
                self._manifest = self._resumed(read_manifest(self.folder))
            else:
                self._write_manifest(self._wanted)
            self._planned = self._manifest.planned
            self._tidy()
            push(self.folder / ATTEMPTS, self.folder / CHECKPOINTS)  # what could not be sent before
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        try:
            self._tidy()
            try:
                push_all(self.folder)
            except (RunError, OSError):
                if kind is None:  # else what went wrong first is told
                    raise
        finally:
            self._lock.__exit__()

    def plan(self, planned: Sequence[Planned]) -> None:
        """Add the attempts that are not planned yet, in their order; the first is the original.

        Raises `InputError`, with nothing added, for a name that another attempt has, and for an
        attempt that is there under another name.
        """
        known = list(self._manifest.planned)
        by_id = {each.id: each for each in known}
        by_name = {each.name: each for each in known}
        for each in planned:
            new = Planned(check_id(each.id), each.name, as_json(each.config))
            self._check_free(new, by_id.get(new.id), by_name.get(new.name))
            if new.id not in by_id:
                known.append(new)
                by_id[new.id] = by_name[new.name] = new
        if len(known) > len(self._manifest.planned):
            self._replace_planned(known)

    def take_back(self, id: str) -> None:
        """Remove the result of an attempt, which is unfinished then; its other files stay."""
        folder = attempt_path(self.folder, id)
        (folder / RESULT).unlink(missing_ok=True)
        sync_folder(folder)
        push(folder / RESULT)

    def write_sensitivity(self, found: Sensitivity) -> None:
        """Write sensitivity.json: see `trimgrid.run_directory.sensitivity_file`."""
        write_sensitivity(self.folder, found)
        push(self.folder / SENSITIVITY)

    def rm(self, name_or_id: str) -> None:
        """Remove an attempt with its files; the next run lets go of its checkpoints.

        Killed in between, the attempt is unfinished or gone, never half there.

        Raises `InputError` for one that is not planned, and for the original while others are: they
        were trained from it.
        """
        planned = find_planned(self._manifest.planned, name_or_id)
        others = [each for each in self._manifest.planned if each.id != planned.id]
        if others and planned == self._manifest.planned[0]:
            raise InputError(
                "The original can't be removed while there are attempts, which began from it. "
                f"Received: {name_or_id!r}. Remove the others first, or the folder."
            )
        folder = attempt_path(self.folder, planned.id)
        if folder.is_dir():
            # The result first: were the attempt planned again, a result left would be taken.
            self.take_back(planned.id)
        self._replace_planned(others)
        if folder.is_dir():
            shutil.rmtree(folder)
            push(folder)

    def _resumed(self, manifest: Manifest) -> Manifest:
        """The manifest of a run that goes on; a new one if other settings can't do any harm."""
        difference = describe_differences(manifest.settings, self._wanted.settings)
        if not difference:
            return manifest
        if not has_begun(self.folder):
            searches = [each.name for each in find_searches(self.folder)]
            for name in (SAMPLES, PROGRESS, SENSITIVITY, *searches):
                (self.folder / name).unlink(missing_ok=True)
            push(self.folder / SAMPLES)
            self._write_manifest(self._wanted)
            return self._wanted
        raise InputError(
            "A run is resumed with the settings that it was begun with. "
            f"Received: {shown(self.folder)!r}, where these differ: {difference}. "
            "Use another run directory, or the same settings."
        )

    def _tidy(self) -> None:
        tidy(self.folder, {each.id for each in self._manifest.planned})

    def _check_free(self, new: Planned, same_id: Planned | None, same_name: Planned | None) -> None:
        if same_name is not None and same_name.id != new.id:
            command = shlex.join(["trimgrid", "rm", shown(self.folder), new.name])
            difference = describe_differences(same_name.config, new.config)
            raise InputError(
                "A name stands for one attempt in a run directory. "
                f"Received: {new.name!r}, which is there with other settings: "
                f"{difference or 'other settings of the run'}. "
                f"Rename it, or remove the one that is there: {command}"
            )
        if same_id is not None and same_id.name != new.name:
            raise InputError(
                "An attempt has one name in a run directory. "
                f"Received: {new.name!r}, which is the same as {same_id.name!r}. "
                "Leave one of them out."
            )

    def _replace_planned(self, planned: Sequence[Planned]) -> None:
        manifest = replace(self._manifest, planned=tuple(planned))
        self._write_manifest(manifest)
        self._manifest = manifest
        self._planned = manifest.planned

    def _write_manifest(self, manifest: Manifest) -> None:
        write_manifest(manifest)
        push(self.folder / MANIFEST)


def remove_attempt(folder: str | Path, name: str) -> None:
    """Remove an attempt and its files from a run directory.

    Raises `InputError` for a name that is not there, for the original while there are attempts,
    and for a directory that a process uses.
    """
    manifest = read_manifest(local_folder(folder))
    with RunDirectory(manifest.folder, manifest.settings, manifest.about) as run:
        run.rm(name)
