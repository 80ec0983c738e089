"""The program of the child process that converts: `python -m trimgrid.export.child`.

It reads one JSON object a line from stdin, answers with one a line on stdout, and ends when stdin
does. `trimgrid.export.child_process` starts it and sets its environment, Keras on TensorFlow; what
a request holds is written in `trimgrid.export.child_request`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import cause, naming, of_the_machine
from trimgrid.export.agreement import WrongFileError, compare, compare_storage
from trimgrid.export.loaded_model import LoadedModel, ModelInputs, structure_of
from trimgrid.export.onnx_convert import to_onnx
from trimgrid.export.runtimes import run_tflite
from trimgrid.export.tflite_convert import to_tflite

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
    started = time.perf_counter()
    try:
        _import_frameworks()
        _answer(answers, {"start_seconds": time.perf_counter() - started})
    except ImportError as error:
        _answer(answers, {"error": f"The converter can't start: {error}"})
        return
    work = _Work()
    while True:
        request = waiting.get()
        try:
            answer = work.convert(request)
        except Exception as error:  # whatever it is, it is the answer, and the next one is served
            answer = _failure(error, request)
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


def _failure(error: Exception, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer for a failure: the machine's, or the model's."""
    room = Path(os.environ["TMPDIR"], "room")
    try:
        if of_the_machine(error):
            raise error
        # TensorFlow goes on without its temporary files where there is no room for them, and fails
        # later of something else.
        with naming(room):
            room.write_bytes(bytes(2 * Path(request["model_file"]).stat().st_size))
    except OSError as found:
        if of_the_machine(found):
            where = found.filename or request["scratch_folder"]
            return {"system": [found.errno, found.strerror, str(where)]}
    finally:
        room.unlink(missing_ok=True)
    return {"error": _reason(error)}


def _reason(error: Exception) -> str:
    """Return one line that says what went wrong, out of the 200 that TensorFlow may write."""
    text = cause(error)
    if missing := re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE):
        return f"No built-in LiteRT operation for {', '.join(missing)}"
    if compiler := re.search(r":\d+:\d+: error: (.+)", text):  # after it the whole program
        text = compiler[1]
    text = " ".join(text.split())
    if len(text) > _REASON_LENGTH:
        text = text[:_REASON_LENGTH] + "..."
    return text if isinstance(error, WrongFileError) else f"{type(error).__name__}: {text}"


class _Work:
    """Converts one file after the other, and keeps the last model for files of its structure."""

    def __init__(self) -> None:
        self._structure: tuple[str, bool] | None = None
        self._model: LoadedModel | None = None

    def convert(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Convert one file, run it, and only then put it in its place.

        With `compare` it must answer as Keras does on TensorFlow, and the answer tells how closely;
        else its outputs are left in the scratch folder for the client to compare.
        """
        scratch = Path(request["scratch_folder"])
        sys.path[:] = request["sys_path"]
        for module in request["modules"]:
            importlib.import_module(module)
        loaded, structure = self._load(request, scratch)
        inputs = _inputs(loaded, request, scratch / "samples.npz")
        expected = inputs.predict(loaded.model) if request["compare"] else []
        content, outputs = _convert(loaded, inputs, request, scratch)
        answer = {}
        if request["compare"]:
            found = compare(expected, outputs)
            answer = {"max_difference": found.max_difference, "output_range": found.output_range}
        else:
            np.savez(scratch / "outputs.npz", *outputs)
        temporary = Path(request["temporary_file"])
        with naming(request["target_file"]):
            temporary.write_bytes(content)
        os.replace(temporary, request["target_file"])
        if not request["modules"]:  # the user's own classes may remember earlier calls
            self._structure, self._model = structure, loaded
        return answer

    def _load(
        self, request: Mapping[str, Any], scratch: Path
    ) -> tuple[LoadedModel, tuple[str, bool]]:
        model_file = Path(request["model_file"])
        # TensorFlow's full int8 ends the process with SIGSEGV where there is a loop.
        unroll = (request["format"], request["quantize"]) == ("tflite", "int8")
        structure = structure_of(model_file), unroll
        model, self._model = self._model, None  # after a failure it is not used again
        if model is None or structure != self._structure or not model.load_weights(model_file):
            model = LoadedModel(model_file, scratch, unroll)
        return model, structure


def _inputs(loaded: LoadedModel, request: Mapping[str, Any], file: Path) -> ModelInputs:
    with np.load(file, allow_pickle=False) as arrays:
        samples = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
    return ModelInputs(loaded.model, samples, request["structure"])


def _convert(
    loaded: LoadedModel, inputs: ModelInputs, request: Mapping[str, Any], scratch: Path
) -> tuple[bytes, list[NDArray[Any]]]:
    """Convert and run; return the file and its outputs in the model's order."""
    quantize, training = request["quantize"], None
    dense_file = request.get("dense_file")
    if quantize == "int8":
        training = _inputs(loaded, request, scratch / "training.npz")
    if request["format"] == "onnx":
        content, actual = to_onnx(loaded.model, inputs, quantize, training, scratch)
    else:
        content = to_tflite(loaded.model, inputs, quantize, training)
        actual = run_tflite(content, inputs.by_name)
        if dense_file is not None:
            with naming(dense_file):
                Path(dense_file).write_bytes(content)
            content = to_tflite(loaded.model, inputs, quantize, training, sparse=True)
            dense, actual = actual, run_tflite(content, inputs.by_name)
            compare_storage(_in_order(dense), _in_order(actual))
            np.savez(scratch / "dense_outputs.npz", *_in_order(dense))
    return content, _in_order(actual)


def _in_order(outputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [outputs[f"output_{i}"] for i in range(len(outputs))]


if __name__ == "__main__":
    main()
