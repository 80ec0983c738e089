"""Keras' own int8 and int4 weights, in a `.keras` file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from trimgrid.errors import RunError, first_line
from trimgrid.export.files import save_keras
from trimgrid.legacy.telling import is_legacy
from trimgrid.prunable import prunable_variables
from trimgrid.without_tensorflow import serialize_without_tensorflow

# The share of a model's kernels that may stay in floating point. With more the file hardly gets
# smaller, or larger by the scales that are added.
_TOO_MUCH = 0.5


def write_quantized_keras(model: Any, path: Path, quantize: str) -> None:
    """Quantize the model in place by `keras.Model.quantize` and write it as a `.keras` file.

    `model` must be as it was loaded, never compiled.

    Raises `RunError` if Keras can't, or would leave half of the weights in kernels or more as they
    are: it quantizes dense layers and embeddings, but no convolutions and recurrent layers.
    """
    if is_legacy(model):
        raise RunError(
            "Keras 2 has no quantized layers. Export to .tflite instead, or load the model into "
            "Keras 3."
        )
    before = _kernel_weights(model)
    try:
        with warnings.catch_warnings():
            # One for each layer without weights, and for those that the rule below is about.
            warnings.filterwarnings("ignore", message=".*does not have a `quantize` method")
            model.quantize(quantize)
    except (ValueError, NotImplementedError) as error:
        raise RunError(f"Keras can't quantize this model: {first_line(error)}") from error
    after = _kernel_weights(model)
    if after >= _TOO_MUCH * before:
        raise RunError(
            f"Keras' {quantize} leaves {after:,} of {before:,} weights in kernels as they are: it "
            "quantizes dense layers and embeddings only. Export to .tflite or .onnx instead."
        )
    serialize_without_tensorflow()
    save_keras(model, path)


def _kernel_weights(model: Any) -> int:
    """How many weights there are in floating-point kernels; an integer one is none any more."""
    found = prunable_variables(model.variables)
    return sum(each.weights for each in found if each.reason is None)
