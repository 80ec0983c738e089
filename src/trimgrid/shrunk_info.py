"""What became of a model without its idle units: its weights, its files, its error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any, Self

from trimgrid.measured_values import checked_value, finite_or_none, nan_if_none

SHRUNK_SIZES = (
    "shrunk_h5_size",
    "zipped_shrunk_h5_size",
    "shrunk_keras_size",
    "zipped_shrunk_keras_size",
    "shrunk_tflite_size",
    "zipped_shrunk_tflite_size",
)
"""What `export --shrink` writes may be measured as, in bytes, by the readable names."""

NOTHING_LEFT = "No unit could be left out."
"""The reason of a model without idle units that can leave."""

_FILES = tuple(name.replace("shrunk_", "") for name in SHRUNK_SIZES)


@dataclass(frozen=True, kw_only=True)
class ShrunkInfo:
    """The measurements of a model that `trimgrid.shrink_model` made of an attempt's.

    `removed` and `left` are those of `trimgrid.Shrunk`: how many units left which layer, and why
    idle ones stay. Weights are counts. Sizes are bytes of its files, as those of `AttemptInfo`, and
    `error` is what its own predictions on the test data have; None and NaN where no unit left, so
    that there is no other model. `reason` says why none left, or what could not be measured; None
    where all is there.

    >>> info = ShrunkInfo(total_weights=9, nonzero_weights=9, removed={"hidden": 1}, error=0.02)
    >>> info.units, info.zipped_tflite_size
    (1, None)
    """

    total_weights: int
    nonzero_weights: int
    removed: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    error: float = math.nan
    h5_size: int | None = None
    zipped_h5_size: int | None = None
    keras_size: int | None = None
    zipped_keras_size: int | None = None
    tflite_size: int | None = None
    zipped_tflite_size: int | None = None
    reason: str | None = None

    @property
    def units(self) -> int:
        """The number of units and filters that left."""
        return sum(self.removed.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the same as types that JSON has; an error that is not finite becomes None."""
        told = asdict(self)
        told |= {"removed": dict(self.removed), "left": dict(self.left)}
        return {**told, "error": finite_or_none(self.error)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave. Other keys are not read.

        Raises `InputError` for a key that is missing or has a value of another type.

        >>> info = ShrunkInfo(total_weights=9, nonzero_weights=9, removed={"hidden": 1}, error=0.02)
        >>> ShrunkInfo.from_dict(info.to_dict()) == info
        True
        """
        removed = checked_value(values, "removed", dict)
        left = checked_value(values, "left", dict)
        return cls(
            total_weights=checked_value(values, "total_weights", int),
            nonzero_weights=checked_value(values, "nonzero_weights", int),
            removed={str(name): checked_value(removed, name, int) for name in removed},
            left={str(name): checked_value(left, name, str) for name in left},
            error=nan_if_none(checked_value(values, "error", float, int, NoneType)),
            reason=checked_value(values, "reason", str, NoneType),
            **{key: checked_value(values, key, int, NoneType) for key in _FILES},
        )


class ShrunkSizes:
    """The sizes of what `export --shrink` writes of an attempt, by the readable names.

    That is the model without its idle units, or the whole one where no unit could be left out.
    None where it was not measured.
    """

    shrunk: ShrunkInfo | None

    @property
    def shrunk_h5_size(self) -> int | None:
        """Bytes of the .h5 file without idle units."""
        return self._shrunk_size("h5_size")

    @property
    def zipped_shrunk_h5_size(self) -> int | None:
        """Bytes of the .h5 file without idle units, zipped."""
        return self._shrunk_size("zipped_h5_size")

    @property
    def shrunk_keras_size(self) -> int | None:
        """Bytes of the .keras file without idle units."""
        return self._shrunk_size("keras_size")

    @property
    def zipped_shrunk_keras_size(self) -> int | None:
        """Bytes of the .keras file without idle units, zipped."""
        return self._shrunk_size("zipped_keras_size")

    @property
    def shrunk_tflite_size(self) -> int | None:
        """Bytes of the .tflite file without idle units."""
        return self._shrunk_size("tflite_size")

    @property
    def zipped_shrunk_tflite_size(self) -> int | None:
        """Bytes of the .tflite file without idle units, zipped."""
        return self._shrunk_size("zipped_tflite_size")

    def _shrunk_size(self, key: str) -> int | None:
        if self.shrunk is None:
            return None
        size: int | None = getattr(self.shrunk if self.shrunk.units else self, key)
        return size
