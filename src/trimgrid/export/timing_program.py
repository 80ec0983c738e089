"""The program that times `.tflite` files: `python -m trimgrid.export.timing_program`.

It reads one JSON object from stdin, what `trimgrid.export.timing` asks, and writes one to stdout.
It imports nothing but NumPy and LiteRT, so that no thread of another library runs beside.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Runs of a file in a round follow each other for so long at least: the clock and the change from
# one file to the next must not be felt.
_ROUND_SECONDS = 0.005
_WARM_SECONDS = 0.1
_LEAST_ROUNDS = 15  # whatever they take


def main() -> None:
    """Answer the one request."""
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what LiteRT prints must not get into the answer
    share = request["seconds"] / len(request["threads"])
    times = {
        str(threads): time_in_turns([_runner(file, threads) for file in request["files"]], share)
        for threads in request["threads"]
    }
    json.dump({"milliseconds": times}, answers)
    answers.close()


def time_in_turns(runs: Sequence[Callable[[], object]], seconds: float) -> list[list[float]]:
    """Return the milliseconds of one call of each, in each round: shape (runs, rounds).

    Each is warmed up. In a round all have their turn, forwards in one, backwards in the next, so
    that a machine that becomes slower or faster meanwhile is no advantage to any. The first call of
    a turn, in which the processor's caches still hold the one before, does not count.
    """
    calls = [_calls(run) for run in runs]
    turns = list(range(len(runs)))
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < _LEAST_ROUNDS or time.perf_counter() < end:
        for place in turns:
            run, count = runs[place], calls[place]
            run()
            started = time.perf_counter()
            for _ in range(count):
                run()
            times[place].append(1000 * (time.perf_counter() - started) / count)
        turns.reverse()
        rounds += 1
    return times


def _calls(run: Callable[[], object]) -> int:
    """Warm up; return how many calls fill a turn."""
    fastest = float("inf")
    end = time.perf_counter() + _WARM_SECONDS
    while fastest == float("inf") or time.perf_counter() < end:
        started = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - started)
    return max(1, math.ceil(_ROUND_SECONDS / max(fastest, 1e-9)))


def _runner(file: str, threads: int) -> Callable[[], object]:
    """Return what runs a file once, on random inputs: the time does not depend on their values."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=threads)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for each in interpreter.get_input_details():
        interpreter.set_tensor(each["index"], _values(each["shape"], each["dtype"], random))
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


def _values(shape: Any, dtype: Any, random: np.random.Generator) -> Any:
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(2, size=shape).astype(dtype)  # any embedding has rows 0 and 1


if __name__ == "__main__":
    main()
