"""Run directories made by hand: with any names and figures, and no training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimgrid import __version__
from trimgrid.export.samples import write_samples
from trimgrid.latency import Latency, TimedFile, with_times
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import result_dict
from trimgrid.run_directory.details import Details, Histogram, TensorSummary
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import Results, load_results
from trimgrid.shrunk_info import ShrunkInfo
from trimgrid.sizes import FileSize

ORIGINAL = "original (unpruned)"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "long " * 40,
    "\N{ROCKET}\N{FAMILY} emoji \N{SNOWFLAKE}\N{VARIATION SELECTOR-16}",
    "שלום עולם",
    '=HYPERLINK("http://example.com","click")',
    "$x^2$ <b>bold</b> &amp; {{ 7 * 7 }}",
    "%{y} ${alert(1)} `x` ' \\ </textarea>",
]


@dataclass(frozen=True)
class Made:
    """An attempt to be made: what it weighs (bytes of the zipped .tflite) and its error."""

    name: str
    size: int | None
    error: float
    status: str = "ok"
    errors: tuple[float, ...] = ()
    weights: int = 1000
    zeros: int = 500


TABLE = [
    Made(ORIGINAL, 1000, 0.1, zeros=0),
    Made("half", 600, 0.104),
    Made("most", 300, 0.11, zeros=900),
    Made("worse", 700, 0.2),
]


def settings(**more: Any) -> dict[str, Any]:
    """The settings of a run, those of a study in short."""
    known = {
        "model": {"digest": "5f0c5f0c"},
        "data": {"train": None, "validation": None, "test": {"digest": "abc"}},
        "training": {
            "loss": {"kind": "loss", "loss": "mse"},
            "optimizer": "adam",
            "epochs": 3,
            "batch_size": 32,
            "seed": 0,
        },
        "pretrain_epochs": 0,
        "error_name": "loss: mse",
        "repeats": 1,
        "engine": "vectorized",
        "backend": "jax",
        "platform": "cpu",
        "versions": {"trimgrid": __version__, "keras": "3.15.1", "jax": "0.10.2"},
    }
    return {**known, **more}


def make_run(
    folder: Path,
    made: Sequence[Made] = TABLE,
    *,
    unfinished: Sequence[str] = (),
    predictions: Mapping[str, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    detailed: bool = True,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run directory with these attempts, the original first, and return it.

    `predictions` are those of attempts by their names, `test` the inputs and targets of the test
    data, `more` settings in place of the usual ones. `detailed`: whether histories and details are
    there.
    """
    names = [*(each.name for each in made), *unfinished]
    planned = [Planned(f"{place:x}", name, _config(place)) for place, name in enumerate(names)]
    about = {
        "created": "2026-01-02T03:04:05+00:00",
        "command": "trimgrid run --model m.keras",
        "machine": "Linux",
        "cores": 2,
        "python": "3.11.7",
        "numpy": "2.4.6",
    }
    with RunDirectory(folder, settings(**(more or {})), about) as run:
        run.plan(planned)
        if test is not None:
            write_samples(
                run.samples, train_inputs=test[0], test_inputs=test[0], test_targets=test[1]
            )
        for each, attempt in zip(planned, made, strict=False):
            if detailed:
                _write_details(run, each, attempt)
            if predictions is not None and attempt.name in predictions:
                run.write_predictions(each.id, predictions[attempt.name])
            path = run.attempt_folder(each.id)
            run.finish(each.id, result_dict(path, each.id, info_of(attempt), seeds=[0]))
    return folder


def stored(
    folder: Path,
    infos: Sequence[AttemptInfo],
    unfinished: Sequence[str] = (),
    error_name: str = "loss: mse",
) -> Results:
    """Write a run directory with these results and nothing else, and read it."""
    names = [*(info.name for info in infos), *unfinished]
    planned = [Planned(f"{place:04x}", name, {}) for place, name in enumerate(names)]
    with RunDirectory(folder, {"error_name": error_name}, {}) as run:
        run.plan(planned)
        for each, info in zip(planned, infos, strict=False):
            path = run.attempt_folder(each.id)
            run.finish(each.id, result_dict(path, each.id, info, seeds=[0]))
    return load_results(folder)


