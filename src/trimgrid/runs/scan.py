"""What a scan found: the error of a model pruned to many sparsities without any training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from trimgrid.choosing import error_limit
from trimgrid.csv_text import csv_text
from trimgrid.errors import InputError, RunError
from trimgrid.optional import optional_modules


class ScanPoint(NamedTuple):
    """The error at one sparsity, pruned with one allocation; NaN where there is none."""

    allocation: str
    sparsity: float
    error: float


class Scan(Sequence[ScanPoint]):
    """The points of a scan, by allocation in the order asked for, and by rising sparsity.

    `original_error`: that of the model as it is. `error_name` says what the errors are.

    >>> points = [ScanPoint("uniform", 0.5, 0.11), ScanPoint("uniform", 0.25, 0.1)]
    >>> scan = Scan(points, original_error=0.1, error_name="loss: mse")
    >>> scan[0].sparsity, scan.largest(max_increase=0.2).sparsity, scan.largest().sparsity
    (0.25, 0.5, 0.25)
    """

    def __init__(self, points: Sequence[ScanPoint], original_error: float, error_name: str) -> None:
        order = list(dict.fromkeys(point.allocation for point in points))
        self._points = sorted(points, key=lambda p: (order.index(p.allocation), p.sparsity))
        self.original_error = original_error
        self.error_name = error_name

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> ScanPoint: ...
    @overload
    def __getitem__(self, index: slice) -> list[ScanPoint]: ...
    def __getitem__(self, index: int | slice) -> ScanPoint | list[ScanPoint]:
        """The point at a place, or a list of some of them."""
        return self._points[index]

    def __iter__(self) -> Iterator[ScanPoint]:
        """The points in their order."""
        return iter(self._points)

    def __repr__(self) -> str:
        """The number of points and the allocations."""
        return f"<Scan of {len(self)} points: {', '.join(self.allocations)}>"

    @property
    def allocations(self) -> list[str]:
        """The names of the allocations, in their order."""
        return list(dict.fromkeys(point.allocation for point in self._points))

    def largest(
        self,
        max_error: float | None = None,
        max_increase: float | None = None,
        allocation: str | None = None,
    ) -> ScanPoint:
        """Return the point of the largest sparsity whose error is small enough.

        Its error is at most `max_error`, and at most that of the model as it is plus the fraction
        `max_increase` of it; without any limit `max_increase` is 0.05. Of points of one sparsity
        the one with the lower error is taken. `allocation`: the one to look at, None for all.

        Raises `InputError` for limits that are no finite numbers and an allocation that was not
        scanned, and `RunError` if no error is small enough.
        """
        if allocation is not None and allocation not in self.allocations:
            raise InputError(
                f"A scan knows the allocations that it was made with: {', '.join(self.allocations)}"
                f". Received: allocation={allocation!r}. Give one of them, or scan it."
            )
        limit = error_limit(self.original_error, max_error, max_increase)
        points = [each for each in self._points if allocation in (None, each.allocation)]
        good = [each for each in points if each.error <= limit]
        if not good:
            least = min((p.error for p in points if not math.isnan(p.error)), default=math.nan)
            raise RunError(
                f"No sparsity has an error of at most {limit:.6g}. The least is {least:.6g}."
            )
        return max(good, key=lambda each: (each.sparsity, -each.error))

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a table as CSV, and write it to `path` if one is given.

        Its columns are allocation, sparsity and error.

        Raises `OSError` if the file can't be written; what was there stays.
        """
        return csv_text(ScanPoint._fields, self._points, path)

    def to_pandas(self) -> Any:
        """Return the table of `to_csv` as a `pandas.DataFrame`.

        Raises `InputError` if pandas is not installed.
        """
        (pandas,) = optional_modules("A table for pandas", "pandas", "pandas", "pandas")
        return pandas.DataFrame(self._points, columns=ScanPoint._fields)
