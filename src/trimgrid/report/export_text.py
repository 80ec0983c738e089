"""What an export gave, beside the Keras model it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimgrid.report.latency_text import latency_text
from trimgrid.terminal_text import one_line, printable

if TYPE_CHECKING:
    from trimgrid.export.exported import Exported


def export_text(exported: Exported, error_name: str) -> str:
    """Return a few lines: bytes, the largest difference from the Keras model, both errors.

    Of a file that is stored sparsely also size and time beside the dense file.
    """
    size, error_name = exported.size, printable(error_name)
    quantized = "" if exported.quantize == "none" else f", {exported.quantize}"
    quantized += ", zeros left out" if exported.sparse else ""
    lines = [
        f"{printable(str(exported.path))} ({exported.format}{quantized})",
        f"  {'Size':<16}{size.plain:>12,} bytes, zipped {size.zipped:,}",
        f"  {'Largest change':<16}{exported.max_difference:>12.3g} of outputs that span "
        f"{exported.output_range:.3g}, on {exported.rows:,} test rows",
    ]
    if exported.error is not None:
        lines.append(
            f"  {'Error':<16}{exported.error:>12.6g}, of the Keras model "
            f"{exported.keras_error:.6g} ({error_name})"
        )
    else:
        lines.append(
            f"  {'Error':<16}{'-':>12}  only the study itself knows how to compute it: {error_name}"
        )
    if exported.sparse is False:
        lines += [
            f"  {'Zeros':<16}{'-':>12}  no tensor has so many that leaving them out saves bytes"
        ]
    if exported.shrunk is not None:
        lines += [_shrunk(exported.shrunk)]
    text = "\n".join(lines) + "\n"
    return text if exported.latency is None else f"{text}\n{latency_text(exported.latency)}"


def _shrunk(told: Mapping[str, Any]) -> str:
    units = sum(told["removed"].values())
    if not units:
        why = told["reason"] or "no unit could be left out"
        return f"  {'Shrunk':<16}{'-':>12}  {one_line(why)}"
    before, after = told["total_weights_before"], told["total_weights"]
    left = "1 unit" if units == 1 else f"{units:,} units"
    return f"  {'Shrunk':<16}{after:>12,} weights of {before:,}: without {left}"
