"""How the measurements of an attempt read in a table: the same words wherever they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

ZIPPED_SIZES = ("zipped_h5_size", "zipped_keras_size", "zipped_tflite_size")
"""The sizes that tables of attempts show."""

UNITS = {"Bytes": 1, "kB": 1000, "MB": 1_000_000}
"""The units of sizes, in bytes."""

_LARGEST = 9_999_999  # number of a unit: what a column has room for


MOST_TIMES = 11
"""From this factor on a change of the error is told as a factor."""


class Measured(Protocol):
    """What cells tell of: see `trimgrid.results.AttemptInfo`."""

    @property
    def name(self) -> str: ...
    @property
    def total_weights(self) -> int: ...
    @property
    def zero_weights(self) -> int: ...
    @property
    def zipped_h5_size(self) -> int | None: ...
    @property
    def zipped_keras_size(self) -> int | None: ...
    @property
    def zipped_tflite_size(self) -> int | None: ...
    @property
    def error(self) -> float: ...
    @property
    def status(self) -> str: ...
    @property
    def latency_ms(self) -> float | None: ...


def size_label(key: str) -> str:
    """Return the name of a size as people read it.

    >>> size_label("zipped_tflite_size"), size_label("h5_size"), size_label("shrunk_h5_size")
    ('zipped .tflite', '.h5', '.h5, shrunk')
    """
    zipped, kind = "zipped " if key.startswith("zipped_") else "", key.split("_")[-2]
    return f"{zipped}.{kind}" + (", shrunk" if "shrunk_" in key else "")


def size_unit(infos: Iterable[Measured]) -> str:
    """Return the first of `UNITS` in which the largest size has room in its column.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> size_unit([half])
    'Bytes'
    """
    largest = max((getattr(info, name) or 0 for info in infos for name in ZIPPED_SIZES), default=0)
    return next((unit for unit, size in UNITS.items() if largest / size <= _LARGEST), "MB")


def size_cells(info: Measured, unit: str) -> tuple[str, ...]:
    """Return the `ZIPPED_SIZES` in a unit, "-" for what was not measured.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> size_cells(half, "kB")
    ('1', '-', '-')
    """
    return tuple(size_cell(getattr(info, name), unit) for name in ZIPPED_SIZES)


def size_cell(size: int | None, unit: str) -> str:
    """Return a size in a unit, "-" for None.

    >>> size_cell(4000, "kB"), size_cell(None, "kB")
    ('4', '-')
    """
    return "-" if size is None else f"{size / UNITS[unit]:,.0f}"


def zeros_cell(info: Measured) -> str:
    """Return the share of weights that are zero in percent, "-" where no training succeeded.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> zeros_cell(half)
    '50.0 %'
    """
    if info.status != "ok" and math.isnan(info.error):
        return "-"  # those at some moment of a training that failed
    return f"{100 * info.zero_weights / info.total_weights:.1f} %" if info.total_weights else "-"


def error_cell(info: Measured) -> str:
    """Return the error, "failed", or "-" where none was measured.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> error_cell(half)
    '2.000e-02'
    """
    if math.isnan(info.error):
        return "-" if info.status == "ok" else "failed"
    return f"{info.error:.3e}"


def milliseconds(value: float) -> str:
    """Return a time in milliseconds with three significant digits.

    >>> milliseconds(0.0412345), milliseconds(3.14159), milliseconds(1234.5)
    ('0.0412', '3.14', '1,234')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 1e-4 else f"{value:.2e}"


def quantized(how: str) -> str:
    """Return the numbers of a `.tflite` as people call them.

    >>> quantized("none"), quantized("dynamic"), quantized("float16")
    ('float32', 'int8 weights', 'float16')
    """
    return {"none": "float32", "dynamic": "int8 weights"}.get(how, how)


def latency_cell(info: Measured) -> str:
    """Return the latency in milliseconds, "-" where it was not measured.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02, latency_ms=0.5)
    >>> latency_cell(half)
    '0.500'
    """
    return "-" if info.latency_ms is None else milliseconds(info.latency_ms)


def change_cell(info: Measured, original: Measured | None) -> str:
    """Return how the error compares with the original's: percent, or a factor where it is large.

    >>> from trimgrid.results import AttemptInfo
    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> original = AttemptInfo("all", 100, 100, 0, 4000, 3000, None, None, None, 0.01)
    >>> change_cell(half, original)
    '+100.0 %'
    """
    if original is None or info.name == original.name or not math.isfinite(info.error):
        return ""
    if not original.error > 0:
        return ""
    ratio = info.error / original.error
    if ratio < MOST_TIMES:
        return f"{100 * (ratio - 1):+.1f} %"
    return f"x{ratio:.0f}" if ratio < 1e6 else f"x{ratio:.0e}"
