"""What an export gave: a file that was run, and how it compares with the Keras model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimgrid.latency import Latency
from trimgrid.measured_values import finite_or_none
from trimgrid.sizes import FileSize


@dataclass(frozen=True)
class Exported:
    """A file that was exported, run and compared.

    `size` is in bytes. `max_difference` is the largest absolute difference from the Keras model's
    predictions over the `rows` on which both were run, and `output_range` the largest minus the
    smallest value of that output: what the difference is to be seen against. `error` is the file's
    error on these rows and `keras_error` the Keras model's, None where there is no test data.
    `sparse` tells whether zeros were left out of the file, which is None where nobody asked for it
    and False where that saves no bytes; `latency` has size and time of the file with them and
    without, and `dense_error` is the error of the file with them. `shrunk` is what
    `Shrunk.to_dict` gives, None where nobody asked for it.
    """

    path: Path
    format: str
    quantize: str
    size: FileSize
    max_difference: float
    output_range: float
    rows: int
    error: float | None
    keras_error: float | None
    sparse: bool | None = None
    latency: Latency | None = None
    shrunk: dict[str, Any] | None = None
    dense_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the same as values that JSON has: the path as text, None for an error of NaN.

        >>> Exported(
        ...     Path("a.h5"), "h5", "none", FileSize(9, 7), 0.0, 1.0, 3, float("nan"), None
        ... ).to_dict()["error"] is None
        True
        """
        names = ("error", "keras_error", "dense_error")
        errors = {name: _told(getattr(self, name)) for name in names}
        latency = None if self.latency is None else self.latency.to_dict()
        return {**asdict(self), **errors, "path": str(self.path), "latency": latency}


def _told(error: float | None) -> float | None:
    return None if error is None else finite_or_none(error)
