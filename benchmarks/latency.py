"""How long one inference takes in LiteRT: dense, sparse and shrunk, by the share of zeros.

The networks have random weights of which the smallest are zero: what they learned is nothing to the
time. "Half of the units": every other unit or filter of all layers but the last is zero, as after
pruning whole units. Each network's files are timed in turns with those of the unpruned one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from trimgrid.examples.cnn import build_model as article_cnn
from trimgrid.export.files import write_keras
from trimgrid.export.latency import LatencyModel, measure_latency
from trimgrid.export.samples import Samples
from trimgrid.latency import Latency, TimedFile
from trimgrid.masks import magnitude_mask
from trimgrid.prunable import prunable_variables

SPARSITIES = (0.5, 0.9, 0.98)
_SECONDS = 10.0
_HALF = "half of the units"


def lenet() -> Any:
    """LeNet-300-100, of 266,610 weights."""
    dense = [layers.Dense(300, "relu"), layers.Dense(100, "relu"), layers.Dense(10)]
    return keras.Sequential([keras.Input((784,)), *dense])


def pointwise() -> Any:
    """A network of 1x1 convolutions, as those of MobileNet."""
    convolutions = [layers.Conv2D(128, 1, activation="relu") for _ in range(3)]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(5)]
    return keras.Sequential([keras.Input((32, 32, 64)), *convolutions, *head])


MODELS: dict[str, Callable[[], Any]] = {
    "LeNet-300-100": lenet,
    "the article's CNN": article_cnn,
    "1x1 convolutions": pointwise,
}


def measure(quick: bool, peer_cache: Path) -> Study:
    """Measure three networks with 50, 90 and 98 % zeros, and without half of their units."""
    quiet = Quiet()
    rows: list[Row] = []
    cases: list[float | str] = [*((0.9,) if quick else SPARSITIES), _HALF]
    for name, build in [*MODELS.items()][: 1 if quick else None]:
        for zeros in cases:
            latency = quiet.measure(lambda build=build, zeros=zeros: _time(build, zeros, quick))  # type: ignore[misc]
            rows += _rows(name, zeros, latency)
    return Study(
        title="One inference in LiteRT, a batch of one: median milliseconds, and shares of the "
        "unpruned network's time",
        settings={"seconds": _SECONDS, "quiet": quiet.note()},
        rows=rows,
        requirements=requirements(rows),
    )


def requirements(rows: Sequence[Row]) -> list[Requirement]:
    """Return the bounds of networks without half of their units, in float32 on one thread."""
    wanted = (_HALF, "float32, shrunk", 1)
    found = []
    for row in rows:
        if (row["zeros"], row["file"], row["threads"]) == wanted:
            what = f"{row['network']} without half of its units, share of the"
            size = float(row["bytes"] or 0) / float(row["unpruned, bytes"] or 1)
            found.append(Requirement(f"{what} bytes", size, 0.6))
            found.append(Requirement(f"{what} time", float(row["high"] or 0), 1 / 1.7))
    return found


def _time(build: Callable[[], Any], zeros: float | str, quick: bool) -> Latency:
    keras.utils.set_random_seed(0)
    model = build()
    rows = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
    with tempfile.TemporaryDirectory(prefix="trimgrid-latency-") as folder:
        files = [Path(folder, name) for name in ("all.keras", "pruned.keras")]
        write_keras(model, files[0])
        _without_half(model) if isinstance(zeros, str) else _prune(model, zeros)
        write_keras(model, files[1])
        models = [LatencyModel(each.stem, each, each.stem == "pruned") for each in files]
        samples = Samples(rows, rows, model.predict(rows, verbose=0), 8, 8)
        return measure_latency(models, samples=samples, seconds=1.0 if quick else _SECONDS)


def _prune(model: Any, sparsity: float) -> None:
    for each in prunable_variables(model.variables):
        if each.reason is None:
            kernel = keras.ops.convert_to_numpy(each.variable)
            each.variable.assign(kernel * magnitude_mask(kernel, sparsity))


def _without_half(model: Any) -> None:
    for layer in model.layers[:-1]:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * (np.arange(bias.size) % 2), bias])


def _rows(name: str, zeros: float | str, latency: Latency) -> list[Row]:
    unpruned = {file.quantize: file for file in latency.files if file.model == "all"}
    return [
        _row(name, zeros, file, unpruned[file.quantize], threads)
        for file in latency.files
        for threads in latency.threads
        if file.model == "pruned" and file.milliseconds
    ]


def _row(
    name: str, zeros: float | str, file: TimedFile, other: TimedFile, threads: int
) -> dict[str, str | float | None]:
    assert file.size is not None
    assert other.size is not None
    ratio = file.ratios[threads]
    return {
        "network": name,
        "zeros": zeros if isinstance(zeros, str) else f"{100 * zeros:g} %",
        "file": f"{'float32' if file.quantize == 'none' else 'int8 weights'}, {file.storage}",
        "threads": threads,
        "bytes": file.size.plain,
        "zipped": file.size.zipped,
        "unpruned, bytes": other.size.plain,
        "ms": file.milliseconds[threads].median,
        "unpruned, ms": other.milliseconds[threads].median,
        "share of the time": ratio.median,
        "low": ratio.low,
        "high": ratio.high,
    }
