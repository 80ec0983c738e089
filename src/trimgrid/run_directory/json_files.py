"""The JSON files of a run directory: written whole or not at all, checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.storage.copies import shown


class DamagedFileError(InputError):
    """A file of a run directory that can't be read; `reason` is a sentence that says why.

    >>> str(DamagedFileError("run/manifest.json", "It is empty."))
    "Files of a run directory must be whole. Received: 'run/manifest.json'. It is empty. \
Restore the file from a copy."
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(
            f"Files of a run directory must be whole. Received: {shown(path)!r}. {reason} "
            "Restore the file from a copy."
        )
        self.path = Path(path)
        self.reason = reason


def as_json(value: Any) -> Any:
    """Return a value as it is read back from a JSON file: tuples are lists, keys are strings.

    NumPy's numbers become Python's. NaN and infinities stay, as Python's JSON has them.

    Raises `InputError` for what JSON does not have.

    >>> as_json({"seeds": (0, np.int64(1))})
    {'seeds': [0, 1]}
    """
    return json.loads(_text(value))


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file; it appears whole or not at all: see `replacing`.

    Raises `InputError` for what JSON does not have, and `OSError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder, "result.json"), {"seeds": (0, 1)})
    ...     read_json(Path(folder, "result.json"))
    {'seeds': [0, 1]}
    """
    text = _text(value, indent=2)
    with replacing(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises `DamagedFileError` for a file that is empty, truncated or holds anything else, and
    `OSError` for one that is missing or can't be read.
    """
    data = path.read_bytes()
    if not data.strip(b"\0 \r\n\t"):  # zeros are what a failing disk leaves
        raise DamagedFileError(path, "It is empty.")
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        raise DamagedFileError(
            path, f"It is no JSON from line {error.lineno} on: {error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, f"It is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise DamagedFileError(path, f"It holds a {type(value).__name__}, not an object.")
    return value


def _text(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent, default=_number)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"What a run directory stores must be what JSON has. Received: {error}. "
            "Use numbers, strings, None, lists and dicts with strings as keys."
        ) from error


def _number(value: Any) -> Any:
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.60}")
