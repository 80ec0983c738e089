"""A run: train the original and every attempt of a grid, evaluate and measure each."""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trimgrid.engines.sequential import Trained, train
from trimgrid.errors import InputError, RunError, first_line
from trimgrid.export import measure_model
from trimgrid.grid import AttemptConfig, check_grid
from trimgrid.models import check_prunable, count_weights
from trimgrid.results import AttemptInfo
from trimgrid.tflite import Conversion, ConversionError, TFLiteConverter
from trimgrid.training import Arrays, Training, check_data, count_examples

ORIGINAL = "original (unpruned)"
# Rows of the data on which every converted file is run.
_SAMPLES = 16

Evaluate = Callable[[Any], tuple[Any, float]]
"""From a trained model to its predictions on the test data and their error."""
OnEpoch = Callable[[str, int, float], None]
"""Called with the name of what is being trained, the epoch, from 1, and the loss."""


def run_grid(
    model: Any,
    grid: Sequence[AttemptConfig],
    data: Arrays,
    training: Training,
    evaluate: Evaluate,
    converter: TFLiteConverter,
    validation: Arrays | None = None,
    on_epoch: OnEpoch | None = None,
) -> Iterator[AttemptInfo]:
    """Train the model, then each attempt from the trained model, and yield what came out of each.

    The original comes first, then the attempts in the order of the grid. Each attempt starts from
    the trained original with a fresh optimizer and the same order of the data; `model` itself stays
    as it is. Files are converted to .tflite by `converter` while the next attempt trains.

    An attempt whose loss stops being finite, or whose conversion fails, says so in its `status`;
    the others go on.

    Raises `InputError` before any training for data that does not fit the model, a grid that can't
    be run and a model without prunable weights, and `RunError` if the original can't be trained.
    """
    check_run(model, grid, data, training, validation)
    return _run(model, grid, data, training, evaluate, converter, validation, on_epoch)


def _run(
    model: Any,
    grid: Sequence[AttemptConfig],
    data: Arrays,
    training: Training,
    evaluate: Evaluate,
    converter: TFLiteConverter,
    validation: Arrays | None,
    on_epoch: OnEpoch | None,
) -> Iterator[AttemptInfo]:
    samples = keras.tree.map_structure(lambda array: np.asarray(array[:_SAMPLES]), data[0])

    with tempfile.TemporaryDirectory(prefix="trimgrid-") as folder:

        def fit(name: str, start: Any, schedule: Any) -> Trained:
            report = None if on_epoch is None else _named(on_epoch, name)
            return train(start, data, training, schedule, validation, report)

        original = fit(ORIGINAL, model, None)
        if original.failure is not None:
            raise RunError(f"The original model could not be trained: {original.failure}.")
        waiting: deque[tuple[AttemptInfo, Future[Conversion] | None]] = deque()
        waiting.append(_measure(ORIGINAL, original, evaluate, converter, samples, Path(folder)))
        for attempt in grid:
            trained = fit(attempt.name, original.model, attempt.pruning_schedule)
            waiting.append(
                _measure(attempt.name, trained, evaluate, converter, samples, Path(folder))
            )
            while waiting and (waiting[0][1] is None or waiting[0][1].done()):
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def check_run(
    model: Any,
    grid: Sequence[AttemptConfig],
    data: Arrays,
    training: Training,
    validation: Arrays | None = None,
) -> None:
    """Check everything that can be checked before a training starts.

    Raises `InputError` as `run_grid` says.
    """
    check_data(model, data, training.loss, "training data")
    if validation is not None:
        check_data(model, validation, training.loss, "validation data")
    check_grid(grid, training.steps(count_examples(data)))
    if any(attempt.name == ORIGINAL for attempt in grid):
        raise InputError(
            "Names in a grid must differ from the original's. "
            f"Received: name={ORIGINAL!r}. Rename the attempt."
        )
    check_prunable(model.trainable_variables)


def _named(on_epoch: OnEpoch, name: str) -> Callable[[int, float], None]:
    return lambda epoch, loss: on_epoch(name, epoch, loss)


def _measure(
    name: str,
    trained: Trained,
    evaluate: Evaluate,
    converter: TFLiteConverter,
    samples: Any,
    folder: Path,
) -> tuple[AttemptInfo, Future[Conversion] | None]:
    """Count, evaluate and save a trained model, and queue its conversion."""
    total, nonzero = count_weights(trained.model)
    info = AttemptInfo(
        name, total, nonzero, total - nonzero, None, None, None, None, None, math.nan
    )
    if trained.failure is not None:
        return replace(info, status=f"training failed: {trained.failure}"), None
    predictions, error = evaluate(trained.model)
    # A folder each: a name may hold what a file name can't.
    place = Path(tempfile.mkdtemp(dir=folder))
    sizes = measure_model(trained.model, place)
    info = replace(
        info,
        unzippedh5_size=sizes.h5.plain,
        zippedh5_size=sizes.h5.zipped,
        keras_size=sizes.keras.plain,
        zipped_keras_size=sizes.keras.zipped,
        y_pred=np.asarray(predictions),
        error_value=float(error),
    )
    if not math.isfinite(info.error):
        info = replace(info, status=f"evaluation failed: the error is {info.error}")
    return info, converter.submit(place / "model.keras", place / "model.tflite", samples)


def _finished(info: AttemptInfo, conversion: Future[Conversion] | None) -> AttemptInfo:
    """Wait for the conversion and put its sizes, or its failure, into the result."""
    if conversion is None:
        return info
    try:
        size = conversion.result().size
    except (ConversionError, OSError) as error:
        status = f"no .tflite: {first_line(error)}"
        return replace(info, status=status if info.status == "ok" else info.status)
    return replace(info, unzippedlt_size=size.plain, zippedlt_size=size.zipped)
