"""Which files a model can be exported to, in which numbers, and what that needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from trimgrid.errors import InputError

QUANTIZE = ("none", "float16", "dynamic", "int8", "int4")
FORMATS = {
    "keras": ("none", "int8", "int4"),
    "h5": ("none",),
    "tflite": ("none", "float16", "dynamic", "int8", "int4"),
    "onnx": ("none", "float16", "dynamic", "int8"),
}
"""The formats by the ending of the file, and what each can be quantized to."""

_WHY_NOT = {
    ("keras", "float16"): "Keras stores weights in the type in which the model was trained",
    ("keras", "dynamic"): "in Keras' files this is what int8 is",
    ("h5", "float16"): "the legacy HDF5 format has no quantized layers",
    ("h5", "dynamic"): "the legacy HDF5 format has no quantized layers",
    ("h5", "int8"): "the legacy HDF5 format has no quantized layers",
    ("h5", "int4"): "the legacy HDF5 format has no quantized layers",
    ("onnx", "int4"): "ONNX Runtime has 4 bits for matrix products only",
}
# The packages that an export needs beside what trimgrid depends on, and the extra that has them.
_ONNX = (("tf2onnx", "onnx", "onnxruntime"), "onnx")
_INT4 = (("ai_edge_quantizer",), "quantize")


SPARSE = ("none", "float16")
"""In which LiteRT reads sparse weights; beside integers it answers wrongly without an error."""


def check_export(path: str | Path, quantize: str, sparse: bool = False) -> str:
    """Return the format of a file to export to: "keras", "h5", "tflite" or "onnx", by its ending.

    | quantize | .keras | .h5 | .tflite | .onnx |
    |---|---|---|---|---|
    | none | float weights as trained | the same | float32 | float32 |
    | float16 | - | - | weights in float16 | weights and computation in float16 |
    | dynamic | - | - | int8 weights | int8 weights, integer computation |
    | int8 | int8 weights of dense layers and embeddings | - | all in int8 | all in int8 |
    | int4 | int4 weights of the same layers | - | int4 weights, embeddings in float32 | - |

    With "int8" the ranges of activations in `.tflite` and `.onnx` files come from training rows;
    all files take and give what the Keras model does, in float32 instead of half precision. In an
    int8 `.onnx` file the ranges inside an LSTM are seen when it runs. `sparse` leaves zeros out of
    the file, which `.tflite` files can have in float32 and float16.

    Raises `InputError` for another ending, an unknown `quantize`, one that the format does not
    have, one that can't be sparse, a folder that does not exist and a package that is not
    installed.

    >>> check_export("small.tflite", "int8")
    'tflite'
    >>> check_export("small.h5", "int8")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A .h5 file can't have quantize='int8': the legacy HDF5 format has \
no quantized layers. Give one of: none.
    """
    path = Path(path)
    file_format = path.suffix.removeprefix(".")
    if file_format not in FORMATS:
        raise InputError(
            f"A model is exported to a {', '.join(f'.{each}' for each in FORMATS)} file. "
            f"Received: path={str(path)!r}. Give it one of these endings."
        )
    if quantize not in QUANTIZE:
        raise InputError(
            f"quantize must be one of {', '.join(QUANTIZE)}. Received: quantize={quantize!r}."
        )
    if quantize not in FORMATS[file_format]:
        raise InputError(
            f"A .{file_format} file can't have quantize={quantize!r}: "
            f"{_WHY_NOT[file_format, quantize]}. Give one of: {', '.join(FORMATS[file_format])}."
        )
    if sparse and file_format != "tflite":
        raise InputError(
            f"Zeros can be left out of .tflite files only. Received: path={str(path)!r}, "
            "sparse=True. Zip the file: then zeros cost nearly nothing."
        )
    if sparse and quantize not in SPARSE:
        raise InputError(
            "Zeros can be left out of weights in float32 ('none') or float16 only: beside integers "
            "LiteRT answers wrongly without an error. "
            f"Received: quantize={quantize!r}, sparse=True. "
            "Give quantize='none' or 'float16', or zip the file."
        )
    if not path.parent.is_dir():
        raise InputError(
            f"The folder of the file must exist. Received: path={str(path)!r}. Create it first."
        )
    needed = {("tflite", "int4"): _INT4}.get((file_format, quantize))
    packages, extra = _ONNX if file_format == "onnx" else needed or ((), "")
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"This export needs the package {package.replace('_', '-')}. Received: "
                f"path={str(path)!r}, quantize={quantize!r}. "
                f"Install it: pip install 'trimgrid[{extra}]'."
            )
    return file_format
