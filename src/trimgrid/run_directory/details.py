"""What an attempt's weights look like and when they were pruned, in a file beside its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.run_directory.json_files import DamagedFileError, read_json, write_json

DETAILS = "details.json"
_BINS = 61  # odd, so that zero lies in the middle of one
_LEAST_LIMIT = 1e-300
_MOST_UPDATES = 500
Updates: TypeAlias = tuple[tuple[int, float], ...]
"""Steps at which masks are chosen, and the sparsity from each of them on."""


@dataclass(frozen=True)
class TensorSummary:
    """A tensor of a model: how many weights, how many of them zero, and why it is not pruned.

    `reason` is None where the tensor is pruned.

    >>> TensorSummary("dense/kernel", (4, 2), 8, 4, None).sparsity
    0.5
    """

    path: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    reason: str | None

    @property
    def sparsity(self) -> float:
        """The fraction of zeros."""
        return self.zeros / self.weights if self.weights else 0.0


@dataclass(frozen=True)
class Histogram:
    """How often the weights that are not zero have which values.

    `counts[i]` weights lie in the i-th of the bins of equal width from `-limit` to `limit`.
    """

    limit: float
    counts: tuple[int, ...]

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> Self | None:
        """Count the finite weights of some tensors that are not zero.

        None where there is no such weight, and where all are too small or too large for bins.

        >>> Histogram.of([np.array([0.0, 1.0, -1.0, 1.0])]).limit
        1.0
        """
        limit = max((_largest(array) for array in arrays), default=0.0)
        if not _LEAST_LIMIT < limit < 1 / _LEAST_LIMIT:
            return None
        counts = np.zeros(_BINS, np.int64)
        for array in arrays:  # one by one: together they are as large as the model
            weights = np.asarray(array, float)[np.asarray(array) != 0]
            counts += np.histogram(weights, bins=_BINS, range=(-limit, limit))[0]
        return cls(limit, tuple(counts.tolist()))


@dataclass(frozen=True)
class Details:
    """What of an attempt only its page shows.

    `tensors` and `histogram`, of the weights of all tensors that are pruned, describe the model
    that is kept; where no training succeeded they are empty and None. `updates` are the steps at
    which masks were chosen, with the sparsity, of `steps` training steps; of more than 500 these
    are evenly chosen ones with the first and the last. The original has none.
    """

    tensors: tuple[TensorSummary, ...]
    histogram: Histogram | None
    steps: int
    updates: Updates


def updates_of(plan: ArrayLike) -> Updates:
    """Return the updates of a plan: see `trimgrid.schedules.Schedule.plan`.

    >>> updates_of([0.0, np.nan, 0.5])
    ((0, 0.0), (2, 0.5))
    """
    sparsities = np.asarray(plan, float)
    due = np.flatnonzero(~np.isnan(sparsities))
    if due.size > _MOST_UPDATES:
        due = due[np.linspace(0, due.size - 1, _MOST_UPDATES).round().astype(int)]
    return tuple((int(step), float(sparsities[step])) for step in due)


def write_details(path: Path, details: Details) -> None:
    """Write the details of an attempt. Raises `OSError`.

    >>> import tempfile
    >>> details = Details((), Histogram(1.0, (2, 1)), 3, ((0, 0.5),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_details(Path(folder, DETAILS), details)
    ...     read_details(Path(folder, DETAILS)) == details
    True
    """
    write_json(path, asdict(details))


def read_details(path: Path) -> Details:
    """Read what `write_details` wrote. Raises `DamagedFileError` for anything else."""
    found = read_json(path)
    try:
        histogram = found["histogram"]
        return Details(
            tuple(_tensor(entry) for entry in found["tensors"]),
            None
            if histogram is None
            else Histogram(float(histogram["limit"]), tuple(map(int, histogram["counts"]))),
            int(found["steps"]),
            tuple((int(step), float(sparsity)) for step, sparsity in found["updates"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(path, "It is not what trimgrid writes there.") from error


def _largest(array: NDArray[Any]) -> float:
    """The largest magnitude of the finite weights."""
    magnitudes = np.abs(np.asarray(array, float))
    return float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))


def _tensor(entry: Mapping[str, Any]) -> TensorSummary:
    reason = entry["reason"]
    return TensorSummary(
        str(entry["path"]),
        tuple(map(int, entry["shape"])),
        int(entry["weights"]),
        int(entry["zeros"]),
        None if reason is None else str(reason),
    )
