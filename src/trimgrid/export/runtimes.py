"""Run `.tflite` and `.onnx` files in the runtimes that they are made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.export.agreement import WrongFileError

_BATCH = 32  # rows that a file with a free batch size gets at once, as in Keras' predict


def run_tflite(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a `.tflite` file on samples, one after the other; return the outputs by name.

    `inputs` maps the names in the file's signature to arrays of shape (samples, ...). The outputs
    have the shape (samples, ...) too. Raises `WrongFileError` if the names differ.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    _check_names(runner.get_input_details(), inputs)
    count = len(next(iter(inputs.values())))
    rows = [runner(**{name: x[i : i + 1] for name, x in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def run_onnx(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run an `.onnx` file on samples in ONNX Runtime; return the outputs by name.

    Inputs and outputs are as in `run_tflite`. A file with a batch size of 1 gets one sample after
    the other, one with a free batch size 32 at once. Raises `WrongFileError` if the names differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings are advice on how to make the file smaller
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    _check_names([each.name for each in session.get_inputs()], inputs)
    count = len(next(iter(inputs.values())))
    step = 1 if session.get_inputs()[0].shape[0] == 1 else _BATCH
    parts: list[Sequence[NDArray[Any]]] = [
        session.run(None, {name: x[start : start + step] for name, x in inputs.items()})
        for start in range(0, count, step)
    ]
    names = [each.name for each in session.get_outputs()]
    columns = zip(*parts, strict=True)
    return {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}


def _check_names(found: Any, inputs: Mapping[str, Any]) -> None:
    if set(found) != set(inputs):
        raise WrongFileError(
            f"The converted file has the inputs {sorted(found)}, the model {sorted(inputs)}"
        )
