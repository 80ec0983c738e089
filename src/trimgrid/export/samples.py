"""Some rows of the data in one small file, so that a model can be exported next week."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.atomic import replacing
from trimgrid.errors import InputError, first_line

# An exported file is run on the test rows one after the other: 1,000 of them take 2 seconds for a
# small network, and tell a share of wrong answers to about 3 %.
TEST_ROWS = 1_000
# Training rows set the ranges of integer activations. TensorFlow advises 100 to 500.
TRAIN_ROWS = 256
# All rows together, in bytes: a copy of them lies in every run directory. Images of 180 x 180 are
# 389 kB each; half of this still holds 80 of them.
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Samples:
    """Rows of the data: inputs to set the ranges of integers, and a test of what was exported.

    Each part is an array, or a list or dict of arrays, with one row for each example. Without test
    data `test_inputs` and `test_targets` are None; `test_weights` is None where all rows weigh the
    same. `train_total` and `test_total` tell how many rows there were, of which these are the
    first.

    >>> samples = Samples(np.zeros((2, 3)), {"a": np.ones((5, 1))}, np.ones(5), 100, 5)
    >>> samples.train_rows, samples.test_rows
    (2, 5)
    >>> samples.describe()
    '2 of 100 training rows, 5 of 5 test rows'
    """

    train_inputs: Any
    test_inputs: Any
    test_targets: Any
    train_total: int
    test_total: int
    test_weights: Any = None

    @property
    def train_rows(self) -> int:
        """How many training rows are here."""
        return len(_arrays(self.train_inputs)[0])

    @property
    def test_rows(self) -> int:
        """How many test rows are here."""
        return 0 if self.test_inputs is None else len(_arrays(self.test_inputs)[0])

    def describe(self) -> str:
        """Say how many rows of how many there were are here."""
        return (
            f"{self.train_rows:,} of {self.train_total:,} training rows, "
            f"{self.test_rows:,} of {self.test_total:,} test rows"
        )


def write_samples(
    path: str | Path,
    *,
    train_inputs: Any,
    test_inputs: Any = None,
    test_targets: Any = None,
    test_weights: Any = None,
    train_total: int | None = None,
    test_total: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Samples:
    """Write the first rows of the data to an `.npz` file, and return what was written.

    At most 256 training rows and 1,000 test rows, and at most `max_bytes` bytes in all: where they
    would be more, each part gets at most a half, and as many rows as fit, but at least one. Inputs,
    targets and sample weights are arrays of numbers, or lists, tuples or dicts of such arrays;
    bfloat16, which NumPy's files have not, becomes float32. `train_total` and `test_total`: how
    many rows there are where only some of them are given.

    The same rows give the same bytes, and no pickle is among them.

    Raises `InputError` for parts that are not arrays of numbers of one length, for test inputs
    without targets or the other way round, and for weights without both.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     samples = write_samples(
    ...         Path(folder, "samples.npz"),
    ...         train_inputs=np.zeros((1000, 3), "float32"),
    ...         test_inputs=np.zeros((50, 3), "float32"),
    ...         test_targets=np.zeros(50),
    ...     )
    ...     samples.describe()
    ...     read_samples(Path(folder, "samples.npz")).test_inputs.shape
    '256 of 1,000 training rows, 50 of 50 test rows'
    (50, 3)
    """
    if (test_inputs is None) != (test_targets is None):
        missing = "test_inputs" if test_inputs is None else "test_targets"
        raise InputError(
            f"Test data is inputs and targets. Received: {missing}=None. Give both, or neither."
        )
    if test_inputs is None and test_weights is not None:
        raise InputError(
            "Weights belong to test inputs and targets. Received: test_weights without them. "
            "Give them too."
        )
    tests = {
        "test_inputs": test_inputs,
        "test_targets": test_targets,
        "test_weights": test_weights,
    }
    parts = {"train_inputs": train_inputs, **tests}
    lengths = {name: _length(name, part) for name, part in parts.items() if part is not None}
    if len(rows := {lengths[name]: None for name in tests if name in lengths}) > 1:
        raise InputError(
            "Test inputs, targets and weights must have the same number of rows. "
            f"Received: {' and '.join(map(str, rows))}."
        )
    train = _fitting([train_inputs], TRAIN_ROWS, max_bytes // 2)
    test = _fitting(list(tests.values()), TEST_ROWS, max_bytes // 2)
    samples = Samples(
        **{name: _first(part, test if name in tests else train) for name, part in parts.items()},
        train_total=lengths["train_inputs"] if train_total is None else train_total,
        test_total=lengths.get("test_inputs", 0) if test_total is None else test_total,
    )
    arrays: list[NDArray[Any]] = []
    header = {name: _describe(getattr(samples, name), arrays) for name in parts}
    totals = {"train_total": samples.train_total, "test_total": samples.test_total}
    contents: dict[str, Any] = {f"a{i}": array for i, array in enumerate(arrays)}
    contents["header"] = np.asarray(json.dumps({**header, **totals}))
    with replacing(path) as unfinished:
        np.savez(unfinished, **contents)
    return samples


def read_samples(path: str | Path) -> Samples:
    """Read what `write_samples` wrote.

    Raises `InputError` for a file that is missing, damaged or of another kind.

    >>> read_samples("nowhere.npz")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: Samples must be a whole file that write_samples wrote. Received: \
