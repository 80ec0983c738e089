"""From a trained model's file to a file to ship, run in its own runtime and compared."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras
from numpy.typing import NDArray

from trimgrid.arguments import check_flag
from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.export.agreement import TOLERANCES, Agreement, WrongFileError, compare, compare_shrunk
from trimgrid.export.child_process import ConversionError
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.child_request import ToConvert, convert_in_child
from trimgrid.export.exported import Exported
from trimgrid.export.files import save_keras, write_h5
from trimgrid.export.formats import check_export
from trimgrid.export.keras_quantize import write_quantized_keras
from trimgrid.export.reference import (
    computes_in_half,
    load,
    load_again,
    predict,
    whole_batches,
)
from trimgrid.export.samples import Samples
from trimgrid.export.sparse_pair import settle
from trimgrid.measures.error_kinds import ErrorMeasure, PairFunction
from trimgrid.scratch import scratch_folder
from trimgrid.shrinking.shrunk import shrink_model
from trimgrid.sizes import measure_file

ErrorOf: TypeAlias = Callable[[Any, Any], float]
"""From true and predicted targets to an error; it may take `sample_weight` as well."""


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
    check_flag("shrink", shrink)
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
        model = load(model_file)
        rows, targets, weights = whole_batches(model, samples)
        expected = predict(model, rows)
        shrunk = shrink_model(model) if shrink else None
        if shrunk is not None and shrunk.removed:
            model = shrunk.model
            model_file = stack.enter_context(scratch_folder()) / "shrunk.keras"
            save_keras(model, model_file)
            _check_same(expected, predict(model, rows), computes_in_half(model))
        unfinished = stack.enter_context(replacing(path))
        dense = None
        if in_keras:
            _write(model, model_file, unfinished, quantize)
            found = keras.tree.flatten(predict(load_again(unfinished), rows))
        else:
            assert children is not None
            rows_of = {"samples": rows, "training": samples.train_inputs}
            made = ToConvert(model_file, unfinished, file_format, quantize, dense_file)
            found, dense = convert_in_child(children, made, rows_of, timeout)
        agreement = _compare(keras.tree.flatten(expected), found, quantize)
        errors: list[float | None] = [None, None, None]
        if error is not None and targets is not None:
            measure = error if isinstance(error, ErrorMeasure) else PairFunction(error)
            errors = [
                None
                if each is None
                else measure.of_outputs(
                    model, targets, keras.tree.pack_sequence_as(expected, each), weights
                )
                for each in (found, keras.tree.flatten(expected), dense)
            ]
        sparse, latency = None, None
        if dense_file is not None:
            shrinks = shrunk is not None and bool(shrunk.removed)
            sparse, latency = settle(
                name or model.name, quantize, dense_file, unfinished, shrinks, timed_seconds
            )
            errors[0] = errors[0] if sparse else errors[2]
        size = measure_file(unfinished, f"model{path.suffix}")
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
            dense_error=errors[2],
        )


def _write(model: Any, model_file: Path, path: Path, quantize: str) -> None:
    if path.suffix == ".h5":
        write_h5(model, path)
    elif quantize == "none":
        shutil.copyfile(model_file, path)
    else:
        write_quantized_keras(model, path, quantize)


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
