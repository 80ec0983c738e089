"""Whole commands in a cold process: wall time, and peak memory with all child processes.

Cold means a new process, with the packages installed, their byte code compiled and their files
read before by a first run that is not counted, and without JAX's cache of compiled programs on
disk. "Second run" has that cache, from a run that is not counted.
Examples 1 and 2 also run by the article's method with TFMOT, side by side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.grid_training import FRESH
from benchmarks.memory import SAMPLE_SECONDS, PeakMemory
from benchmarks.peers.environment import TFMOT_ENVIRONMENT, tfmot_article, tfmot_python
from benchmarks.quiet import Quiet, watched
from benchmarks.reporting import Requirement, Row, Study

_RESULTS = 12
_SECOND = ", second run"
_PEER = "article's method with TFMOT, "
# Times faster than the article's script, from start to end.
_FASTER = {"mlp": 6, "lstm": 10}


@dataclass(frozen=True)
class Command:
    """What is run, how often, and in what environment besides this process's own."""

    name: str
    arguments: tuple[str, ...]
    runs: int
    environment: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True


@dataclass(frozen=True)
class Run:
    """What one run took; `predicting` is the part of TFMOT's seconds spent on forecasts."""

    seconds: float
    peak_bytes: int
    predicting: float | None


def measure(quick: bool, peer_cache: Path) -> Study:
    """Run every command several times in turns, so that none has the quiet hours for itself."""
    commands = _commands(quick, tfmot_python(peer_cache))
    quiet = Quiet(patience=0 if quick else 2400, tries=1)
    found: dict[str, list[tuple[Run, float]]] = {each.name: [] for each in commands}
    if not quick:
        for command in commands:
            # What the disk reads for the first time is not ours; a second run has a cache.
            if command is commands[0] or command.name.endswith(_SECOND):
                run(command)
    for turn in range(max(command.runs for command in commands)):
        for command in commands:
            if turn < command.runs:
                found[command.name].append(quiet.measure(partial(watched, partial(run, command))))
    rows = [_row(name, runs) for name, runs in found.items()]
    settings = {
        "sampled_every_s": SAMPLE_SECONDS,
        "memory": "sum of resident sizes",
        "quiet": quiet.note(),
    }
    return Study("Whole commands, cold processes", settings, rows, _requirements(found))


def _row(name: str, runs: list[tuple[Run, float]]) -> Row:
    times = [each.seconds for each, _ in runs]
    predicting = [each.predicting for each, _ in runs if each.predicting is not None]
    return {
        "command": name,
        "runs": len(runs),
        "median_s": median(times),
        "fastest_s": min(times),
        "slowest_s": max(times),
        "of_it_predicting_s": median(predicting) if predicting else None,
        "peak_gb": max(each.peak_bytes for each, _ in runs) / 1e9,
        "others_used_cores": max(others for _, others in runs),
    }


def _requirements(found: dict[str, list[tuple[Run, float]]]) -> list[Requirement]:
    def seconds(name: str) -> float:
        return median(each.seconds for each, _ in found[name])

    mlp = "trimgrid example mlp"
    peak = max(each.peak_bytes for each, _ in found[mlp]) / 1e9
    faster = [
        Requirement(
            f"{example}: times faster than the article's script",
            seconds(_PEER + example) / seconds(f"trimgrid example {example}"),
            least,
            at_least=True,
        )
        for example, least in _FASTER.items()
    ]
    return [*faster, Requirement(f"{mlp}: peak GB, child included", peak, 2)]


def _commands(quick: bool, tfmot: Path) -> list[Command]:
    short = ("--epochs", "2") if quick else ()
    trimgrid = str(Path(sys.executable).with_name("trimgrid"))

    def ours(arguments: str, runs: int, second: bool = False) -> Command:
        parts = (trimgrid, "example", *arguments.split(), *short)
        name = f"trimgrid example {arguments}{_SECOND if second else ''}"
        return Command(name, parts, 1 if quick else runs, {} if second else FRESH)

    def peer(example: str, runs: int) -> Command:
        parts = tfmot_article(tfmot, example, *short, *(("--forecast", "5") if quick else ()))
        return Command(_PEER + example, parts, 1 if quick else runs, TFMOT_ENVIRONMENT, ours=False)

    return [
        ours("mlp", 5),
        ours("mlp", 5, second=True),
        peer("mlp", 3),
        ours("lstm", 5),
        ours("lstm", 5, second=True),
        peer("lstm", 1),
        ours("cnn --data mnist", 1),
    ]


def run(command: Command) -> Run:
    """Run a command in an empty folder and measure it.

    Raises `RuntimeError` if it fails, or if a run of ours leaves an attempt out.
    """
    inherited = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        start = perf_counter()
        process = subprocess.Popen(
            command.arguments,
            cwd=folder,
            env={**inherited, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with PeakMemory(process.pid) as memory:
            code = process.wait()
            seconds = perf_counter() - start
        output.seek(0)
        said = output.read().decode(errors="replace")
        if code != 0:
            raise RuntimeError(f"{command.name} ended with exit code {code}: {said[-2000:]}")
        if command.ours:
            _check_results(command.name, Path(folder))
            return Run(seconds, memory.bytes, None)
        parts = json.loads(said.splitlines()[-1])["seconds"]
        return Run(seconds, memory.bytes, parts["predicting"])


def _check_results(name: str, folder: Path) -> None:
    [path] = folder.glob("runs/*/results.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    if len(results) != _RESULTS or any(each["status"] != "ok" for each in results):
        raise RuntimeError(f"{name} did not finish: {[each['status'] for each in results]}")
