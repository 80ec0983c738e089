"""`.tflite` files timed in LiteRT, in a process of their own."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from trimgrid.cores import usable_cores
from trimgrid.errors import InputError, RunError
from trimgrid.export.child_process import child_environment
from trimgrid.latency import SECONDS, Latency, TimedFile, with_times

# Over what was asked for: imports, warming up, and the least number of rounds of slow files.
_TIMEOUT = 3600.0


def check_seconds(seconds: float) -> None:
    """Raise `InputError` unless it is a time for which files can be measured.

    >>> check_seconds(0)
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: Files must be timed for more than 0 seconds, at most 3600. \
Received: seconds=0. Give for example 10.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
        raise InputError(
            "Files must be timed for more than 0 seconds, at most 3600. "
            f"Received: seconds={seconds!r}. Give for example 10."
        )


def time_files(
    files: Sequence[TimedFile], paths: Sequence[Path], seconds: float = SECONDS
) -> Latency:
    """Time some `.tflite` files in turns, on one thread and on all cores; return what came out.

    `paths`: the file of each of `files` that has no reason, in this order. A run is one inference
    of what the file takes, a batch of one, in LiteRT's interpreter, without setting its inputs.
    Every file is warmed up; then rounds follow, in which each is run for at least 5 ms, for about
    `seconds` in all: at least 15 for each number of threads, whatever they take.

    Raises `RunError` if LiteRT can't run a file, dies, or takes too long.
    """
    check_seconds(seconds)
    threads = sorted({1, usable_cores()})
    request = {"files": [str(path) for path in paths], "threads": threads, "seconds": seconds}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "trimgrid.export.timing_program"],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=child_environment(),
            timeout=seconds + _TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"The files could not be timed within {seconds + _TIMEOUT:g} seconds."
        ) from error
    if done.returncode != 0:
        raise RunError(f"The files could not be timed: {_reason(done)}")
    answer = json.loads(done.stdout)["milliseconds"]
    milliseconds = {int(count): times for count, times in answer.items()}
    return Latency(
        with_times(files, milliseconds),
        tuple(threads),
        min(len(times[0]) for times in milliseconds.values()),
        f"LiteRT {version('ai-edge-litert')}",
        f"{_processor()}, {usable_cores()} cores",
    )


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        names = {each.value: each.name for each in signal.Signals}
        number = -done.returncode
        return f"LiteRT died of {names.get(number, f'signal {number}')}."
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit code {done.returncode}."


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
