"""What the page shows of how sensitive the tensors of a run's model are: a table as a heat map."""

from __future__ import annotations

import math
from typing import Any

from trimgrid.errors import InputError
from trimgrid.report.sensitivity_text import advice, legend
from trimgrid.stored.results import StoredResults

_STEPS = (1.05, 2.0, 10.0, 100.0, 1000.0)
"""Times the original's error: from each of them on a field is darker."""


def sensitivity_view(run: StoredResults) -> dict[str, Any] | None:
    """Return head, rows and words of the table, None where it was not found or can't be read.

    A field is a text and how dark it is, from 0 to 5.
    """
    try:
        found = run.sensitivity
    except InputError:  # damaged: the page shows what there is
        return None
    if found is None:
        return None
    spare = set(found.spare())
    rows = []
    for tensor, weights in found.weights.items():
        errors = found.errors(tensor)
        fields = [(_text(each), _level(each, found.original_error)) for each in errors]
        rows.append({"path": tensor, "weights": weights, "spare": tensor in spare, "cells": fields})
    return {
        "head": [f"{100 * each:g} %" for each in found.sparsities],
        "rows": rows,
        "words": [legend(found), advice(found)],
    }


def _text(error: float) -> str:
    return f"{error:.2e}" if math.isfinite(error) else "-"


def _level(error: float, original: float) -> int:
    if not math.isfinite(error):
        return len(_STEPS)
    if original <= 0:
        return 0 if error <= original else len(_STEPS)
    return sum(error / original > step for step in _STEPS)
