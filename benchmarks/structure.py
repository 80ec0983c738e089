"""What it is worth to prune half of a small CNN's filters: bytes and time in LiteRT, once shrunk.

A study prunes whole units by their L2 norm, to half of them in each layer but the last. The files
of the attempt, with its zeros and without the filters that are zero, are timed in turns with those
of the unpruned network: see `Latency` in docs/measuring.md. The images are random: what is learned
is nothing to the time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid import AttemptConfig, PolynomialDecay
from trimgrid import Study as PruningStudy
from trimgrid.latency import Latency, TimedFile

_SECONDS = 10.0
_KINDS = {"none": "float32", "dynamic": "int8 weights", "int8": "int8"}
_NAME = "half of the filters"


def small_cnn() -> Any:
    """Three convolutions and a dense layer over 32x32 images, of 321,290 weights."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def measure(quick: bool, peer_cache: Path) -> Study:
    """Prune, shrink and time the network as float32, with int8 weights, and in int8."""
    quiet = Quiet(patience=120, tries=2)
    random = np.random.default_rng(0)
    data = random.random((256, 32, 32, 3), "float32"), random.integers(0, 10, 256)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="trimgrid-structure-") as folder:
        study = PruningStudy(
            small_cnn(), data, test=data, loss="sparse_categorical_crossentropy", epochs=2
        )
        schedule = PolynomialDecay(0.0, 0.5, end_step=8, frequency=4)
        attempt = study.run(
            [AttemptConfig(_NAME, schedule, structure="units")], folder, tflite=False
        )[_NAME]
        seconds = 1.0 if quick else _SECONDS
        for quantize in ("none", "int8"):
            found = quiet.measure(lambda kind=quantize: attempt.measure_latency(kind, seconds))  # type: ignore[misc]
            rows += _rows(found, [quantize] if rows else [quantize, "dynamic"])
    return Study(
        title="One inference in LiteRT of a small CNN without half of its filters and units: "
        "median milliseconds, and shares of the unpruned network's time and bytes",
        settings={"seconds": _SECONDS, "quiet": quiet.note()},
        rows=rows,
        requirements=requirements(rows),
    )


def requirements(rows: Sequence[Row]) -> list[Requirement]:
    """Return the bounds of the shrunk files: 60 % of the bytes, 1.7 times as fast on one thread."""
    found = []
    for row in rows:
        if row["storage"] == "shrunk" and row["threads"] == 1:
            what = f"{row['weights']}, without half of its filters, share of the"
            found.append(Requirement(f"{what} bytes", float(row["share of the bytes"] or 1), 0.6))
            found.append(Requirement(f"{what} time", float(row["high"] or 1), 1 / 1.7))
    return found


def _rows(latency: Latency, kinds: Sequence[str]) -> list[Row]:
    unpruned = {file.quantize: file for file in latency.files if file.model != _NAME}
    return [
        _row(file, unpruned[file.quantize], threads)
        for file in latency.files
        for threads in latency.threads
        if file.model == _NAME and file.milliseconds and file.quantize in kinds
    ]


def _row(file: TimedFile, other: TimedFile, threads: int) -> Row:
    assert file.size is not None
    assert other.size is not None
    ratio = file.ratios[threads]
    return {
        "weights": _KINDS[file.quantize],
        "storage": file.storage,
        "threads": threads,
        "bytes": file.size.plain,
        "unpruned, bytes": other.size.plain,
        "share of the bytes": file.size.plain / other.size.plain,
        "ms": file.milliseconds[threads].median,
        "unpruned, ms": other.milliseconds[threads].median,
        "share of the time": ratio.median,
        "low": ratio.low,
        "high": ratio.high,
    }
