"""Does an exported file answer as the Keras model does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """How far an output of an exported file may be from the Keras prediction.

    `range` is a share of the output's range over the samples (largest minus smallest value),
    `magnitude` a share of its largest magnitude; both are added. The second is for a network that
    was pruned until its output hardly moves any more: its range is about 0, but rounding goes by
    the magnitude.
    """

    range: float
    magnitude: float


# What a file may be off, by how it was quantized. A file that ignores its input or some of its
# weights answers a constant at the least, and some answer is then off by at least 0.5 of the range.
#
# Measured on the article's models, classifiers with badly scaled features, and a dozen of small
# networks with other layers, dense and 50, 90, 99 % pruned: float32 and float16 files below 0.003
# of the range, also of a model that Keras runs in half precision; int8 weights below 0.03, 0.1 at
# worst, and up to 0.008 of the magnitude; integer activations below 0.2, but 0.46 for an attention
# layer; int4 weights below 0.15, 0.43 at worst, and up to 0.06 of the magnitude. So the last two
# may be as far off as a constant is, which is looked for by itself there (`_CONSTANT`).
TOLERANCES = {
    "none": Tolerance(0.05, 0.01),
    "float16": Tolerance(0.05, 0.01),
    "dynamic": Tolerance(0.25, 0.02),
    "int8": Tolerance(0.5, 0.05),
    "int4": Tolerance(0.5, 0.2),
}
# What two forms of the same numbers may differ by: a file that is stored sparsely and the same file
# with its zeros, a model without its idle units and the whole one. Correct files of dense,
# convolutional and recurrent networks, 50 to 95 % pruned, were below 1e-5 of the range; wrong ones
# above 0.09 of it, or NaN.
_SAME = Tolerance(0.001, 0.001)
_SAME_IN_HALF = Tolerance(0.02, 0.02)  # bfloat16 numbers are 0.0078 of their size apart
# An output is constant if its range is below this share of the range that Keras' has.
_CONSTANT = 0.01
# Float32 noise around an output that is 0 everywhere.
_NOISE = 1e-6


class WrongFileError(RuntimeError):
    """A converted file that runs but does not answer as the Keras model does."""


@dataclass(frozen=True)
class Agreement:
    """The largest absolute difference from Keras, and the range of the output where it occurs."""

    max_difference: float
    output_range: float


def compare(
    expected: Sequence[NDArray[Any]],
    actual: Sequence[NDArray[Any]],
    tolerance: Tolerance = TOLERANCES["dynamic"],
) -> Agreement:
    """Compare the outputs of a converted file with those that Keras predicted for the same samples.

    A difference is allowed up to `tolerance.range * range + tolerance.magnitude * magnitude` of
    the output; the default is that of int8 weights. Returns the output that is farthest off.

    Raises `WrongFileError` for a shape that differs, values that are not finite, a larger
    difference, or a constant answer where Keras' is not.

    >>> keras, file = np.array([[0.0], [1.0], [4.0]]), np.array([[0.0], [1.0], [3.75]])
    >>> compare([keras], [file])
    Agreement(max_difference=0.25, output_range=4.0)
    >>> compare([keras], [np.zeros((3, 1))])
    Traceback (most recent call last):
    ...
    trimgrid.export.agreement.WrongFileError: The converted file differs from the Keras prediction \
by 4, allowed is 1.08 (output 0, range 4)
    """
    if len(expected) != len(actual):
        raise WrongFileError(
            f"The converted file has {len(actual)} outputs, the model {len(expected)}"
        )
    found = [
        _compare_one(i, *pair, tolerance)
        for i, pair in enumerate(zip(expected, actual, strict=True))
    ]
    return max(found, key=lambda agreement: agreement.max_difference)


def compare_storage(dense: Sequence[NDArray[Any]], sparse: Sequence[NDArray[Any]]) -> None:
    """Compare the outputs of the same `.tflite` file stored densely and sparsely.

    They have the same weights, so they may differ by rounding only: by `_SAME`. Sparse weights
    are stored in blocks of four inputs, and those of dense and recurrent layers with fewer inputs
    come out as other numbers or NaN, and so do some in float16.

    Raises `WrongFileError` as `compare` does.

    >>> compare_storage([np.array([[1.0], [2.0]])], [np.array([[1.0], [2.0001]])])
    >>> compare_storage([np.array([[1.0], [2.0]])], [np.array([[1.0], [np.nan]])])
    Traceback (most recent call last):
    ...
    trimgrid.export.agreement.WrongFileError: LiteRT answers wrongly where this model's zeros are \
left out, as it does for layers with fewer than four inputs and for some float16 files; keep the \
zeros and zip the file: the converted file's output 0 holds NaN or infinity (1 of 2 values)
    """
    says = (
        "LiteRT answers wrongly where this model's zeros are left out, as it does for layers with "
        "fewer than four inputs and for some float16 files; keep the zeros and zip the file"
    )
    words = {"the Keras prediction": "the same file with its zeros"}
    _compare_same(dense, sparse, says, words, _SAME)


def compare_shrunk(
    whole: Sequence[NDArray[Any]], shrunk: Sequence[NDArray[Any]], half: bool = False
) -> None:
    """Compare the outputs of a model and of the same without its idle units: the same but rounding.

    `half`: whether it computes in half precision, where sums of fewer numbers are rounded by more.

    Raises `WrongFileError` as `compare` does.

    >>> compare_shrunk([np.array([[1.0], [2.0]])], [np.array([[1.0], [2.0001]])])
    """
    says = "The model answers otherwise without its idle units"
    words = {"the converted file": "the shrunk model", "the Keras prediction": "the whole one"}
    _compare_same(whole, shrunk, says, words, _SAME_IN_HALF if half else _SAME)


def _compare_same(
    expected: Sequence[NDArray[Any]],
    found: Sequence[NDArray[Any]],
    says: str,
    words: Mapping[str, str],
    tolerance: Tolerance,
) -> None:
    try:
        compare(expected, found, tolerance)
    except WrongFileError as wrong:
        reason = str(wrong).replace("The converted file", "the converted file", 1)
        for before, after in words.items():
            reason = reason.replace(before, after)
        raise WrongFileError(f"{says}: {reason}") from wrong


def _compare_one(
    index: int, expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance
) -> Agreement:
    if expected.shape != actual.shape:
        raise WrongFileError(
            f"The converted file's output {index} has the shape {actual.shape} for all samples, "
            f"the Keras prediction {expected.shape}"
        )
    wanted, got = expected.astype(np.float64), actual.astype(np.float64)
    for name, values in (("Keras model", wanted), ("converted file", got)):
        if not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            raise WrongFileError(
                f"The {name}'s output {index} holds NaN or infinity ({bad} of {values.size} values)"
            )
    difference = float(np.abs(got - wanted).max())
    spread = float(np.ptp(wanted))
    magnitude = float(np.abs(wanted).max())
    limit = tolerance.range * spread + tolerance.magnitude * magnitude + _NOISE
    if difference > limit:
        raise WrongFileError(
            f"The converted file differs from the Keras prediction by {difference:.4g}, "
            f"allowed is {limit:.4g} (output {index}, range {spread:.4g})"
        )
    # A lower tolerance of the range has found it already: a constant is off by half of it.
    loose = tolerance.range >= 0.5 and difference > tolerance.magnitude * magnitude + _NOISE
    if loose and np.ptp(got) < _CONSTANT * spread:
        raise WrongFileError(
            f"The converted file answers {got.flat[0]:.4g} to everything, the Keras model does not "
            f"(output {index}, range {spread:.4g})"
        )
    return Agreement(difference, spread)
