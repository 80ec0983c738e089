"""The files of one attempt in its folder: what it learned, what it predicts, what it measures."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.atomic import is_temporary, replacing
from trimgrid.errors import InputError
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.elsewhere import push
from trimgrid.run_directory.json_files import DamagedFileError, read_json, write_json
from trimgrid.run_directory.paths import RESULT as RESULT
from trimgrid.storage.copies import shown

ATTEMPT = "attempt.json"
HISTORY = "history.csv"
MODEL = "model.keras"
PREDICTIONS = "predictions.npz"

_STRUCTURE = "structure"


def write_history(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of numbers as CSV, a row for each epoch; floats keep all their digits.

    None becomes an empty field.

    Raises `InputError` for columns of different lengths, and `OSError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_history(Path(folder, "history.csv"), {"epoch": [1, 2], "loss": [0.5, 0.25]})
    ...     read_history(Path(folder, "history.csv"))
    {'epoch': [1.0, 2.0], 'loss': [0.5, 0.25]}
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            "The columns of a history must have the same length. "
            f"Received: {lengths}. Give a value for each epoch."
        )
    with replacing(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [_field(each) for each in row] for row in zip(*columns.values(), strict=True)
        )


def read_history(path: Path) -> dict[str, list[float]]:
    """Read a history as floats; an empty field is NaN. Raises `ValueError` for other contents."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        rows = [[float(field) if field else math.nan for field in row] for row in reader]
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def write_predictions(path: Path, predictions: Any) -> None:
    """Write an array, or nested lists and dicts of arrays, as a compressed `.npz` without pickle.

    Types that NumPy does not know, like bfloat16, become float32, which holds all their values.

    Raises `InputError` for arrays of objects and for keys that are not strings, and `OSError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "predictions.npz")
    ...     write_predictions(path, {"class": np.array([0.5]), "box": [np.zeros(2), np.ones(2)]})
    ...     read_predictions(path)["box"][1]
    array([1., 1.])
    """
    arrays: list[NDArray[Any]] = []
    structure = json.dumps(_places(predictions, arrays))
    members: dict[str, Any] = {f"array_{place}": array for place, array in enumerate(arrays)}
    members[_STRUCTURE] = np.array(structure)
    with replacing(path) as unfinished:
        np.savez_compressed(unfinished, **members)


def read_predictions(path: Path) -> Any:
    """Read predictions in the structure that they were written in; tuples are lists.

    Raises `ValueError`, `KeyError` and others that NumPy raises for a file that is damaged.
    """
    # Opened here, because NumPy leaves a damaged archive open.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as members:
        return _rebuilt(json.loads(str(members[_STRUCTURE])), members)


def result_dict(
    folder: Path, id: str, info: AttemptInfo, *, seeds: Sequence[int]
) -> dict[str, Any]:
    """Return the content of an attempt's result.json.

    It has `id`, what `AttemptInfo.to_dict` gives, the `seeds` of its trainings, the size and
    SHA-256 of each file that lies in its `folder`, and no exports and no latency yet.

    Raises `OSError` for a file that can't be read.

    >>> import tempfile
    >>> info = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "model.keras").write_bytes(b"weights")
    ...     result = result_dict(Path(folder), "5f0c", info, seeds=[0])
    >>> result["id"], result["error"], result["files"]["model.keras"]["bytes"]
    ('5f0c', 0.02, 7)
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (ATTEMPT, RESULT) and not is_temporary(path.name)
    }
    return {
        "id": id,
        **info.to_dict(),
        "seeds": [int(seed) for seed in seeds],
        "files": files,
        "exports": [],
        "latency": None,
    }


def add_export(folder: Path, entry: Mapping[str, Any]) -> None:
    """Add an export to the result.json in the folder of a finished attempt.

    `entry` says what JSON can hold, with the file's path as "file"; an entry of the same file is
    replaced. The caller holds a `RunLock` on the folder.

    Raises `InputError` for an attempt that is not finished or damaged, and `OSError`.
    """
    result = _finished_result(folder)
    exports = result.get("exports")
    if not isinstance(exports, list) or not all(isinstance(each, dict) for each in exports):
        raise DamagedFileError(folder / RESULT, "It has no list of exports.")
    others = [each for each in exports if each.get("file") != entry["file"]]
    _replace_result(folder, {**result, "exports": [*others, dict(entry)]})


def set_latency(folder: Path, latency_ms: float | None, latency: Mapping[str, Any] | None) -> None:
    """Put a latency into the result.json in the folder of a finished attempt.

    `latency_ms` as `AttemptInfo` has it, `latency` what `Latency.to_dict` gives; a `latency` of
    None leaves that of before. The caller holds a `RunLock` on the folder.

    Raises `InputError` for an attempt that is not finished or damaged, and `OSError`.
    """
    result = _finished_result(folder)
    if latency is not None:
        result["latency"] = dict(latency)
    _replace_result(folder, {**result, "latency_ms": latency_ms})


def set_shrunk(folder: Path, shrunk: Mapping[str, Any]) -> None:
    """Put what `ShrunkInfo.to_dict` gives into the result.json of a finished attempt.

    The caller holds a `RunLock` on the folder.

    Raises `InputError` for an attempt that is not finished or damaged, and `OSError`.
    """
    _replace_result(folder, {**_finished_result(folder), "shrunk": dict(shrunk)})


def _replace_result(folder: Path, result: Mapping[str, Any]) -> None:
    write_json(folder / RESULT, result)
    push(folder / RESULT)


def _finished_result(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / RESULT)
    except FileNotFoundError as error:
        raise InputError(
            "An attempt that is exported, timed or shrunk must be finished. "
            f"Received: {shown(folder)!r}, which has no {RESULT}. Run it first."
        ) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex digits. Raises `OSError`.

    >>> sha256_of(Path("/dev/null"))[:8]
    'e3b0c442'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | np.integer):
        return str(int(value))
    return repr(float(value))


def _places(node: Any, arrays: list[NDArray[Any]]) -> Any:
    """Replace each array by its place in the list, to which it is added."""
    if isinstance(node, list | tuple):
        return [_places(each, arrays) for each in node]
    if isinstance(node, Mapping):
        if not all(isinstance(key, str) for key in node):
            raise InputError(
                f"Keys of predictions must be strings. Received: {list(node)!r:.80}. Name each."
            )
        return {key: _places(each, arrays) for key, each in node.items()}
    array = np.asarray(node)
    if array.dtype.kind == "V" and array.dtype.fields is None:
        array = array.astype(np.float32)
    if array.dtype.hasobject or array.dtype.fields is not None:
        raise InputError(
            "Predictions must be arrays of numbers or of strings of fixed length. "
            f"Received: dtype={array.dtype}. Convert them with array.astype."
        )
    arrays.append(array)
    return len(arrays) - 1


def _rebuilt(structure: Any, members: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(structure, list):
        return [_rebuilt(each, members) for each in structure]
    if isinstance(structure, dict):
        return {key: _rebuilt(each, members) for key, each in structure.items()}
    return members[f"array_{structure}"]
