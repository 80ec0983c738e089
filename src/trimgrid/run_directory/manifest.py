"""What a run directory holds: the settings of the run and the attempts planned, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError
from trimgrid.run_directory.json_files import DamagedFileError, read_json, write_json
from trimgrid.run_directory.paths import MANIFEST as MANIFEST
from trimgrid.run_directory.paths import check_id
from trimgrid.storage.copies import shown
from trimgrid.suggestions import nearest

SCHEMA = 1
"""The version of the layout of run directories that this trimgrid writes and reads."""

_NAMES = 4  # of attempts, in a message


@dataclass(frozen=True)
class Planned:
    """An attempt of a run: its id, the name that people read, and what it has of its own.

    `id` is a digest, hex digits, of everything that determines the result: see `digest`.

    >>> Planned("5f0c", "half", {"schedule": {"target_sparsity": 0.5}}).name
    'half'
    """

    id: str
    name: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """A run directory's plan.

    `settings`: what all attempts share, and what must not differ when the run is resumed. `about`:
    what is only told: versions, machine, when. `planned`: the attempts, the original first.
    """

    folder: Path
    settings: dict[str, Any]
    about: dict[str, Any]
    planned: tuple[Planned, ...]


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a run directory; no lock is needed.

    Raises `InputError` for a folder that is missing or no run directory, for a manifest that is
    damaged, and for one that a newer trimgrid has written.

    >>> read_manifest("runs/none")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A run directory must exist. Received: 'runs/none'. Check the path.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(
            f"A run directory must exist. Received: {shown(folder)!r}. Check the path."
        )
    path = folder / MANIFEST
    try:
        found = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"A run directory has a {MANIFEST}. Received: {shown(folder)!r}, which is not a run "
            "directory. Give the folder that a run was written to."
        ) from error
    schema = found.get("schema")
    if type(schema) is not int or schema < 1:
        raise DamagedFileError(path, f"Its schema is {schema!r}.")
    if schema > SCHEMA:
        raise InputError(
            f"A run directory must be of schema {SCHEMA} or older. Received: {shown(folder)!r}, "
            f"written by a newer trimgrid, schema {schema}; this one reads {SCHEMA}. Upgrade."
        )
    parts = [found.get(key) for key in ("settings", "about")]
    entries = found.get("attempts")
    if not all(isinstance(part, dict) for part in parts) or not isinstance(entries, list):
        raise DamagedFileError(path, "It needs settings, about and attempts.")
    planned = tuple(_planned(path, entry) for entry in entries)
    for kind in ("id", "name"):
        if len({getattr(each, kind) for each in planned}) < len(planned):
            raise DamagedFileError(path, f"Two attempts have the same {kind}.")
    return Manifest(folder.absolute(), found["settings"], found["about"], planned)


def write_manifest(manifest: Manifest) -> None:
    """Write the manifest of a run directory in place of the one that is there.

    Raises `OSError`, and `InputError` for settings that JSON can't hold; the earlier one stays.
    """
    content = {
        "schema": SCHEMA,
        "settings": manifest.settings,
        "about": manifest.about,
        "attempts": [asdict(each) for each in manifest.planned],
    }
    write_json(manifest.folder / MANIFEST, content)


def find_planned(planned: Sequence[Planned], name_or_id: str) -> Planned:
    """Find an attempt by its name or, if none has this name, by its id.

    Raises `InputError` if there is none.

    >>> find_planned([Planned("5f0c", "half", {})], "half").id
    '5f0c'
    """
    for kind in ("name", "id"):
        for each in planned:
            if getattr(each, kind) == name_or_id:
                return each
    raise unknown_attempt(name_or_id, [each.name for each in planned])


def unknown_attempt(name: str, known: Sequence[str]) -> InputError:
    """Return the error for a name that no attempt has: it tells the nearest one, or a few.

    >>> unknown_attempt("hlaf", ["half", "most"])
    InputError("An attempt must be one of the run's. Received: 'hlaf'. Did you mean 'half'?")
    >>> unknown_attempt("x", ["half", "most"])
    InputError("An attempt must be one of the run's. Received: 'x'. There are 'half', 'most'.")
    """
    more = f" and {len(known) - _NAMES} more" if len(known) > _NAMES else ""
    listed = ", ".join(map(repr, known[:_NAMES])) or "none"
    remedy = nearest(name, known).rstrip() or f"There are {listed}{more}."
    return InputError(f"An attempt must be one of the run's. Received: {name!r}. {remedy}")


def _planned(path: Path, entry: Any) -> Planned:
    try:
        planned = Planned(check_id(entry["id"]), entry["name"], entry["config"])
    except (TypeError, KeyError) as error:
        raise DamagedFileError(path, "An attempt needs id, name and config.") from error
    except InputError as error:
        raise DamagedFileError(path, str(error)) from error
    if not isinstance(planned.name, str) or not isinstance(planned.config, dict):
        raise DamagedFileError(path, f"Attempt {planned.id} needs a name and a config.")
    return planned
