"""The program of the child process that converts: `python -m trimgrid.tflite_child`.

It reads one JSON object a line from stdin, answers with one a line on stdout, and ends when stdin
does. `trimgrid.tflite` is its only client and sets its environment, Keras on TensorFlow.
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

from trimgrid.tflite_check import Agreement, WrongFileError, compare, run_tflite
from trimgrid.tflite_model import LoadedModel, structure_of

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
            found = work.convert(request)
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


class _Work:
    """Converts one file after the other, and keeps the last model for files of its structure."""

    def __init__(self) -> None:
        self._structure = ""
        self._model: LoadedModel | None = None

    def convert(self, request: Mapping[str, Any]) -> Agreement:
        """Convert one file, check the result, and only then put it in its place."""
        scratch = Path(request["scratch_folder"])
        sys.path[:] = request["sys_path"]
        for module in request["modules"]:
            importlib.import_module(module)
        with np.load(scratch / "samples.npz", allow_pickle=False) as arrays:
            samples = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        model_file = Path(request["model_file"])
        structure = structure_of(model_file)
        model, self._model = self._model, None  # after a failure it is not used again
        if model is None or structure != self._structure or not model.load_weights(model_file):
            model = LoadedModel(model_file, scratch)
        converted = model.convert(samples, request["structure"])
        actual = run_tflite(converted.content, converted.inputs)
        agreement = compare(converted.expected, [actual[name] for name in converted.outputs])
        temporary = Path(request["temporary_file"])
        temporary.write_bytes(converted.content)
        os.replace(temporary, request["tflite_file"])
        if not request["modules"]:  # the user's own classes may remember earlier calls
            self._structure, self._model = structure, model
        return agreement


if __name__ == "__main__":
    main()