def make_large_run(folder: Path, attempts: int = 999) -> Path:
    """Write a run with many attempts, each with repeats, curves and predictions."""
    random = np.random.default_rng(1)
    x = np.linspace(0, 1, 60)[:, None]
    made = [Made(ORIGINAL, 50_000, 0.1, zeros=0)]
    for place in range(1, attempts + 1):
        share = random.random()
        error = 0.07 + 0.1 * random.random() * math.exp(3 * share - 1)
        size = int(50_000 * (1 - share)) + 100
        errors = (0.9 * error, error, 1.2 * error)
        zeros = int(900 * share)
        made.append(Made(f"attempt {place}", size, error, errors=errors, zeros=zeros))
    return make_run(folder, made, test=(x, x**2), predictions={each.name: x for each in made})


def info_of(made: Made) -> AttemptInfo:
    """The measurements of an attempt: the other sizes go with the zipped .tflite's."""
    size = made.size
    zipped_h5 = None if size is None else 2 * size
    return AttemptInfo(
        *(made.name, made.weights, made.weights - made.zeros, made.zeros),
        None if size is None else 8000,
        zipped_h5,
        None if size is None else 4000,
        size,
        None,
        made.error,
        keras_size=None if size is None else 8100,
        zipped_keras_size=None if size is None else 2 * size + 50,
        status=made.status,
        errors=made.errors,
    )


SHRUNK = ShrunkInfo(
    total_weights=400,
    nonzero_weights=350,
    removed={"dense": 6},
    left={"out": "1 idle unit stays: they are outputs of the model."},
    error=0.104,
    h5_size=2000,
    zipped_h5_size=700,
    keras_size=2100,
    zipped_keras_size=750,
    tflite_size=1000,
    zipped_tflite_size=250,
)
"""What is left of an attempt of `TABLE` without its idle units."""


def latency_of(
    rounds: dict[str, Any], model: str = "half", threads: tuple[int, ...] = (1, 2)
) -> Latency:
    """An original in float32 at 1 ms, and files of `model` by their storage, in the same rounds."""
    files = [TimedFile("original", "none", "dense", FileSize(4000, 3000))]
    files += [TimedFile(model, "none", storage, FileSize(4000, 900)) for storage in rounds]
    times = [np.ones(20), *(np.broadcast_to(each, 20) for each in rounds.values())]
    timed = with_times(files, dict.fromkeys(threads, times))
    return Latency(timed, threads, 20, "LiteRT 2.3.0", "A processor, 2 cores")


def _config(place: int) -> dict[str, Any]:
    if place == 0:
        return {"original": True}
    schedule = {"class": "ConstantSparsity", "target_sparsity": 0.5, "plan": "0123"}
    return {"schedule": schedule, "learning_rate": None, "optimizer": None, "seed": place}


def _write_details(run: RunDirectory, planned: Planned, made: Made) -> None:
    curve = [made.error * (1 + 1 / epoch) for epoch in (1, 2, 3)]
    columns: dict[str, list[float]] = {
        "seed": [0] * 3,
        "epoch": [1, 2, 3],
        "loss": curve,
        "val_loss": curve[::-1],
    }
    run.write_history(planned.id, columns)
    kernel = TensorSummary("dense/kernel", (10, 90), 900, made.zeros, None)
    bias = TensorSummary("dense/bias", (100,), 100, 0, "bias")
    weights = np.random.default_rng(len(made.name)).normal(size=made.weights - made.zeros)
    updates = () if planned.config.get("original") else ((0, 0.5), (100, 0.5))
    run.write_details(planned.id, Details((kernel, bias), Histogram.of([weights]), 300, updates))
