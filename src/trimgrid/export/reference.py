"""The Keras model that an export is compared with: loaded, and run on the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from trimgrid.errors import InputError, first_line
from trimgrid.export.child_process import ConversionError
from trimgrid.export.samples import Samples
from trimgrid.legacy.notices import without_notices
from trimgrid.models import fixed_batch, load_saved, nested_layers
from trimgrid.randomness import isolated_randomness

_BATCH = 32


def load(file: Path) -> Any:
    """Load a model file, without a touch on random numbers."""
    with isolated_randomness(0):
        return load_saved(file)


def load_again(file: Path) -> Any:
    """Load a file that Keras has just written. Raises `ConversionError` if it can't."""
    try:
        return load(file)
    except InputError as error:
        reason = str(error).split("which fails with ")[-1]
        raise ConversionError(f"Keras can't load the file that it wrote: {reason}") from error


def whole_batches(model: Any, samples: Samples) -> tuple[Any, Any, Any]:
    """Return the rows that are run, their targets and weights; all, if batches may be small.

    Raises `InputError` for samples that do not fill a batch of the model.
    """
    rows = samples.test_inputs, samples.test_targets, samples.test_weights
    if samples.test_inputs is None:
        rows = samples.train_inputs, None, None
    size = fixed_batch(model)
    if size is None:
        return rows
    whole = len(keras.tree.flatten(rows[0])[0]) // size * size
    if whole == 0:
        raise InputError(
            f"The samples must fill a batch of the model, which takes {size} rows at once. "
            f"Received: {samples.describe()}. Give more of them."
        )

    def first(part: Any) -> Any:
        return None if part is None else keras.tree.map_structure(lambda a: a[:whole], part)

    inputs, targets, weights = rows
    return first(inputs), first(targets), first(weights)


def predict(model: Any, rows: Any) -> Any:
    """Return what a model predicts. Raises `InputError` for rows that do not fit it."""
    try:
        with without_notices():
            return model.predict(rows, batch_size=fixed_batch(model) or _BATCH, verbose=0)
    except Exception as error:  # whatever a layer raises for inputs that do not fit
        shapes = [(a.dtype.name, a.shape) for a in keras.tree.flatten(rows)]
        raise InputError(
            f"The samples must fit the model. Received: {shapes}, on which it fails with "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def computes_in_half(model: Any) -> bool:
    """Tell whether some layer of a model computes in half precision."""
    return any("16" in str(layer.compute_dtype) for layer in nested_layers(model))
