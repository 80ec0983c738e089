"""The `.tflite` files of an attempt and of its original, made and timed beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimgrid.errors import RunError
from trimgrid.export.child_process import ConversionError
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.exported import Exported
from trimgrid.export.exporting import export_model
from trimgrid.export.formats import SPARSE, check_export
from trimgrid.export.samples import Samples
from trimgrid.export.sparse_pair import dense_and_sparse
from trimgrid.export.timing import check_seconds, time_files
from trimgrid.latency import SECONDS, Latency, TimedFile
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.models import load_saved
from trimgrid.randomness import isolated_randomness
from trimgrid.scratch import scratch_folder
from trimgrid.shrinking.shrunk import shrink_model

MEASURED = "dynamic"
"""How the `.tflite` that tables tell of is quantized."""


@dataclass(frozen=True)
class LatencyModel:
    """A model by its name and its `.keras` file, or a `reason` why there is no file.

    One that was `pruned` is timed sparse and shrunk too.
    """

    name: str
    file: Path | None
    pruned: bool
    reason: str = ""


def check_latency(quantize: str, seconds: float) -> None:
    """Raise `InputError` for a quantization that no `.tflite` has, and for a time that can't be.

    >>> check_latency("float16", 10)
    """
    check_seconds(seconds)
    check_export("model.tflite", quantize)


def measure_latency(
    models: Sequence[LatencyModel],
    quantize: str = "none",
    *,
    samples: Samples,
    seconds: float = SECONDS,
    error: ErrorMeasure | None = None,
) -> Latency:
    """Measure how long one inference takes in the `.tflite` files of some models.

    The first of `models` is what the others are compared with. Each has a file with int8 weights,
    the one that tables tell of, and one in `quantize`. Those that were pruned also have one that is
    stored sparsely, where `quantize` has it, and both without idle units, if there are any. Every
    file was run on the `samples` and compared with Keras before it is timed; `error` measures each
    there. What can't be had has its reason in the result.

    Raises `InputError` for a quantization or a time that can't be, and `RunError` if none of the
    files can be made, or LiteRT can't run them.
    """
    check_latency(quantize, seconds)
    kinds = list(dict.fromkeys([quantize, MEASURED]))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        children = ChildrenQueue(limit=1)
        stack.callback(children.close)
        children.start()
        maker = _Maker(folder, samples, children, error)
        for model in models:
            for kind in kinds:
                maker.make(model, kind)
            if model.pruned:
                maker.make_shrunk(model, kinds)
        files, paths = maker.by_quantization(kinds)
        if not paths:
            raise RunError(f"No file could be made to be timed: {files[0].reason}.")
        return time_files(files, paths, seconds)


class _Maker:
    """Makes the files, and keeps what there is of each: its facts and its path, or the reason."""

    def __init__(
        self,
        folder: Path,
        samples: Samples,
        children: ChildrenQueue,
        error: ErrorMeasure | None,
    ) -> None:
        self._folder = folder
        self._samples = samples
        self._children = children
        self._error = error
        self._made: list[tuple[TimedFile, Path | None]] = []

    def make(self, model: LatencyModel, quantize: str) -> None:
        """Make a model's dense file, and of a pruned one the sparse file beside it."""
        if model.file is None:
            self._left(model, quantize, "dense", model.reason)
            return
        if not model.pruned or quantize not in SPARSE:
            self._make_dense(model, quantize)
            return
        dense, sparse = self._new_path("dense"), self._new_path("sparse")
        try:
            exported = self._export(model, sparse, quantize, dense_file=dense)
        except ConversionError as error:
            self._make_dense(model, quantize)
            self._left(model, quantize, "sparse", error)
            return
        errors = exported.dense_error, exported.error
        files = dense_and_sparse(model.name, quantize, (dense, sparse), False, errors)
        self._made.append((files[0], dense))
        if exported.sparse:
            self._made.append((files[1], sparse))
        else:
            self._left(model, quantize, "sparse", "No tensor has so many zeros that it saves bytes")

    def make_shrunk(self, model: LatencyModel, kinds: Sequence[str]) -> None:
        """Make a model's files without its idle units, if it has any."""
        if model.file is None:
            return
        with isolated_randomness(0):
            shrunk = shrink_model(load_saved(model.file))
        if not shrunk.removed:
            why = shrunk.reason or "No unit could be left out"
            self._left(model, kinds[0], "shrunk", why)
            return
        for kind in kinds:
            path = self._new_path("shrunk")
            try:
                exported = self._export(model, path, kind, shrink=True)
            except ConversionError as error:
                self._left(model, kind, "shrunk", error)
            else:
                self._made.append((_timed(model, kind, "shrunk", exported), path))

    def by_quantization(self, kinds: Sequence[str]) -> tuple[list[TimedFile], list[Path]]:
        """All files in the order of their quantization, and the paths of those that are there."""
        ordered = sorted(self._made, key=lambda each: kinds.index(each[0].quantize))
        paths = [path for _, path in ordered if path is not None]
        return [file for file, _ in ordered], paths

    def _make_dense(self, model: LatencyModel, quantize: str) -> None:
        path = self._new_path("dense")
        try:
            exported = self._export(model, path, quantize)
        except ConversionError as error:
            self._left(model, quantize, "dense", error)
        else:
            self._made.append((_timed(model, quantize, "dense", exported), path))

    def _new_path(self, storage: str) -> Path:
        return self._folder / f"{storage}-{len(self._made)}.tflite"

    def _left(
        self, model: LatencyModel, quantize: str, storage: str, error: Exception | str
    ) -> None:
        reason = str(error).removesuffix("Nothing was written.").strip().removesuffix(".")
        self._made.append((TimedFile(model.name, quantize, storage, reason=reason), None))

    def _export(
        self,
        model: LatencyModel,
        path: Path,
        quantize: str,
        dense_file: Path | None = None,
        shrink: bool = False,
    ) -> Exported:
        assert model.file is not None
        return export_model(
            model.file,
            path,
            quantize,
            samples=self._samples,
            error=self._error,
            dense_file=dense_file,
            shrink=shrink,
            children=self._children,
        )


def _timed(model: LatencyModel, quantize: str, storage: str, exported: Exported) -> TimedFile:
    return TimedFile(model.name, quantize, storage, exported.size, error=exported.error)
