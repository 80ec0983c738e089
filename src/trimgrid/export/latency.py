"""The `.tflite` files of an attempt and of its original, made and timed beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimgrid.errors import RunError
from trimgrid.export.child_process import ConversionError
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.exporting import Exported, export_model
from trimgrid.export.formats import SPARSE, check_export
from trimgrid.export.samples import Samples
from trimgrid.export.timing import SECONDS, check_seconds, time_files
from trimgrid.latency import Latency, TimedFile
from trimgrid.scratch import scratch_folder
from trimgrid.sizes import measure_file

MEASURED = "dynamic"
"""How the `.tflite` that tables tell of is quantized."""

# For how long an export and the dense file beside it are timed.
_EXPORT_SECONDS = 2.0


@dataclass(frozen=True)
class LatencyModel:
    """A model by its name and its `.keras` file."""

    name: str
    file: Path


def measure_latency(
    models: Sequence[LatencyModel],
    quantize: str = "none",
    *,
    samples: Samples,
    seconds: float = SECONDS,
) -> Latency:
    """Measure how long one inference takes in the `.tflite` files of some models.

    The first of `models` is what the others are compared with. Each has a file with int8 weights,
    the one that tables tell of, and one in `quantize`; all but the first also have one that is
    stored sparsely, where `quantize` has it, and both without idle units, if there are any. Every
    file was run on the `samples` and compared with Keras before it is timed. What can't be had has
    its reason in the result.

    Raises `InputError` for a quantization or a time that can't be, and `RunError` if none of the
    files can be made, or LiteRT can't run them.
    """
    check_seconds(seconds)
    kinds = list(dict.fromkeys([quantize, MEASURED]))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        for kind in kinds:
            check_export(folder / "model.tflite", kind)
        children = ChildrenQueue(limit=1)
        stack.callback(children.close)
        children.start()
        maker = _Maker(folder, samples, children)
        for place, model in enumerate(models):
            for kind in kinds:
                maker.make(model, kind, sparse=place > 0 and kind in SPARSE)
            if place > 0:
                maker.make_shrunk(model, kinds)
        files, paths = maker.by_quantization(kinds)
        if not paths:
            raise RunError(f"No file could be made to be timed: {files[0].reason}.")
        return time_files(files, paths, seconds)


def with_latency(exported: Exported, dense_file: Path, name: str) -> Exported:
    """Return an export that is stored sparsely with its time beside that of the dense file."""
    paths = [dense_file, exported.path]
    sizes = [measure_file(dense_file, "model.tflite"), exported.size]
    files = [
        TimedFile(name, exported.quantize, storage, size)
        for storage, size in zip(("dense", "sparse"), sizes, strict=True)
    ]
    return replace(exported, latency=time_files(files, paths, _EXPORT_SECONDS))


class _Maker:
    """Makes the files, and keeps what there is of each: its facts and its path, or the reason."""

    def __init__(self, folder: Path, samples: Samples, children: ChildrenQueue) -> None:
        self._folder = folder
        self._samples = samples
        self._children = children
        self._made: list[tuple[TimedFile, Path | None]] = []

    def make(self, model: LatencyModel, quantize: str, sparse: bool) -> None:
        """Make a model's dense file, and with `sparse` the other beside it."""
        name = f"{len(self._made)}.tflite"
        dense, other = self._folder / f"dense-{name}", self._folder / f"sparse-{name}"
        if sparse:
            try:
                exported = self._export(model, other, quantize, dense)
            except ConversionError as error:
                self._make_dense(model, quantize, dense)
                self._left(model, quantize, "sparse", error)
            else:
                size = measure_file(dense, "model.tflite")
                self._made.append((TimedFile(model.name, quantize, "dense", size), dense))
                size = exported.size
                self._made.append((TimedFile(model.name, quantize, "sparse", size), other))
        else:
            self._make_dense(model, quantize, dense)

    def make_shrunk(self, model: LatencyModel, kinds: Sequence[str]) -> None:
        """Make a model's files without its idle units, if it has any."""
        for kind in kinds:
            path = self._folder / f"shrunk-{len(self._made)}.tflite"
            try:
                exported = self._export(model, path, kind, shrink=True)
            except ConversionError as error:
                self._left(model, kind, "shrunk", error)
                continue
            assert exported.shrunk is not None
            if not exported.shrunk["removed"]:
                why = exported.shrunk["reason"] or "No unit is without use that could be left out."
                self._left(model, kind, "shrunk", why)
                return
            self._made.append((TimedFile(model.name, kind, "shrunk", exported.size), path))

    def by_quantization(self, kinds: Sequence[str]) -> tuple[list[TimedFile], list[Path]]:
        """All files in the order of their quantization, and the paths of those that are there."""
        ordered = sorted(self._made, key=lambda each: kinds.index(each[0].quantize))
        paths = [path for _, path in ordered if path is not None]
        return [file for file, _ in ordered], paths

    def _make_dense(self, model: LatencyModel, quantize: str, path: Path) -> None:
        try:
            size = self._export(model, path, quantize).size
        except ConversionError as error:
            self._left(model, quantize, "dense", error)
        else:
            self._made.append((TimedFile(model.name, quantize, "dense", size), path))

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
        return export_model(
            model.file,
            path,
            quantize,
            samples=self._samples,
            dense_file=dense_file,
            shrink=shrink,
            children=self._children,
        )
