"""Whole commands in a cold process: wall time, and peak memory with all child processes.

Cold means a new process, with the packages installed, their byte code compiled and their files
read before by a first run that is not counted. Memory is the sum of the resident sizes of the
process and its descendants, sampled: pages that two of them share count twice, so it errs upwards.
The first example also runs by the article's method with TFMOT, side by side.
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

import psutil

from benchmarks.peers.environment import tfmot_python
from benchmarks.quiet import Quiet, watched
from benchmarks.reporting import Requirement, Row, Study

_SAMPLE_SECONDS = 0.05
_ATTEMPTS = 12
_MLP = "trimgrid example mlp"


@dataclass(frozen=True)
class Command:
    """What is run, how often, and in what environment besides this process's own."""

    name: str
    arguments: tuple[str, ...]
    runs: int
    environment: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True


def measure(quick: bool, peer_cache: Path) -> Study:
    """Run every command several times in turns, so that none has the quiet hours for itself."""
    commands = _commands(quick, tfmot_python(peer_cache))
    quiet = Quiet(patience=0 if quick else 1200, tries=1)
    found: dict[str, list[tuple[float, float, float]]] = {each.name: [] for each in commands}
    if not quick:
        run(commands[0])  # what the disk has to read for the first time is not ours
    for turn in range(max(command.runs for command in commands)):
        for command in commands:
            if turn < command.runs:
                (seconds, peak), others = quiet.measure(partial(watched, partial(run, command)))
                found[command.name].append((seconds, peak, others))
    rows: list[Row] = []
    for name, runs in found.items():
        times, peaks, others_cores = zip(*runs, strict=True)
        rows.append(
            {
                "command": name,
                "runs": len(runs),
                "median_s": median(times),
                "fastest_s": min(times),
                "slowest_s": max(times),
                "peak_gb": max(peaks) / 1e9,
                "others_used_cores": max(others_cores),
            }
        )
    mlp = found[_MLP]
    requirements = [
        Requirement(f"{_MLP}: seconds", median(each[0] for each in mlp), 40),
        Requirement(f"{_MLP}: peak GB, child included", max(each[1] for each in mlp) / 1e9, 2),
    ]
    settings = {
        "sampled_every_s": _SAMPLE_SECONDS,
        "memory": "sum of resident sizes",
        "quiet": quiet.note(),
    }
    return Study("Whole commands, cold processes", settings, rows, requirements)


def _commands(quick: bool, tfmot: Path) -> list[Command]:
    short = ("--epochs", "2") if quick else ()
    trimgrid = str(Path(sys.executable).with_name("trimgrid"))

    def ours(arguments: str, runs: int) -> Command:
        parts = (trimgrid, "example", *arguments.split(), *short)
        return Command(f"trimgrid example {arguments}", parts, 1 if quick else runs)

    script = str(Path(__file__).with_name("peers") / "tfmot_mlp.py")
    peer = Command(
        "article's method with TFMOT, mlp",
        (str(tfmot), script, *short),
        1,
        {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        ours=False,
    )
    return [ours("mlp", 3), peer, ours("lstm", 1), ours("cnn --data mnist", 1)]


def run(command: Command) -> tuple[float, float]:
    """Run a command in an empty folder; return its seconds and the peak of its memory in bytes.

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
        peak = 0
        while True:
            peak = max(peak, _tree_bytes(process.pid))
            try:
                code = process.wait(_SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        seconds = perf_counter() - start
        if code != 0:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command.name} ended with exit code {code}: {said}")
        if command.ours:
            _check_results(command.name, Path(folder))
    return seconds, peak


def _tree_bytes(pid: int) -> int:
    total = 0
    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look
    return total


def _check_results(name: str, folder: Path) -> None:
    [path] = folder.glob("runs/*/results.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    if len(results) != _ATTEMPTS or any(each["status"] != "ok" for each in results):
        raise RuntimeError(f"{name} did not finish: {[each['status'] for each in results]}")
