"""The error of a model at hundreds of sparsities, pruned without training, in one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.allocation.counts import counter, counts_by
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import Sharing, share
from trimgrid.arguments import check_integer, check_sparsity
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.runs.pruned_errors import Pruned
from trimgrid.runs.scan import Scan, ScanPoint
from trimgrid.suggestions import suggestion


def scan_model(
    model: Any,
    measure: ErrorMeasure,
    test: ArrayData | StreamData,
    sparsities: int | Sequence[float],
    allocations: str | Sequence[str] = ("uniform",),
) -> Scan:
    """Return the error of a model pruned to each of the sparsities, without any training.

    See `trimgrid.Study.scan`. `test`: the data to predict; the model stays as it is.

    Raises `InputError` for sparsities and allocations that are none, and a model without prunable
    weights.
    """
    wanted = _sparsities(sparsities)
    names = _allocations(allocations)
    pruned = Pruned(model)
    points = [(name, sparsity) for name in names for sparsity in wanted]
    counts = [
        each for name in names for each in _pruned(pruned.kernels, pruned.paths, name, wanted)
    ]
    original, *found_errors = pruned.errors(measure, test, counts)
    scanned = [ScanPoint(*each, error) for each, error in zip(points, found_errors, strict=True)]
    return Scan(scanned, original, measure.name)


def _sparsities(wanted: int | Sequence[float]) -> list[float]:
    """The sparsities by rising value: so many evenly spread from 0 on, or those given."""
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        count = check_integer("sparsities", wanted, minimum=1)
        return [place / count for place in range(count)]
    listed = wanted.tolist() if isinstance(wanted, np.ndarray) else wanted
    if not isinstance(listed, list | tuple) or not listed:
        raise InputError(
            "sparsities must be the number of points, or a list of fractions. "
            f"Received: sparsities={wanted!r}. Give for example 200, or [0.5, 0.9]."
        )
    return sorted({check_sparsity("sparsities", each) for each in listed})


def _allocations(wanted: str | Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in ALLOCATIONS:
            raise InputError(
                "allocations must be names that are known. "
                f"Received: {name!r}. {suggestion(str(name), ALLOCATIONS)}"
            )
    if not names:
        raise InputError(
            "allocations must be one or more. Received: none. "
            f"Give some of: {', '.join(ALLOCATIONS)}."
        )
    return list(dict.fromkeys(names))


def _pruned(
    kernels: Sequence[NDArray[Any]], paths: Sequence[str], allocation: str, wanted: Sequence[float]
) -> list[list[int]]:
    """How many weights of each tensor go, at each of the sparsities."""
    shapes = [each.shape for each in kernels]
    sizes = np.array([each.size for each in kernels], np.int64)

    def sharing(sparsity: float) -> Sharing:
        return share(Allocation(allocation), paths, shapes, np.array([sparsity]))

    above = counter(kernels, sharing(0.0))
    return [(sizes - counts_by(above, sizes, sharing(each), each)).tolist() for each in wanted]
