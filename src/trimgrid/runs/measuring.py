"""From trained models to results: counted, evaluated, saved, weighed and converted."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from trimgrid.engines.trained import Trained
from trimgrid.errors import first_line
from trimgrid.export.files import ModelWriter
from trimgrid.export.tflite import Conversion, ConversionError, TFLiteConverter
from trimgrid.prunable import prunable_variables, prunable_weights
from trimgrid.repeats import summarize
from trimgrid.results import STOPPED, AttemptInfo
from trimgrid.run_directory.details import Histogram, TensorSummary
from trimgrid.runs.evaluating import Evaluate, evaluated
from trimgrid.runs.shrinking import Shrinker, Shrinking
from trimgrid.structures.kinds import Structure

# Rows of the data on which every converted file is run.
_SAMPLES = 16


@dataclass(frozen=True)
class Evaluated:
    """A trained model's weights and history; its predictions and error unless training failed.

    `stopped` says when the training was stopped as hopeless, None if it was not.
    """

    weights: list[Any]
    history: Mapping[str, Sequence[float]]
    predictions: Any
    error: float
    failure: str | None
    stopped: str | None = None


Repeats: TypeAlias = dict[int, Evaluated]
"""The evaluated repeats of an attempt, by the places of their trainings."""


@dataclass(frozen=True)
class Measured:
    """A result that is complete but for its `.tflite` files.

    `files`: the folder of the attempt's files, None where the training failed. `histories`: one
    for each repeat, in the order of the seeds. `tensors` and `histogram` describe the weights of
    the repeat that stands for the attempt. `shrinking`: its model without idle units, None where
    nobody asked for it.
    """

    info: AttemptInfo
    files: Path | None
    histories: tuple[Mapping[str, Sequence[float]], ...]
    conversion: Future[Conversion] | None
    tensors: tuple[TensorSummary, ...] = ()
    histogram: Histogram | None = None
    shrinking: Shrinking | None = None

    @property
    def waiting_for(self) -> list[Future[Conversion]]:
        """The conversions that are not done yet."""
        conversions = [self.conversion]
        if self.shrinking is not None:
            conversions.append(self.shrinking.conversion)
        return [each for each in conversions if each is not None and not each.done()]

    def done(self) -> bool:
        """Tell whether `result` need not wait."""
        return not self.waiting_for

    def result(self) -> AttemptInfo:
        """Wait for the conversion and put its sizes, or its failure, into the result.

        Raises `OSError` where the disk failed: that says nothing of the model.
        """
        info = self.info
        if self.shrinking is not None:
            info = replace(info, shrunk=self.shrinking.result())
        if self.conversion is None:
            return info
        try:
            size = self.conversion.result().size
        except ConversionError as error:
            status = f"no .tflite: {first_line(error)}"
            return replace(info, status=status if info.status == "ok" else info.status)
        return replace(info, unzippedlt_size=size.plain, zippedlt_size=size.zipped)


def first_samples(rows: Any) -> Any:
    """Return the first of the inputs of a batch: those on which a converted file is run."""
    return keras.tree.map_structure(lambda a: np.asarray(a[:_SAMPLES]), rows)


class Measurer:
    """Evaluates and measures models of one structure.

    `model`: one of them. `rows`: inputs, the first of which each `.tflite` is run on. `folder`
    takes the files: `model.h5`, `model.keras` and `model.tflite` in a folder for each attempt.
    With `shrink` the model without idle units is measured too.
    """

    def __init__(
        self,
        model: Any,
        evaluate: Evaluate,
        converter: TFLiteConverter | None,
        rows: Any,
        folder: Path,
        shrink: bool = False,
    ) -> None:
        self._writer = ModelWriter(model)
        self._variables = prunable_weights(model)
        self._evaluate = evaluate
        self._converter = converter
        self._samples = first_samples(rows)
        self._folder = folder
        self._shrinker = Shrinker(model, evaluate, converter, self._samples) if shrink else None

    def evaluate(self, trained: Trained) -> Evaluated:
        """Evaluate a trained model; one whose training failed has no error.

        Raises `InputError` if the function given gives neither an error nor predictions and error.
        """
        weights = trained.model.get_weights()
        if trained.failure is not None:
            return Evaluated(weights, trained.history, None, math.nan, trained.failure)
        predictions, error = evaluated(self._evaluate, trained.model)
        stopped = None
        if trained.stopped is not None:
            stopped = f"{STOPPED}{trained.stopped}: others are smaller and better"
        return Evaluated(weights, trained.history, predictions, error, None, stopped)

    def measure(
        self, name: str, repeats: Sequence[Evaluated], structure: Structure | None = None
    ) -> Measured:
        """Count, save and weigh the repeat that stands for an attempt, and queue its conversion.

        `structure`: that of its masks.
        """
        good = [each for each in repeats if each.failure is None]
        failures = [each.failure for each in repeats if each.failure is not None]
        median, place = summarize([each.error for each in good] or [math.nan])
        chosen = (good or repeats)[place]
        tensors = self._summaries(chosen.weights, structure)
        total, zeros = (sum(getattr(each, key) for each in tensors) for key in ("weights", "zeros"))
        histories = tuple(each.history for each in repeats)
        info = AttemptInfo(name, total, total - zeros, zeros, None, None, None, None, None, median)
        if not good:
            info = replace(info, status=f"training failed: {failures[0]}")
            return Measured(info, None, histories, None)
        # A folder each: a name may hold what a file name can't.
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        sizes = self._writer.measure(chosen.weights, folder)
        info = replace(
            info,
            unzippedh5_size=sizes.h5.plain,
            zippedh5_size=sizes.h5.zipped,
            keras_size=sizes.keras.plain,
            zipped_keras_size=sizes.keras.zipped,
            y_pred=chosen.predictions,
            errors=tuple(each.error for each in good) if len(repeats) > 1 else (),
        )
        if failures:
            status = f"{len(failures)} of {len(repeats)} repeats failed: {failures[0]}"
            info = replace(info, status=status)
        elif chosen.stopped is not None:
            info = replace(info, status=chosen.stopped)
        elif not math.isfinite(info.error):
            info = replace(info, status=f"evaluation failed: the error is {chosen.error}")
        conversion = None
        if self._converter is not None:
            conversion = self._converter.submit(
                folder / "model.keras", folder / "model.tflite", self._samples
            )
        histogram = Histogram.of(
            [
                np.asarray(array)
                for each, array in zip(tensors, chosen.weights, strict=True)
                if each.reason is None
            ]
        )
        shrinking = None
        if self._shrinker is not None:
            shrinking = self._shrinker.start(chosen.weights, self._folder)
        return Measured(info, folder, histories, conversion, tensors, histogram, shrinking)

    def _summaries(
        self, weights: Sequence[Any], structure: Structure | None
    ) -> tuple[TensorSummary, ...]:
        found = self._variables
        if structure is not None:
            found = prunable_variables([each.variable for each in found], structure=structure)
        return tuple(
            TensorSummary(
                each.path,
                each.shape,
                each.weights,
                each.weights - int(np.count_nonzero(array)),
                each.reason,
            )
            for each, array in zip(found, weights, strict=True)
        )
