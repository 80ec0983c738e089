"""The error of a model with each tensor pruned alone, without training, in one evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimgrid.arguments import check_sparsity
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError, RunError
from trimgrid.masks import kept_count
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.runs.pruned_errors import Pruned
from trimgrid.sensitivity import Sensitivity, SensitivityPoint


def sensitivity_of(
    model: Any,
    measure: ErrorMeasure,
    test: ArrayData | StreamData,
    sparsities: Sequence[float],
) -> Sensitivity:
    """Return the error with each tensor alone pruned to each of the sparsities.

    See `trimgrid.Study.sensitivity`. `test`: the data to predict; the model stays as it is.

    Raises `InputError` for sparsities that are none and a model without prunable weights, and
    `RunError` for one whose error is not finite.
    """
    wanted = _sparsities(sparsities)
    pruned = Pruned(model)
    sizes = [each.size for each in pruned.kernels]
    counts = []
    for place, size in enumerate(sizes):
        for sparsity in wanted:
            alone = [0] * len(sizes)
            alone[place] = size - kept_count(size, sparsity)
            counts.append(alone)
    original, *errors = pruned.errors(measure, test, counts)
    if not math.isfinite(original):
        raise RunError(
            f"Sensitivity is that of a model with a finite error. Its {measure.name} is {original}."
        )
    points = [
        (path, size, sparsity)
        for path, size in zip(pruned.paths, sizes, strict=True)
        for sparsity in wanted
    ]
    return Sensitivity(
        [SensitivityPoint(*each, error) for each, error in zip(points, errors, strict=True)],
        original,
        measure.name,
    )


def _sparsities(wanted: Sequence[float]) -> list[float]:
    listed = wanted.tolist() if isinstance(wanted, np.ndarray) else wanted
    if not isinstance(listed, list | tuple) or not listed:
        raise InputError(
            "sparsities must be a list of fractions. "
            f"Received: sparsities={wanted!r}. Give for example [0.5, 0.9]."
        )
    found = sorted({check_sparsity("sparsities", each) for each in listed} - {0.0})
    if not found:
        raise InputError(
            "Sensitivity is looked at where something is pruned. "
            f"Received: sparsities={wanted!r}. Give one above 0."
        )
    return found
