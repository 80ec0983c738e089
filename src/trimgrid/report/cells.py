"""An attempt's figures as the tables show them."""

from __future__ import annotations

import math

from trimgrid.results import AttemptInfo


def zeros_text(info: AttemptInfo) -> str:
    """Return the share of zeros, "-" where no training came to its end.

    >>> zeros_text(AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02))
    '50.0 %'
    """
    if info.status != "ok" and math.isnan(info.error):
        return "-"  # those at some moment of a training that failed
    return f"{100 * info.zero_weights / info.total_weights:.1f} %" if info.total_weights else "-"


def error_text(info: AttemptInfo) -> str:
    """Return the error; "-" where it was not measured, "failed" where it can't be.

    >>> error_text(AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02))
    '2.000e-02'
    """
    if math.isnan(info.error):
        return "-" if info.status == "ok" else "failed"
    return f"{info.error:.3e}"


def change_text(info: AttemptInfo, original: AttemptInfo | None) -> str:
    """Return how much greater the error is than the original's; "" where that says nothing.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> original = AttemptInfo("original", 100, 100, 0, 4000, 3000, None, None, None, 0.016)
    >>> change_text(half, original), change_text(half, None)
    ('+25.0 %', '')
    """
    if original is None or info.name == original.name or not math.isfinite(info.error):
        return ""
    if not original.error > 0:
        return ""
    ratio = info.error / original.error
    if ratio < 11:
        return f"{100 * (ratio - 1):+.1f} %"
    return f"x{ratio:.0f}" if ratio < 1e6 else f"x{ratio:.0e}"
