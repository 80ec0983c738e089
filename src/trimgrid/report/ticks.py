"""The numbers at an axis."""

from __future__ import annotations

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_POWERS = 10


def round_numbers(low: float, high: float, at_most: int) -> dict[float, str]:
    """Return round numbers at even steps from `low` to `high`, and how they are written.

    Negative numbers have the minus sign of Unicode.

    >>> round_numbers(0.9, 3.1, 3)
    {1.0: '1', 2.0: '2', 3.0: '3'}
    >>> round_numbers(1.9, 3.1, 3)
    {2.0: '2.0', 2.5: '2.5', 3.0: '3.0'}
    """
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(at_most, steps=[1, 2, 5, 10])
    numbers = [float(each) for each in locator.tick_values(low, high) if low <= each <= high]
    for digits in range(6, 18):
        labels = [f"{number:.{digits}g}" for number in numbers]
        if len(set(labels)) == len(labels):
            break
    if not any("e" in label for label in labels):
        decimals = max((len(label.partition(".")[2]) for label in labels), default=0)
        labels = [f"{number:.{decimals}f}" for number in numbers]
    return {number: _readable(label) for number, label in zip(numbers, labels, strict=True)}


def logarithmic_numbers(low: float, high: float) -> dict[float, str]:
    """Return numbers for a logarithmic axis from `low` to `high`, both above 0.

    An axis over less than a factor of 10 has round numbers at even steps; over more it has powers
    of ten, and where there is only one of those, twice and five times powers of ten as well.

    >>> logarithmic_numbers(0.0002, 0.02)
    {0.001: '10⁻³', 0.01: '10⁻²'}
    >>> logarithmic_numbers(0.0004, 0.0041)
    {0.0005: '5·10⁻⁴', 0.001: '10⁻³', 0.002: '2·10⁻³'}
    """
    if high < 10 * low:
        return round_numbers(low, high, 6)
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    if len(powers) > 1:
        return {10.0**p: _ten_to(p) for p in powers[:: math.ceil(len(powers) / _MOST_POWERS)]}
    around = range(powers.start - 1, powers.stop)
    numbers = {digit * 10.0**p: f"{digit}·{_ten_to(p)}" for p in around for digit in (2, 5)}
    numbers |= {10.0**p: _ten_to(p) for p in powers}
    return {number: numbers[number] for number in sorted(numbers) if low <= number <= high}


def _ten_to(power: int) -> str:
    return "10" + str(power).translate(_SUPERSCRIPTS)


def logarithmic_marks(low: float, high: float) -> list[float]:
    """Return where a logarithmic axis has small marks: all digits times powers of ten.

    There are none over less than a factor of 10, where numbers stand at even steps, and over so
    many powers of ten that the marks would run together.

    >>> [round(mark, 3) for mark in logarithmic_marks(0.055, 0.61)]
    [0.06, 0.07, 0.08, 0.09, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    """
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    if high < 10 * low or len(powers) > _MOST_POWERS:
        return []
    marks = [digit * 10.0**power for power in powers for digit in range(1, 10)]
    return [mark for mark in marks if low <= mark <= high]


def _readable(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")