'nowhere.npz': [Errno 2] No such file or directory: 'nowhere.npz'.
    """
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            return Samples(
                _restore(header["train_inputs"], file),
                _restore(header["test_inputs"], file),
                _restore(header["test_targets"], file),
                header["train_total"],
                header["test_total"],
                _restore(header.get("test_weights"), file),
            )
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            "Samples must be a whole file that write_samples wrote. "
            f"Received: {str(path)!r}: {first_line(error)}"
        ) from error


def _arrays(part: Any) -> list[NDArray[Any]]:
    """The arrays in a structure, in its order."""
    if part is None:
        return []
    if isinstance(part, Mapping):
        part = tuple(part.values())
    if isinstance(part, list | tuple):
        return [array for item in part for array in _arrays(item)]
    return [_array(part)]


def _array(part: Any) -> NDArray[Any]:
    array = np.asarray(part)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _length(name: str, part: Any) -> int:
    """How many rows a part has."""
    arrays = _arrays(part)
    lengths = {array.shape[0] if array.ndim else 0 for array in arrays}
    if len(lengths) != 1 or 0 in lengths or not all(a.dtype.kind in "biuf" for a in arrays):
        received = ", ".join(f"{array.dtype.name}{list(array.shape)}" for array in arrays[:6])
        raise InputError(
            f"{name} must be arrays of numbers, all with the same number of rows, at least one. "
            f"Received: {received or 'no array'}."
        )
    return int(lengths.pop())


def _fitting(parts: Sequence[Any], rows: int, max_bytes: int) -> int:
    """How many rows of the parts fit into so many bytes: at most `rows`, at least one."""
    row_bytes = sum(array[:1].nbytes for part in parts for array in _arrays(part))
    return max(1, min(rows, max_bytes // max(1, row_bytes)))


def _first(part: Any, rows: int) -> Any:
    """The first rows of every array in a structure."""
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {str(key): _first(value, rows) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return type(part)([_first(item, rows) for item in part])
    return _array(part)[:rows]


def _describe(part: Any, arrays: list[NDArray[Any]]) -> Any:
    """Describe a structure in JSON: an array by its place in `arrays`, where it is put."""
    if part is None:
        return None
    if isinstance(part, dict):
        return {"dict": [[key, _describe(value, arrays)] for key, value in part.items()]}
    if isinstance(part, list | tuple):
        kind = "list" if isinstance(part, list) else "tuple"
        return {kind: [_describe(item, arrays) for item in part]}
    arrays.append(part)
    return len(arrays) - 1


def _restore(described: Any, file: Mapping[str, NDArray[Any]]) -> Any:
    if described is None:
        return None
    if isinstance(described, int):
        return file[f"a{described}"]
    if "dict" in described:
        return {key: _restore(value, file) for key, value in described["dict"]}
    items = [_restore(item, file) for item in described.get("list", described.get("tuple"))]
    return items if "list" in described else tuple(items)
