"""The program of the child process that converts: `python -m trimgrid.tflite_child`.

It reads one JSON object a line from stdin, answers with one a line on stdout, and ends when stdin
does. `trimgrid.tflite` is its only client and sets its environment, Keras on TensorFlow.
"""

from __future__ import annotations

import gc
import importlib
import json
import keyword
import os
import queue
import re
import shutil
import signal
import sys
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.tflite_check import Agreement, WrongFileError, compare, run_tflite

_HALF_PRECISION = {"mixed_float16", "mixed_bfloat16", "float16", "bfloat16"}
# As constants in the graph small weights convert in half the time that they take as variables;
# above this many bytes it is the other way round.
_CONSTANTS_UP_TO = 2**22
_REASON_LENGTH = 300
_EXTRAS = ("jax", "pandas", "scipy", "sklearn", "PIL")


def main() -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    try:
        _import_frameworks()
        _answer(answers, {"ready": True})
    except ImportError as error:
        _answer(answers, {"error": f"The converter can't start: {error}"})
        return
    while True:
        request = waiting.get()
        try:
            found = _convert(request)
            answer: dict[str, Any] = {
                "max_difference": found.max_difference,
                "output_range": found.output_range,
            }
        except Exception as error:  # whatever it is, it is the answer, and the next one is served
            answer = {"error": _reason(error)}
        _answer(answers, answer)
        gc.collect()  # a model is full of cycles: without this the process grows by each of them


def _import_frameworks() -> None:
    """Import what a conversion needs, without the packages that TensorFlow and Keras try as extras.

    Left out they save 3 of 5 seconds and 260 of 760 MB. Afterwards they can be imported as ever,
    because a module with custom layers may want them.
    """
    extras = [name for name in _EXTRAS if name not in sys.modules]
    for name in extras:
        sys.modules[name] = None  # type: ignore[assignment]  # makes `import` raise ImportError
    for module in ("keras", "tensorflow", "ai_edge_litert.interpreter"):
        importlib.import_module(module)
    for name in extras:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # or every later collection goes through all that was imported: 0.2 s


def _read(requests: IO[str], waiting: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in requests:
        waiting.put(json.loads(line))
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)  # the parent is gone or wants no more, and a conversion may be under way


