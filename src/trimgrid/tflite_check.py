"""Run a `.tflite` file in LiteRT's interpreter and compare it with what Keras predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How far an output of the converted file may be from the Keras prediction: a share of the output's
# range over the samples (largest minus smallest value) plus a share of its largest magnitude.
#
# Measured with int8 weights, dense and 50, 90, 99 % pruned, on the three article models, an MNIST
# network and classifiers with badly scaled features: below 0.03 of the range, 0.05 at worst.
# A file that ignores its input or some of its weights answers a constant at the least, and some
# answer is then off by at least 0.5 of the range. 0.25 lies five times above the one and two times
# below the other. The second share is for a network that was pruned until its output hardly
# moves any more: its range is about 0, and the error was up to 0.008 of its magnitude.
RANGE_TOLERANCE = 0.25
MAGNITUDE_TOLERANCE = 0.02


class WrongFileError(RuntimeError):
    """A converted file that runs but does not answer as the Keras model does."""


@dataclass(frozen=True)
class Agreement:
    """The largest absolute difference from Keras, and the range of the output where it occurs."""

    max_difference: float
    output_range: float


def run_tflite(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a `.tflite` file on samples, one after the other; return the outputs by name.

    `inputs` maps the names in the file's signature to arrays of shape (samples, ...). The outputs
    have the shape (samples, ...) too. Raises `WrongFileError` if the names differ.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    names = set(runner.get_input_details())
    if names != set(inputs):
        raise WrongFileError(
            f"The converted file has the inputs {sorted(names)}, the model {sorted(inputs)}"
        )
    count = len(next(iter(inputs.values())))
    rows = [runner(**{name: x[i : i + 1] for name, x in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def compare(expected: Sequence[NDArray[Any]], actual: Sequence[NDArray[Any]]) -> Agreement:
    """Compare the outputs of a converted file with those that Keras predicted for the same samples.

    A difference is allowed up to `RANGE_TOLERANCE * range + MAGNITUDE_TOLERANCE * magnitude` of
    the output, because int8 weights are not exact. Returns the output that is farthest off.

    Raises `WrongFileError` for a shape that differs, values that are not finite, or a larger
    difference.

    >>> keras, file = np.array([[0.0], [1.0], [4.0]]), np.array([[0.0], [1.0], [3.75]])
    >>> compare([keras], [file])
    Agreement(max_difference=0.25, output_range=4.0)
    >>> compare([keras], [np.zeros((3, 1))])
    Traceback (most recent call last):
    ...
    trimgrid.tflite_check.WrongFileError: The converted file differs from the Keras prediction \
by 4, allowed is 1.08 (output 0, range 4)
    """
    if len(expected) != len(actual):
        raise WrongFileError(
            f"The converted file has {len(actual)} outputs, the model {len(expected)}"
        )
    found = [_compare_one(i, *pair) for i, pair in enumerate(zip(expected, actual, strict=True))]
    return max(found, key=lambda agreement: agreement.max_difference)


def _compare_one(index: int, expected: NDArray[Any], actual: NDArray[Any]) -> Agreement:
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
    # The last term is float32 noise around an output that is 0 everywhere.
    limit = RANGE_TOLERANCE * spread + MAGNITUDE_TOLERANCE * float(np.abs(wanted).max()) + 1e-6
    if difference > limit:
        raise WrongFileError(
            f"The converted file differs from the Keras prediction by {difference:.4g}, "
            f"allowed is {limit:.4g} (output {index}, range {spread:.4g})"
        )
    return Agreement(difference, spread)
