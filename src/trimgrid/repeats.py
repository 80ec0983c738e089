"""What several trainings of an attempt come to: the median of their errors, and one real model."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from trimgrid.errors import InputError


def summarize(errors: Sequence[float]) -> tuple[float, int]:
    """Return the median of the finite errors of an attempt's repeats, and the index of one repeat.

    Sizes, counts and predictions must belong to one real model: that of the repeat whose error is
    nearest to the median. For an even number of finite errors the median lies in the middle of two;
    the repeat is then the one with the lower of them. Of equal errors the first counts. If no error
    is finite, the median is NaN and the first repeat stands for the attempt.

    Raises `InputError` for no errors.

    >>> summarize([0.4, 0.1, float("nan"), 0.2])
    (0.2, 3)
    >>> summarize([0.4, 0.1])
    (0.25, 1)
    """
    if not errors:
        raise InputError(
            "There must be an error to summarize. Received: errors=[]. Give one or more."
        )
    ranked = sorted((float(error), i) for i, error in enumerate(errors) if math.isfinite(error))
    if not ranked:
        return math.nan, 0
    middle = ranked[(len(ranked) - 1) // 2][0]
    index = next(i for error, i in ranked if error == middle)
    return statistics.median(error for error, _ in ranked), index
