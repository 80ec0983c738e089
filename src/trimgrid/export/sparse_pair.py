"""A `.tflite` that is stored sparsely beside the same file stored densely: which one to ship."""

from __future__ import annotations

import shutil
from pathlib import Path

from trimgrid.export.timing import time_files
from trimgrid.latency import Latency, TimedFile
from trimgrid.sizes import measure_file


def settle(
    name: str, quantize: str, dense: Path, sparse: Path, shrunk: bool, seconds: float
) -> tuple[bool, Latency | None]:
    """Return whether the sparse file is smaller, and the times of both if it is.

    Where it is not, the dense file is put in its place. `name`: the model's; `shrunk`: whether it
    is one without idle units. Nothing is timed for 0 seconds.
    """
    if sparse.stat().st_size >= dense.stat().st_size:
        shutil.copyfile(dense, sparse)
        return False, None
    if not seconds:
        return True, None
    files = dense_and_sparse(name, quantize, (dense, sparse), shrunk)
    return True, time_files(files, [dense, sparse], seconds)


def dense_and_sparse(
    name: str,
    quantize: str,
    paths: tuple[Path, Path],
    shrunk: bool,
    errors: tuple[float | None, float | None] = (None, None),
) -> list[TimedFile]:
    """Return what is known of a model's dense and sparse `.tflite` before they are timed."""
    storages = ("shrunk", "shrunk, sparse") if shrunk else ("dense", "sparse")
    return [
        TimedFile(name, quantize, storage, measure_file(path, "model.tflite"), error=error)
        for storage, path, error in zip(storages, paths, errors, strict=True)
    ]
