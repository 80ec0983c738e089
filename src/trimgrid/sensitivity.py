"""How much the error of a model grows when one tensor alone is pruned: which ones to spare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

from trimgrid.arguments import check_sparsity
from trimgrid.choosing import error_limit
from trimgrid.csv_text import csv_text
from trimgrid.errors import InputError
from trimgrid.optional import optional_modules

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Where the errors are looked at unless other sparsities are asked for."""
_HALVINGS = 60


class SensitivityPoint(NamedTuple):
    """The error with one tensor pruned to a sparsity, all others as they are."""

    tensor: str
    weights: int
    sparsity: float
    error: float


class Sensitivity(Sequence[SensitivityPoint]):
    """The points of all tensors, in the order of the model, and by rising sparsity.

    `original_error`: that of the model as it is; `error_name` says what the errors are. Each tensor
    has a point at the same sparsities.

    >>> points = [
    ...     SensitivityPoint("in/kernel", 300, 0.5, 1.0),
    ...     SensitivityPoint("in/kernel", 300, 0.75, 2.0),
    ...     SensitivityPoint("out/kernel", 100, 0.5, 3.0),
    ...     SensitivityPoint("out/kernel", 100, 0.75, 9.0),
    ... ]
    >>> found = Sensitivity(points, original_error=1.0, error_name="loss: mse")
    >>> found.largest(max_increase=0.5)
    {'in/kernel': 0.625, 'out/kernel': 0.125}
    >>> found.spare()
    ['out/kernel']
    """

    def __init__(
        self, points: Sequence[SensitivityPoint], original_error: float, error_name: str
    ) -> None:
        order = list(dict.fromkeys(point.tensor for point in points))
        self._points = sorted(points, key=lambda p: (order.index(p.tensor), p.sparsity))
        self.original_error = original_error
        self.error_name = error_name

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> SensitivityPoint: ...
    @overload
    def __getitem__(self, index: slice) -> list[SensitivityPoint]: ...
    def __getitem__(self, index: int | slice) -> SensitivityPoint | list[SensitivityPoint]:
        """The point at a place, or a list of some of them."""
        return self._points[index]

    def __iter__(self) -> Iterator[SensitivityPoint]:
        """The points in their order."""
        return iter(self._points)

    def __repr__(self) -> str:
        """The number of tensors, and those to spare."""
        spare = ", ".join(self.spare()) or "none"
        return f"<Sensitivity of {len(self.weights)} tensors; to spare: {spare}>"

    @property
    def weights(self) -> dict[str, int]:
        """How many weights each tensor has, by its path, in the order of the model."""
        return {point.tensor: point.weights for point in self._points}

    @property
    def sparsities(self) -> list[float]:
        """The sparsities that were looked at."""
        return sorted({point.sparsity for point in self._points})

    def errors(self, tensor: str) -> list[float]:
        """Return the errors of a tensor, by rising sparsity."""
        return [point.error for point in self._points if point.tensor == tensor]

    def largest(
        self, *, max_error: float | None = None, max_increase: float | None = None
    ) -> dict[str, float]:
        """Return how far each tensor can be pruned alone with an error that is small enough.

        The limit is that of `Results.best`: at most `max_error`, and at most the fraction
        `max_increase` over the error of the model as it is, 0.05 without any limit. Between two
        points the error is taken to grow in a straight line, and never to fall.

        Raises `InputError` for limits that are no finite numbers, and `RunError` for a
        `max_increase` where the original's error is not finite.
        """
        limit = error_limit(self.original_error, max_error, max_increase)
        return self._reaches(limit)

    def shares(self, sparsity: float) -> dict[str, float]:
        """Return the sparsity of each tensor with which the model has `sparsity` in all.

        Each tensor is pruned so far that its own error, pruned alone, is the same: the smallest one
        at which enough weights go. That is what loses least if what one tensor loses does not
        depend on the others, which is an approximation: they are trained together. Where more goes
        at that error, because errors stay the same for a while or jump, all tensors stop at the
        same share of that last way; and beyond the largest sparsity that was looked at all go on at
        the same pace.

        Raises `InputError` for a sparsity outside [0, 1).
        """
        wanted = check_sparsity("sparsity", sparsity) * sum(self.weights.values())
        levels = [point.error for point in self._points if math.isfinite(point.error)]
        low, high = -math.inf, max([*levels, self.original_error])
        if self._pruned(high) >= wanted:
            low, high = self._between(wanted, high)
            begin, end = self._reaches(low), self._reaches(high)
        else:  # errors beyond all numbers, or more than was looked at
            begin = self._reaches(high)
            end = dict.fromkeys(self.weights, max(self.sparsities))
            if self._sum(end) < wanted:
                begin, end = end, dict.fromkeys(self.weights, 1.0)
        way = self._sum(end) - self._sum(begin)
        part = (wanted - self._sum(begin)) / way if way > 0 else 1.0
        return {each: begin[each] + part * (end[each] - begin[each]) for each in self.weights}

    def _between(self, wanted: float, high: float) -> tuple[float, float]:
        """Two levels next to each other: at the first too few weights go, at the second enough."""
        if self._pruned(self.original_error) >= wanted:
            return -math.inf, self.original_error
        low = self.original_error
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._pruned(middle) >= wanted else (middle, high)
        return low, high

    def spare(self, sparsity: float = 0.5) -> list[str]:
        """Return the tensors to spare: those whose share of a sparsity is less than half of it.

        See `shares`. They give fewest weights for what they cost.

        Raises `InputError` for a sparsity outside [0, 1).
        """
        found = self.shares(sparsity)
        return [tensor for tensor, share in found.items() if share < sparsity / 2]

    def _pruned(self, level: float) -> float:
        """How many weights go where each tensor alone has an error of at most `level`."""
        return self._sum(self._reaches(level))

    def _sum(self, shares: Mapping[str, float]) -> float:
        return sum(self.weights[each] * share for each, share in shares.items())

    def _reaches(self, level: float) -> dict[str, float]:
        return {each: self._reached(each, level) for each in self.weights}

    def _reached(self, tensor: str, level: float) -> float:
        """The largest sparsity up to which the tensor's error is at most `level`."""
        if not self.original_error <= level:
            return 0.0
        points = [(0.0, self.original_error)]
        points += zip(self.sparsities, self.errors(tensor), strict=True)
        for (before, lower), (after, upper) in pairwise(points):
            if not upper <= level:
                if not math.isfinite(upper):
                    return before
                return before + (after - before) * max(0.0, level - lower) / (upper - lower)
        return points[-1][0]

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a table as CSV, and write it to `path` if one is given.

        Its columns are tensor, weights, sparsity and error.

        Raises `OSError` if the file can't be written; what was there stays.
        """
        return csv_text(SensitivityPoint._fields, self._points, path)

    def to_pandas(self) -> Any:
        """Return the table of `to_csv` as a `pandas.DataFrame`.

        Raises `InputError` if pandas is not installed.
        """
        (pandas,) = optional_modules("A table for pandas", "pandas", "pandas", "pandas")
        return pandas.DataFrame(self._points, columns=SensitivityPoint._fields)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as types that JSON has; an error that is not finite becomes None.

        >>> found = Sensitivity([SensitivityPoint("a", 2, 0.5, math.inf)], 0.1, "loss: mse")
        >>> found.to_dict()["points"]
        [{'tensor': 'a', 'weights': 2, 'sparsity': 0.5, 'error': None}]
        """
        points = [
            point._asdict() | {"error": point.error if math.isfinite(point.error) else None}
            for point in self._points
        ]
        return {
            "error_name": self.error_name,
            "original_error": self.original_error,
            "spare": self.spare(),
            "points": points,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave; an error that was not finite is infinite.

        Raises `InputError` for anything else.

        >>> found = Sensitivity([SensitivityPoint("a", 2, 0.5, 0.2)], 0.1, "loss: mse")
        >>> list(Sensitivity.from_dict(found.to_dict())) == list(found)
        True
        """
        try:
            points = [
                SensitivityPoint(
                    str(each["tensor"]),
                    int(each["weights"]),
                    float(each["sparsity"]),
                    math.inf if each["error"] is None else float(each["error"]),
                )
                for each in values["points"]
            ]
            return cls(points, float(values["original_error"]), str(values["error_name"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "A sensitivity must be what to_dict gave. "
                f"Received: {values!r:.80}, which fails with {type(error).__name__}. "
                "Find it anew."
            ) from error
