"""Numbers as the page writes them, and as few digits of them as a chart needs."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trimgrid.cells import MOST_TIMES

_DIGITS = 5  # significant ones: finer than a pixel of a chart


def error_text(error: float) -> str:
    """Return an error with 4 significant digits.

    >>> error_text(0.000347239), error_text(0.02222), error_text(1.5), error_text(float("nan"))
    ('3.472e-4', '0.02222', '1.5', '-')
    """
    if not math.isfinite(error):
        return "-"
    if error == 0 or 1e-3 <= abs(error) < 9999.5:
        return f"{error:.4g}"
    digits, exponent = f"{error:.3e}".split("e")
    return f"{digits}e{int(exponent)}"


def change_words(error: float, original: float) -> str:
    """Return how an error compares with the original's, as part of a sentence.

    >>> change_words(0.022, 0.02), change_words(0.02, 0.02), change_words(0.019, 0.02)
    ('error 10.0 % higher', 'the same error', 'error 5.0 % lower')
    >>> change_words(0.4, 0.02), change_words(0.1, 0.0)
    ("20 times the original's error", 'error 0.1, the original has 0')
    """
    if not math.isfinite(error):
        return "no error"
    if not math.isfinite(original):
        return f"error {error_text(error)}"
    if error == original:
        return "the same error"
    if not original > 0:
        return f"error {error_text(error)}, the original has {error_text(original)}"
    ratio = error / original
    if ratio >= MOST_TIMES:
        return f"{ratio:,.0f} times the original's error"
    percent = 100 * (ratio - 1)
    if f"{abs(percent):.1f}" == "0.0":
        return "the same error to 0.1 %"
    return f"error {abs(percent):.1f} % {'higher' if percent > 0 else 'lower'}"


def smaller_words(size: int, original: int) -> str:
    """Return how a size compares with the original's.

    >>> smaller_words(1000, 3100), smaller_words(1100, 1000), smaller_words(1000, 1000)
    ('3.10x smaller', '1.10x larger', 'as large')
    """
    if size == original:
        return "as large"
    larger, less = max(size, original), min(size, original)
    return f"{larger / max(less, 1):.2f}x {'smaller' if size < original else 'larger'}"


def short_numbers(values: Iterable[float]) -> list[float | int | None]:
    """Return numbers with 5 significant digits, ready for JSON; None for what is not finite.

    >>> short_numbers([0.123456789, 3.0, float("nan")])
    [0.12346, 3, None]
    """
    return [_short(float(value)) for value in values]


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short
