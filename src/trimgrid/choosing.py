"""Which of the attempts to ship: the smallest that is good enough, and those worth a look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypeVar

from trimgrid.errors import InputError, RunError
from trimgrid.results import SIZES_TO_CHOOSE_BY, AttemptInfo
from trimgrid.shrunk_info import SHRUNK_SIZES
from trimgrid.terminal_text import one_line, printable

MAX_INCREASE = 0.05
"""How much greater than the original's the error may be where no limit is given: 5 %."""

_Info = TypeVar("_Info", bound=AttemptInfo)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other point beats, by rising first coordinate.

    Smaller is better in both coordinates. A point is beaten by one that is as good in both and
    better in one. Of equal points the first stays; points with a NaN never do.

    >>> pareto_front([(3.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, float("nan"))])
    [1, 0]
    """
    front: list[int] = []
    measured = (index for index, point in enumerate(points) if not any(map(math.isnan, point)))
    for index in sorted(measured, key=lambda index: (*points[index], index)):
        if not front or points[index][1] < points[front[-1]][1]:
            front.append(index)
    return front


def front(attempts: Sequence[_Info], size: str) -> list[_Info]:
    """Return the attempts that no other beats in both size and error, the smallest first.

    Attempts whose size is not known, or whose error is not known or infinite, are left out.

    Raises `InputError` for an unknown size: see `SIZES_TO_CHOOSE_BY`.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> worse = AttemptInfo("worse", 100, 50, 50, 4000, 1200, None, None, None, 0.03)
    >>> [each.name for each in front([half, worse], "zipped_h5_size")]
    ['half']
    """
    check_size(size)
    points = [
        (_or_nan(getattr(each, size)), each.error if has_error(each) else math.nan)
        for each in attempts
    ]
    return [attempts[place] for place in pareto_front(points)]


def smallest(
    attempts: Sequence[_Info],
    original: AttemptInfo | None,
    *,
    max_error: float | None,
    max_increase: float | None,
    size: str,
) -> _Info:
    """Return the smallest of the attempts whose error is small enough.

    An attempt with a finite error has a model, even if its conversion or one of its repeats failed.

    The error may be at most `max_error`, and at most the original's `e` plus `max_increase * |e|`;
    of both limits the stricter counts, without any it is `MAX_INCREASE`. Of attempts of the same
    size the one with the lower error is taken, then the earlier one.

    Raises `InputError` for limits that are no finite numbers, a negative `max_increase` and an
    unknown size, and `RunError` with the reason if no attempt will do.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> most = AttemptInfo("most", 100, 10, 90, 4000, 400, None, None, None, 0.2)
    >>> limits = {"max_error": 0.1, "max_increase": None}
    >>> smallest([half, most], None, **limits, size="zipped_h5_size").name
    'half'
    """
    check_size(size)
    error = math.nan if original is None else original.error
    limit = error_limit(error, max_error, max_increase)
    if not attempts:
        raise RunError("No attempt will do: none is finished. Resume the run.")
    known = [each for each in attempts if has_error(each)]
    if not known:
        raise RunError(
            f"No attempt will do: of {len(attempts)} that are finished none has a finite error. "
            f"{printable(attempts[0].name)}: {one_line(attempts[0].status)}"
        )
    good = [each for each in known if each.error <= limit]
    if not good:
        least = min(known, key=lambda each: each.error)
        failed = len(attempts) - len(known)
        raise RunError(
            f"No attempt has an error of at most {limit:.6g}. "
            f"The least is {least.error:.6g}, of {least.name!r}"
            + (f"; {failed} failed." if failed else ".")
        )
    measured = [each for each in good if getattr(each, size) is not None]
    if not measured:
        raise RunError(
            f"{len(good)} attempts have an error of at most {limit:.6g}, but of none {size!r} was "
            f"measured. {_remedy(size)}"
        )
    return min(measured, key=lambda each: (getattr(each, size), each.error))


def error_limit(
    original_error: float, max_error: float | None, max_increase: float | None
) -> float:
    """Return the greatest error that is good enough.

    At most `max_error`, and at most the original's error `e` plus `max_increase * |e|`; of both
    limits the stricter counts, without any it is `MAX_INCREASE`.

    Raises `InputError` for limits that are no finite numbers and a negative `max_increase`, and
    `RunError` for a `max_increase` where the original's error is not finite.

    >>> error_limit(2.0, None, None), error_limit(2.0, 5.0, None), error_limit(2.0, 5.0, 0.5)
    (2.1, 5.0, 3.0)
    """
    if max_error is None and max_increase is None:
        max_increase = MAX_INCREASE
    limits = []
    if max_error is not None:
        limits.append(_number("max_error", max_error))
    if max_increase is not None:
        increase = _number("max_increase", max_increase)
        if increase < 0:
            raise InputError(
                "max_increase must be a fraction of the original's error, 0 or more. "
                f"Received: max_increase={max_increase!r}. Give 0.05 for 5 %, or max_error."
            )
        if not math.isfinite(original_error):
            raise RunError(
                "The original's error is not known, so no other can be compared with it. "
                "Give max_error."
            )
        limits.append(original_error + increase * abs(original_error))
    return min(limits)


def has_error(attempt: AttemptInfo) -> bool:
    """Tell whether an attempt has a finite error, and so a model that was evaluated.

    >>> has_error(AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02))
    True
    """
    return math.isfinite(attempt.error)


def default_size(attempts: Sequence[AttemptInfo]) -> str:
    """Return the size to choose by where none is named.

    It is "zipped_tflite_size", or "zipped_keras_size" if none of the attempts has a .tflite.

    >>> default_size([AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)])
    'zipped_keras_size'
    """
    converted = any(each.zipped_tflite_size is not None for each in attempts)
    return "zipped_tflite_size" if converted else "zipped_keras_size"


def check_size(size: str) -> None:
    """Check the name of a size. Raises `InputError` for one that is not in `SIZES_TO_CHOOSE_BY`.

    >>> check_size("zipped_tflite_size")
    """
    if size not in SIZES_TO_CHOOSE_BY:
        raise InputError(
            f"size must be one of the sizes that are measured. Received: size={size!r}. "
            f"Give one of: {', '.join(SIZES_TO_CHOOSE_BY)}."
        )


def _remedy(size: str) -> str:
    if size in SHRUNK_SIZES:
        return "Go on with the run, shrinking its models, or choose by another size."
    return "Choose by another size."


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number that no float holds
        pass
    raise InputError(
        f"{name} must be a finite number. Received: {name}={value!r:.60}. Give for example 0.05."
    )


def _or_nan(number: int | None) -> float:
    return math.nan if number is None else number
