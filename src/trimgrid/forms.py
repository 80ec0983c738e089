"""The forms in which an attempt can be shipped, side by side: dense, sparse, shrunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trimgrid.measured_values import finite_or_none
from trimgrid.sizes import FileSize

STORAGES = ("dense", "sparse", "shrunk", "shrunk, sparse")
"""Every weight, zeros left out of the file, idle units left out of the model, and both."""


@dataclass(frozen=True)
class TFLiteForm:
    """A `.tflite` file of a form: its bytes, and what it was seen to do.

    `error` is its own, in LiteRT on the test data in the run directory, and `milliseconds` the
    median time of one inference on one thread; None where they were not measured.
    """

    size: FileSize
    error: float | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class Form:
    """What is known of an attempt in one of its forms.

    `storage` is one of `STORAGES`. `total_weights` counts the weights of its Keras model, of which
    the sizes are bytes of the zipped files and `error` is that on the test data. A sparse form is
    a `.tflite` only. `tflite` has its files by how their weights are stored, "dynamic" for int8
    weights, "none" for float32. `reason` says why something of it is not there; None where there is
    nothing to say.

    >>> Form("dense", 100, 4000, 4100, 0.02, {"none": TFLiteForm(FileSize(9, 7))}).known
    True
    """

    storage: str
    total_weights: int | None = None
    zipped_h5_size: int | None = None
    zipped_keras_size: int | None = None
    error: float | None = None
    tflite: Mapping[str, TFLiteForm] = field(default_factory=dict)
    reason: str | None = None

    @property
    def known(self) -> bool:
        """Whether anything was measured of it."""
        return bool(self.tflite) or self.zipped_keras_size is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the same as types that JSON has; an error that is not finite becomes None.

        >>> form = Form("dense", tflite={"none": TFLiteForm(FileSize(9, 7), 0.02)})
        >>> form.to_dict()["tflite"]["none"]
        {'size': {'plain': 9, 'zipped': 7}, 'error': 0.02, 'milliseconds': None}
        """
        files = {
            quantize: {**asdict(file), "error": _finite(file.error)}
            for quantize, file in self.tflite.items()
        }
        return {**asdict(self), "error": _finite(self.error), "tflite": files}


def quantizations(forms: Sequence[Form]) -> list[str]:
    """Return how the weights of the forms' `.tflite` files are stored, int8 weights first.

    >>> quantizations([Form("sparse", tflite={"none": TFLiteForm(FileSize(9, 7))}), Form("dense")])
    ['none']
    """
    found = dict.fromkeys(quantize for form in forms for quantize in form.tflite)
    return sorted(found, key=lambda each: each != "dynamic")


def _finite(error: float | None) -> float | None:
    return None if error is None else finite_or_none(error)
