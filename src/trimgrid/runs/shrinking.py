"""A trained model without its idle units: shrunk, evaluated, weighed and converted."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError, first_line
from trimgrid.export.files import measure_model
from trimgrid.export.tflite import Conversion, ConversionError, TFLiteConverter
from trimgrid.models import copy_model, count_weights
from trimgrid.runs.evaluating import Evaluate, evaluated
from trimgrid.shrinking.shrunk import shrink_model
from trimgrid.shrunk_info import NOTHING_LEFT, ShrunkInfo


@dataclass(frozen=True)
class Shrinking:
    """What is known of a shrunk model that is complete but for its `.tflite`."""

    info: ShrunkInfo
    conversion: Future[Conversion] | None = None
    files: Path | None = None
    """The folder of its files, which is removed with the result."""

    def result(self) -> ShrunkInfo:
        """Wait for the conversion and put its sizes, or its failure, into the result.

        Raises `OSError` where the disk failed: that says nothing of the model.
        """
        if self.conversion is None:
            return self.info
        try:
            size = self.conversion.result().size
        except ConversionError as error:
            return _with_reason(self.info, f"no .tflite: {first_line(error)}")
        finally:
            if self.files is not None:
                shutil.rmtree(self.files, ignore_errors=True)
        return replace(self.info, tflite_size=size.plain, zipped_tflite_size=size.zipped)


class Shrinker:
    """Shrinks and measures models of one structure.

    `model`: one of them. `samples`: inputs on which each `.tflite` is run. Files go to a folder of
    their own in the one that is given, and need not be kept: an export makes them again.
    """

    def __init__(
        self, model: Any, evaluate: Evaluate, converter: TFLiteConverter | None, samples: Any
    ) -> None:
        self._model = copy_model(model)
        self._evaluate = evaluate
        self._converter = converter
        self._samples = samples

    def start(self, weights: Sequence[Any], folder: Path) -> Shrinking:
        """Shrink the model with these weights, evaluate and weigh it, and queue its conversion.

        The error is measured anew: that of the model that is left.

        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> shrinker = Shrinker(model, lambda model: 0.5, None, None)
        >>> shrinker.start(model.get_weights(), Path()).result().reason
        'No unit could be left out.'
        """
        self._model.set_weights(weights)
        try:
            shrunk = shrink_model(self._model)
        except InputError as error:  # its config does not make it anew
            total, nonzero = count_weights(self._model)
            why = first_line(error)
            return Shrinking(ShrunkInfo(total_weights=total, nonzero_weights=nonzero, reason=why))
        total, nonzero = count_weights(shrunk.model)
        info = ShrunkInfo(
            total_weights=total,
            nonzero_weights=nonzero,
            removed=shrunk.removed,
            left=shrunk.left,
        )
        if not shrunk.removed:
            return Shrinking(_with_reason(info, shrunk.reason or NOTHING_LEFT))
        info = self._with_error(info, shrunk.model)
        own = Path(tempfile.mkdtemp(dir=folder))
        sizes = measure_model(shrunk.model, own)
        info = replace(
            info,
            h5_size=sizes.h5.plain,
            zipped_h5_size=sizes.h5.zipped,
            keras_size=sizes.keras.plain,
            zipped_keras_size=sizes.keras.zipped,
        )
        if self._converter is None:
            shutil.rmtree(own, ignore_errors=True)
            return Shrinking(info)
        files = own / "model.keras", own / "model.tflite"
        return Shrinking(info, self._converter.submit(*files, self._samples), own)

    def _with_error(self, info: ShrunkInfo, model: Any) -> ShrunkInfo:
        try:
            _, error = evaluated(self._evaluate, model)
        except Exception as problem:  # a function of the study's own, made for the whole model
            why = f"evaluation failed: {type(problem).__name__}: {first_line(problem)}"
            return _with_reason(info, why)
        if not math.isfinite(error):
            return _with_reason(info, f"evaluation failed: the error is {error}")
        return replace(info, error=error)


def _with_reason(info: ShrunkInfo, why: str) -> ShrunkInfo:
    return replace(info, reason=why if info.reason is None else f"{info.reason}; {why}")