def _answer(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _reason(error: Exception) -> str:
    """Return one line that says what went wrong, out of the 200 that TensorFlow may write."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    if missing := re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE):
        return f"No built-in LiteRT operation for {', '.join(missing)}"
    if compiler := re.search(r":\d+:\d+: error: (.+)", text):  # after it the whole program
        text = compiler[1]
    text = re.split(r"Arguments received by|Full object config", text)[0]
    text = text.split("Error encountered:")[-1]  # what a layer raised, after what Keras says to it
    text = " ".join(text.split())
    if len(text) > _REASON_LENGTH:
        text = text[:_REASON_LENGTH] + "..."
    return text if isinstance(error, WrongFileError) else f"{type(error).__name__}: {text}"


def _convert(request: Mapping[str, Any]) -> Agreement:
    """Convert one file, check the result, and only then put it in its place."""
    import keras

    keras.utils.clear_session()  # so that names in the file do not count earlier conversions
    sys.path[:] = request["sys_path"]
    for module in request["modules"]:
        importlib.import_module(module)
    model = keras.saving.load_model(
        _in_float32(Path(request["model_file"]), Path(request["scratch_folder"])),
        compile=False,
        safe_mode=True,
    )
    model.name = "m"  # it stands before the name of every tensor in the file
    with np.load(Path(request["scratch_folder"], "samples.npz"), allow_pickle=False) as arrays:
        samples = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
    inputs = _Inputs(model, samples, request["structure"])
    expected = inputs.predict(model)
    content, order = _to_tflite(model, inputs)
    actual = run_tflite(content, dict(zip(inputs.names, inputs.samples, strict=True)))
    agreement = compare(expected, [actual[name] for name in order])
    temporary = Path(request["temporary_file"])
    temporary.write_bytes(content)
    os.replace(temporary, request["tflite_file"])
    return agreement


def _in_float32(model_file: Path, folder: Path) -> Path:
    """Return the model file, or a copy in `folder` if it computes in half precision.

    LiteRT's built-in operations have no float16 or bfloat16, and its int8 weights are made from
    float32 ones, so the whole model is read as float32: its weights stay what they are.
    """
    with zipfile.ZipFile(model_file) as archive:
        config = json.loads(archive.read("config.json"))
        rewritten = _replace_half_precision(config)
        if rewritten == config:
            return model_file
        with zipfile.ZipFile(folder / "float32.keras", "w") as copy:
            for name in archive.namelist():
                same = name != "config.json"
                copy.writestr(name, archive.read(name) if same else json.dumps(rewritten))
    return folder / "float32.keras"


def _replace_half_precision(node: Any) -> Any:
    if isinstance(node, list):
        return [_replace_half_precision(item) for item in node]
    if isinstance(node, dict):
        return {key: _replace_half_precision(value) for key, value in node.items()}
    return "float32" if isinstance(node, str) and node in _HALF_PRECISION else node


class _Inputs:
    """The samples as the model takes them: flat, in its data types, with the names for the file."""

    def __init__(
        self, model: Any, samples: Sequence[NDArray[Any]], structure: str | list[str]
    ) -> None:
        self._structure = structure
        tensors = list(getattr(model, "inputs", None) or [])
        by_name = {tensor.name: tensor for tensor in tensors}
        self.names: list[str] = []
        self.samples: list[NDArray[Any]] = []
        for i, sample in enumerate(samples):
            if isinstance(structure, list):
                tensor, name = by_name.get(structure[i]), structure[i]
            else:
                tensor = tensors[i] if i < len(tensors) else None
                name = tensor.name if tensor is not None else f"input_{i}"
            name = re.sub(r"\W", "_", name, flags=re.ASCII)
            if not name.isidentifier() or keyword.iskeyword(name):  # no signature is written then
                name = f"input_{name}"
            self.names.append(name if name not in self.names else f"{name}_{i}")
            # A subclassed model does not tell its inputs' types: take Keras' default for floats.
            default = "float32" if sample.dtype.kind == "f" else sample.dtype.name
            self.samples.append(sample.astype(default if tensor is None else tensor.dtype))

    def pack(self, tensors: Sequence[Any]) -> Any:
        """Return the flat tensors in the structure in which the samples came."""
        if isinstance(self._structure, list):
            return dict(zip(self._structure, tensors, strict=True))
        return tensors[0] if self._structure == "array" else list(tensors)

    def predict(self, model: Any) -> list[NDArray[Any]]:
        """Return Keras' own outputs, flat, in small batches to keep the memory bounded."""
        import keras

        parts = []
        for start in range(0, len(self.samples[0]), 32):
            batch = [sample[start : start + 32] for sample in self.samples]
            outputs = model(self.pack(batch), training=False)
            parts.append([keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _to_tflite(model: Any, inputs: _Inputs) -> tuple[bytes, list[str]]:
    """Convert for a batch of one with int8 weights; return the file and its outputs' names.

    The weights are handed over one by one through a `StatelessScope`, as constants or as variables
    of a plain module: a converter that is given the Keras model to look for them itself may leave
    them out without a word.
    """
    import keras
    import tensorflow as tf

    variables = list(model.variables)
    weights = [variable.numpy() for variable in variables]
    module = tf.Module()
    if sum(array.nbytes for array in weights) > _CONSTANTS_UP_TO:
        module.weights = weights = [tf.Variable(array, trainable=False) for array in weights]
    order: list[str] = []

    def serve(*tensors: Any) -> dict[str, Any]:
        state = [(v, tf.convert_to_tensor(w)) for v, w in zip(variables, weights, strict=True)]
        with keras.StatelessScope(state_mapping=state):
            outputs = keras.tree.flatten(model(inputs.pack(tensors), training=False))
        order[:] = [f"output_{i}" for i in range(len(outputs))]
        return dict(zip(order, outputs, strict=True))

    specs = [
        tf.TensorSpec((1, *sample.shape[1:]), sample.dtype, name=name)
        for name, sample in zip(inputs.names, inputs.samples, strict=True)
    ]
    concrete = tf.function(serve, autograph=False).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert(), order


if __name__ == "__main__":
    main()
