"""From a trained model's file to a file to ship, run in its own runtime and compared."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
from numpy.typing import NDArray

from trimgrid.atomic import replacing
from trimgrid.errors import InputError, first_line
from trimgrid.export.agreement import TOLERANCES, Agreement, WrongFileError, compare, compare_shrunk
from trimgrid.export.child_process import ConversionError
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.child_request import ToConvert, convert_in_child
from trimgrid.export.files import save_keras, write_h5
from trimgrid.export.formats import check_export
from trimgrid.export.keras_quantize import write_quantized_keras
from trimgrid.export.samples import Samples
from trimgrid.export.timing import time_files
from trimgrid.latency import Latency, TimedFile
from trimgrid.legacy.notices import without_notices
from trimgrid.measures.error_kinds import ErrorMeasure, PairFunction
from trimgrid.models import fixed_batch, load_saved, nested_layers
from trimgrid.randomness import isolated_randomness
from trimgrid.scratch import scratch_folder
from trimgrid.shrinking.shrunk import shrink_model
from trimgrid.sizes import FileSize, measure_file

ErrorOf: TypeAlias = Callable[[Any, Any], float]
"""From true and predicted targets to an error; it may take `sample_weight` as well."""

_BATCH = 32


@dataclass(frozen=True)
class Exported:
    """A file that was exported, run and compared.

    `size` is in bytes. `max_difference` is the largest absolute difference from the Keras model's
    predictions over the `rows` on which both were run, and `output_range` the largest minus the
    smallest value of that output: what the difference is to be seen against. `error` is the file's
    error on these rows and `keras_error` the Keras model's, None where there is no test data.
    `sparse` tells whether zeros were left out of the file, which is None where nobody asked for it
    and False where that saves no bytes; `latency` has size and time of the file with them and
    without. `shrunk` is what `Shrunk.to_dict` gives, None where nobody asked for it.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the same as values that JSON has: the path as text, None for an error of NaN.

        >>> Exported(
        ...     Path("a.h5"), "h5", "none", FileSize(9, 7), 0.0, 1.0, 3, float("nan"), None
        ... ).to_dict()["error"] is None
        True
        """
        errors = {"error": _finite(self.error), "keras_error": _finite(self.keras_error)}
        latency = None if self.latency is None else self.latency.to_dict()
        return {**asdict(self), **errors, "path": str(self.path), "latency": latency}


def export_model(
    model_file: str | Path,
    path: str | Path,
    quantize: str = "none",
    *,
    samples: Samples,
    error: ErrorMeasure | ErrorOf | None = None,
    dense_file: Path | None = None,
    timed_seconds: float = 0.0,
    name: str | None = None,
    shrink: bool = False,
    children: ChildrenQueue | None = None,
    timeout: float = 600.0,
) -> Exported:
    """Export the model of a `.keras` file to a file to ship; run that file and compare.

    The ending of `path` tells the format: `.keras`, `.h5`, `.tflite` or `.onnx`. `quantize` is
    "none", "float16", "dynamic", "int8" or "int4"; what each means, and which format has it, says
    `trimgrid.export.formats.check_export`. A `.tflite` file has a batch size of 1, an `.onnx` file
    a free one if the model allows it; other free dimensions get the samples' sizes. In an int8
    `.tflite` recurrent layers are unrolled, a step for each time, so long sequences make it large.
    The same model and samples give the same bytes.

    The file is run on the test rows of `samples`, or on its training rows where there are none: by
    LiteRT, ONNX Runtime, or Keras loading it anew. `error` is a study's measure, or a function that
    is called with the test targets and the predictions, which are of the structure that the Keras
    model predicts; the samples' weights count in it as they do in the study. Of a model that takes
    batches of one size only, the rows of whole batches are run. A file whose answers are
    not finite, of another shape, constant where Keras' are not, or off by more than
    `trimgrid.export.agreement.TOLERANCES` allows, is refused.

    With `dense_file` a `.tflite` in float32 or float16 is stored sparsely: zeros are left out of
    the weights of dense layers and convolutions. The same file with all its weights is written to
    `dense_file`, to be compared with; both must give the same answers but for rounding. They are
    timed beside each other for `timed_seconds`, if that is not 0, as those of `name`. Where sparse
    storage saves no bytes, the dense file is what is exported.

    `shrink` leaves units out that do nothing (`trimgrid.shrink_model`), in any format. Without them
    the model must give the same answers as the whole one but for rounding. Where nothing can be
    left out, the file is that of the whole model; `Exported.shrunk` says so.

    `.tflite` and `.onnx` files are made and run in a child process, Keras on TensorFlow, whatever
    backend this process has; `children` is a queue of them to be used for several exports,
    `timeout` the seconds that one may take.

    Raises `InputError` for a path, a quantization, a model file or samples that do not fit, before
    any work, `RunError` if the model can't be converted, the file is refused, or the child dies,
    and `OSError`, which names the file, for a full disk. Whatever is raised, what was at `path`
    stays as it was.

    >>> import tempfile
    >>> import numpy as np
    >>> from trimgrid.export.files import write_keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> x = np.ones((4, 3), "float32")
    >>> samples = Samples(x, x, np.zeros((4, 2)), 4, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_keras(model, Path(folder, "model.keras"))
    ...     exported = export_model(
    ...         Path(folder, "model.keras"), Path(folder, "small.h5"), samples=samples
    ...     )
    ...     exported.size.plain == Path(folder, "small.h5").stat().st_size
    True
    >>> exported.format, exported.rows, exported.max_difference
    ('h5', 4, 0.0)
    """
    model_file, path = Path(model_file), Path(path)
    file_format = check_export(path, quantize, sparse=dense_file is not None)
    if path.exists() and model_file.exists() and path.samefile(model_file):
        raise InputError(
            "A model is exported to another file than its own. "
            f"Received: path={str(path)!r} twice. Choose another name."
        )
    with contextlib.ExitStack() as stack:
        in_keras = file_format in ("keras", "h5")
        if not in_keras and children is None:
            children = ChildrenQueue(limit=1)
            stack.callback(children.close)
            children.start()  # its imports overlap what Keras does here
        model = _load(model_file)
        rows, targets, weights = _whole_batches(model, samples)
        expected = _predict(model, rows)
        shrunk = shrink_model(model) if shrink else None
        if shrunk is not None and shrunk.removed:
            model = shrunk.model
            model_file = stack.enter_context(scratch_folder()) / "shrunk.keras"
            save_keras(model, model_file)
            _check_same(expected, _predict(model, rows), _computes_in_half(model))
        unfinished = stack.enter_context(replacing(path))
        if in_keras:
            _write(model, model_file, unfinished, quantize)
            found = keras.tree.flatten(_predict(_load_again(unfinished), rows))
        else:
            assert children is not None
            rows_of = {"samples": rows, "training": samples.train_inputs}
            made = ToConvert(model_file, unfinished, file_format, quantize, dense_file)
            found = convert_in_child(children, made, rows_of, timeout)
        agreement = _compare(keras.tree.flatten(expected), found, quantize)
        errors: list[float | None] = [None, None]
        if error is not None and targets is not None:
            measure = error if isinstance(error, ErrorMeasure) else PairFunction(error)
            actual = keras.tree.pack_sequence_as(expected, found)
            errors = [
                measure.of_outputs(model, targets, each, weights) for each in (actual, expected)
            ]
        sparse, latency = None, None
        size = measure_file(unfinished, f"model{path.suffix}")
        if dense_file is not None:
            sparse = size.plain < dense_file.stat().st_size
            if not sparse:
                shutil.copyfile(dense_file, unfinished)
                size = measure_file(unfinished, f"model{path.suffix}")
            elif timed_seconds:
                shrinks = shrunk is not None and bool(shrunk.removed)
                files = dense_and_sparse(
                    name or model.name, quantize, (dense_file, unfinished), shrinks
                )
                latency = time_files(files, [dense_file, unfinished], timed_seconds)
        return Exported(
            path,
            file_format,
            quantize,
            size,
            agreement.max_difference,
            agreement.output_range,
            len(found[0]),
            error=errors[0],
            keras_error=errors[1],
            sparse=sparse,
            latency=latency,
            shrunk=None if shrunk is None else shrunk.to_dict(),
        )


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None


def _load(file: Path) -> Any:
    with isolated_randomness(0):
        return load_saved(file)


def _load_again(file: Path) -> Any:
    try:
        return _load(file)
    except InputError as error:
        reason = str(error).split("which fails with ")[-1]
        raise ConversionError(f"Keras can't load the file that it wrote: {reason}") from error


def _whole_batches(model: Any, samples: Samples) -> tuple[Any, Any, Any]:
    """The rows that are run with their targets and weights, all of them if batches may be small."""
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


def _predict(model: Any, rows: Any) -> Any:
    try:
        with without_notices():
            return model.predict(rows, batch_size=fixed_batch(model) or _BATCH, verbose=0)
    except Exception as error:  # whatever a layer raises for inputs that do not fit
        shapes = [(a.dtype.name, a.shape) for a in keras.tree.flatten(rows)]
        raise InputError(
            f"The samples must fit the model. Received: {shapes}, on which it fails with "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def _write(model: Any, model_file: Path, path: Path, quantize: str) -> None:
    if path.suffix == ".h5":
        write_h5(model, path)
    elif quantize == "none":
        shutil.copyfile(model_file, path)
    else:
        write_quantized_keras(model, path, quantize)


def dense_and_sparse(
    name: str, quantize: str, paths: tuple[Path, Path], shrunk: bool
) -> list[TimedFile]:
    """Return what is known of a model's dense and sparse `.tflite` before they are timed."""
    storages = ("shrunk", "shrunk, sparse") if shrunk else ("dense", "sparse")
    return [
        TimedFile(name, quantize, storage, measure_file(path, "model.tflite"))
        for storage, path in zip(storages, paths, strict=True)
    ]


def _computes_in_half(model: Any) -> bool:
    return any("16" in str(layer.compute_dtype) for layer in nested_layers(model))


def _check_same(whole: Any, shrunk: Any, half: bool) -> None:
    try:
        compare_shrunk(keras.tree.flatten(whole), keras.tree.flatten(shrunk), half)
    except WrongFileError as wrong:
        raise ConversionError(f"{wrong}. Nothing was written.") from wrong


def _compare(expected: list[NDArray[Any]], found: list[NDArray[Any]], quantize: str) -> Agreement:
    try:
        return compare(expected, found, TOLERANCES[quantize])
    except WrongFileError as wrong:
        raise ConversionError(f"{wrong}. Nothing was written.") from wrong
