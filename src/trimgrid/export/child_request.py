"""What the child process that converts is asked."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError, naming, of_the_machine
from trimgrid.export.child_process import ConversionError, ConverterProcess
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.scratch import scratch_folder

# What was run by its path and not imported: the names under which Python and `trimgrid run` do so.
_PROGRAMS = {"__main__": "the main program", "trimgrid_study": "the study's file"}

Structure: TypeAlias = Literal["array", "list"] | list[str]
"""One array, a list of arrays, or the keys of a dict of arrays."""


@contextmanager
def child_request(
    model_file: Path, structure: Structure, rows: Mapping[str, Sequence[NDArray[Any]]]
) -> Iterator[dict[str, Any]]:
    """Give the part of a request that says what to convert, and remove its folder afterwards.

    `rows`: flat arrays in the structure of the model's inputs: "samples" to run the file on, and
    "training" to set the ranges of int8. The client adds `format` ("tflite" or "onnx"), `quantize`,
    `compare` (whether the child compares the file with Keras, or leaves the file's outputs as
    `outputs.npz` in the folder), `temporary_file` and `target_file`; for a `.tflite` that is stored
    sparsely `dense_file` too, where the same with dense storage goes.

    Raises `ConversionError` for a model file that can't be read, and one with a class that the
    child can't import, and `OSError`, which names the file, for a full disk.
    """
    modules = registered_modules(model_file)
    with scratch_folder() as folder:
        for name, arrays in rows.items():
            with naming(folder / f"{name}.npz"):
                np.savez(folder / f"{name}.npz", *arrays)
        yield {
            "model_file": str(model_file),
            "scratch_folder": str(folder),
            "structure": structure,
            "modules": modules,
            "sys_path": sys.path,
        }


@dataclass(frozen=True)
class ToConvert:
    """A `.keras` file, and the file to make of it: its format and quantization.

    With `dense_file` the target is a `.tflite` that is stored sparsely; the same file with every
    weight in it is written there, and both must give the same answers.
    """

    model_file: Path
    target: Path
    format: str
    quantize: str
    dense_file: Path | None = None


def convert_in_child(
    children: ChildrenQueue, made: ToConvert, rows: Mapping[str, Any], timeout: float
) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None]:
    """Write a file in a child process; return its outputs for `rows["samples"]`, in their order.

    The second ones are those of the dense file beside a sparse one, None where there is none.
    `rows["training"]` sets the ranges of int8. Nobody has compared the outputs yet. Raises
    `ConversionError` as `child_request` does, and if the model can't be converted or the child
    dies or takes over `timeout` seconds.
    """
    samples, structure = flatten_samples(rows["samples"])
    parts = {"samples": samples}
    if made.quantize == "int8":
        parts["training"] = flatten_samples(rows["training"])[0]

    def convert(
        child: ConverterProcess,
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None]:
        with child_request(made.model_file.absolute(), structure, parts) as request:
            target = str(made.target.absolute())
            dense = made.dense_file
            child.ask(
                {
                    **request,
                    "dense_file": None if dense is None else str(dense.absolute()),
                    "format": made.format,
                    "quantize": made.quantize,
                    "compare": False,
                    "temporary_file": target,
                    "target_file": target,
                },
                timeout,
            )
            folder = Path(request["scratch_folder"])
            outputs = _arrays(folder / "outputs.npz")
            return outputs, None if dense is None else _arrays(folder / "dense_outputs.npz")

    return children.submit(convert).result()


def _arrays(file: Path) -> list[NDArray[Any]]:
    with np.load(file, allow_pickle=False) as arrays:
        return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]


def flatten_samples(samples: Any) -> tuple[list[NDArray[Any]], Structure]:
    """Return the arrays in `samples` and how to put them together again.

    Raises `InputError` for samples that are not arrays of numbers with one common length of at
    least 1.
    """
    structure: Structure = "array"
    values = [samples]
    if isinstance(samples, Mapping):
        structure, values = [str(key) for key in samples], list(samples.values())
    elif isinstance(samples, list | tuple):
        structure, values = "list", list(samples)
    arrays = [np.asarray(value) for value in values]
    lengths = {array.shape[0] if array.ndim else 0 for array in arrays}
    numbers = all(array.dtype.kind in "biuf" for array in arrays)
    if len(lengths) != 1 or 0 in lengths or not numbers:
        received = ", ".join(f"{array.dtype.name}{list(array.shape)}" for array in arrays)
        raise InputError(
            "Samples must be arrays of numbers, all with the same number of samples, at least 1. "
            f"Received: {received or 'no array'}. Give one array of shape (samples, ...), or a "
            "list or dict of them for a model with several inputs."
        )
    return arrays, structure


def registered_modules(model_file: Path) -> list[str]:
    """Return the modules that define the custom classes and functions in a `.keras` file.

    Only what this process has registered counts: a name in the file alone imports nothing.

    Raises `ConversionError` for a file that can't be read, and for what the main program or a
    study's file defines.
    """
    try:
        with zipfile.ZipFile(model_file) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if of_the_machine(error):
            raise
        raise ConversionError(f"Not a readable .keras file: {error}") from error
    # Where neither Keras is loaded nothing can be registered.
    loaded = [sys.modules[name] for name in ("keras", "tf_keras") if name in sys.modules]
    modules = set()
    for name, keras in product(_registered_names(config), loaded):
        found = keras.saving.get_registered_object(name)
        module = getattr(found, "__module__", None)
        if module in _PROGRAMS:
            raise ConversionError(
                f"{name} is defined in {_PROGRAMS[module]}, which the process that converts can't "
                "import: move it to a module beside that file"
            )
        if module is not None and module.split(".")[0] not in ("keras", "tf_keras"):
            modules.add(module)
    return sorted(modules)


def _registered_names(node: Any) -> Iterator[str]:
    """Find the names under which a saved config refers to registered classes and functions."""
    if isinstance(node, list):
        for item in node:
            yield from _registered_names(item)
    elif isinstance(node, dict):
        key = "config" if node.get("class_name") == "function" else "registered_name"
        if isinstance(name := node.get(key), str):
            yield name
        for value in node.values():
            yield from _registered_names(value)
