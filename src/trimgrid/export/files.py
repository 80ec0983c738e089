"""A Keras model as `.h5` and `.keras` files without optimizer state, and what they weigh."""

from __future__ import annotations

import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimgrid.atomic import replacing
from trimgrid.errors import InputError, naming
from trimgrid.export.saved_layout import SavedLayout
from trimgrid.legacy.notices import without_notices
from trimgrid.models import copy_model
from trimgrid.scratch import scratch_folder
from trimgrid.sizes import FileSize, fixed_member, measure_file

_DATE_SAVED = "1980-01-01@00:00:00"  # in the format that Keras writes
_WEIGHTS = "model.weights.h5"  # the name of the weights in a `.keras` file
# Up to this many bytes of weights a file is made from an earlier one: above it Keras' share of the
# time is small against writing and deflating, and two more files in memory would be felt.
_LAYOUTS_UP_TO = 2**24


@dataclass(frozen=True)
class ModelSizes:
    """The sizes of a model's two Keras files, both without optimizer state."""

    h5: FileSize
    keras: FileSize


def write_h5(model: Any, path: str | Path) -> None:
    """Write the model as a legacy HDF5 file without optimizer state.

    The file is made from an uncompiled copy: `include_optimizer=False` alone would still leave
    the compile settings of the caller's model in it. The model itself is not changed, and the file
    appears only when it is complete.

    Raises `InputError` if the name does not end in `.h5` or the model can't be copied.

    >>> import keras, tempfile
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_h5(model, Path(folder, "model.h5"))
    ...     keras.saving.load_model(Path(folder, "model.h5")).count_params()
    2
    """
    _write(_save_h5, model, _checked(path, ".h5"))


def write_keras(model: Any, path: str | Path) -> None:
    """Write the model as a `.keras` file without optimizer state, the same bytes every time.

    Keras puts the time of saving into the file, and memory addresses as the ids of objects that
    occur twice. Here the time is fixed and the ids count from 1; `keras.saving.load_model`
    with `safe_mode=True` reads the file like any other.

    Raises `InputError` if the name does not end in `.keras` or the model can't be copied.

    >>> import keras, tempfile
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Path(folder, "first.keras"), Path(folder, "second.keras")
    ...     write_keras(model, first)
    ...     write_keras(model, second)
    ...     first.read_bytes() == second.read_bytes()
    True
    """
    _write(save_keras, model, _checked(path, ".keras"))


def measure_model(model: Any, folder: str | Path | None = None) -> ModelSizes:
    """Write the model's `.h5` and `.keras` files and measure them.

    They are written as `model.h5` and `model.keras` into `folder` and stay there; without one they
    go to a temporary folder.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> sizes = measure_model(model)
    >>> sizes.h5.zipped < sizes.h5.plain
    True
    """
    if folder is None:
        with scratch_folder() as temporary:
            return measure_model(model, temporary)
    copy = copy_model(model)
    h5, native = Path(folder, "model.h5"), Path(folder, "model.keras")
    with naming(h5):
        _save_h5(copy, h5)
    with naming(native):
        save_keras(copy, native)
    return _sizes(h5, native)


class ModelWriter:
    """Writes and measures many models of one structure: the same one with other weights.

    The files are, to the byte, those of `write_h5` and `write_keras` for a model with these
    weights. Keras saves a few of them at the start; after that the weights are put into those
    files, which takes a tenth of the time. Where that would not give the same bytes, because a
    layer saves its weights in a form of its own, and for models above 16 MiB, Keras saves each.

    The model must be built; it is copied and stays as it is. Raises `InputError` if it can't be
    copied.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> writer = ModelWriter(model)
    >>> writer.measure(model.get_weights()) == measure_model(model)
    True
    """

    def __init__(self, model: Any) -> None:
        self._copy = copy_model(model)
        self._like: list[NDArray[Any]] = self._copy.get_weights()
        self._h5: SavedLayout | None = None
        self._keras: SavedLayout | None = None
        self._members: dict[str, bytes] = {}
        if sum(array.nbytes for array in self._like) <= _LAYOUTS_UP_TO:
            with scratch_folder() as folder:
                self._find_layouts(folder)

    def measure(self, weights: Sequence[ArrayLike], folder: str | Path | None = None) -> ModelSizes:
        """Write the model with these weights as `measure_model` does, and measure the files.

        `weights` are arrays in the order and with the shapes of `model.get_weights()`. Without a
        folder the files go to a temporary one.

        Raises `InputError` for weights of other shapes, `OSError`, which names the file, for a full
        disk.
        """
        if folder is None:
            with scratch_folder() as temporary:
                return self.measure(weights, temporary)
        arrays = self._checked(weights)
        if self._h5 is None or self._keras is None:
            self._copy.set_weights(arrays)
        h5, native = Path(folder, "model.h5"), Path(folder, "model.keras")
        with naming(h5):
            if self._h5 is None:
                _save_h5(self._copy, h5)
            else:
                h5.write_bytes(self._h5.write(arrays))
        with naming(native):
            if self._keras is None:
                save_keras(self._copy, native)
            else:
                _write_archive({**self._members, _WEIGHTS: self._keras.write(arrays)}, native)
        return _sizes(h5, native)

    def _checked(self, weights: Sequence[ArrayLike]) -> list[NDArray[Any]]:
        arrays = [np.asarray(weight) for weight in weights]
        wanted, shapes = ([list(a.shape) for a in each] for each in (self._like, arrays))
        if wanted != shapes:
            raise InputError(
                f"Weights must have the shapes of the model's: {wanted}. Received: {shapes}. "
                "Give them in the order of model.get_weights()."
            )
        return arrays

    def _find_layouts(self, folder: Path) -> None:
        saved: list[dict[str, bytes]] = []

        def save_h5(weights: Sequence[NDArray[Any]]) -> bytes:
            self._copy.set_weights(weights)
            return _h5_content(self._copy)

        def save_keras(weights: Sequence[NDArray[Any]]) -> bytes:
            self._copy.set_weights(weights)
            self._copy.save(folder / "model.keras")
            members = _fixed_members(folder / "model.keras")
            saved.append({**members, _WEIGHTS: b""})
            return members[_WEIGHTS]

        self._h5 = SavedLayout.find(save_h5, self._like)
        layout = SavedLayout.find(save_keras, self._like)
        if layout is not None and saved[0] == saved[1]:  # or a config holds some of the weights
            self._keras, self._members = layout, saved[0]


def _sizes(h5: Path, native: Path) -> ModelSizes:
    return ModelSizes(measure_file(h5, h5.name), measure_file(native, native.name))


def _checked(path: str | Path, suffix: str) -> Path:
    path = Path(path)
    if path.suffix != suffix:
        raise InputError(
            f"The file name must end in {suffix}. Received: path={str(path)!r}. Rename the file."
        )
    return path


def _write(save: Callable[[Any, Path], None], model: Any, path: Path) -> None:
    with replacing(path) as unfinished:
        save(copy_model(model), unfinished)


class _H5InMemory(h5py.File):  # type: ignore[misc]
    """An HDF5 file in memory, which has the name by which Keras tells the format."""

    def __init__(self) -> None:
        super().__init__("model.h5", "w", driver="core", backing_store=False)

    def __str__(self) -> str:
        return "model.h5"


def _save_h5(copy: Any, path: Path) -> None:
    path.write_bytes(_h5_content(copy))


def _h5_content(copy: Any) -> bytes:
    # In memory, because HDF5 itself raises errors of all kinds on a full disk, some of them after
    # the file is closed, and even ends the process.
    with _without_legacy_notice(), _H5InMemory() as file:
        copy.save(file, include_optimizer=False)
        file.flush()
        content: bytes = file.id.get_file_image()
    return content


@contextmanager
def _without_legacy_notice() -> Iterator[None]:
    """Hold back Keras' advice to prefer `.keras`: .h5 is asked for.

    Keras 3 gives it to absl's logger, `tf_keras` as a warning.
    """
    advice = "saving your model as an HDF5 file"

    def wanted(record: logging.LogRecord) -> bool:
        return advice not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(wanted)
    try:
        with without_notices(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f"You are {advice}")
            yield
    finally:
        logger.removeFilter(wanted)


def save_keras(copy: Any, path: Path) -> None:
    """Write what `write_keras` writes, of a model that needs no copy: it was never compiled."""
    copy.save(path)
    _write_archive(_fixed_members(path), path)


def _fixed_members(path: Path) -> dict[str, bytes]:
    """Read the members of a `.keras` file, without the time and the memory addresses in them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({**metadata, "date_saved": _DATE_SAVED}).encode()
    config = _number_shared_objects(json.loads(members["config.json"]), {})
    members["config.json"] = json.dumps(config).encode()
    return members


def _write_archive(members: dict[str, bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():  # stored, not deflated, as Keras does it
            archive.writestr(fixed_member(name, zipfile.ZIP_STORED), data)


def _number_shared_objects(node: Any, numbers: dict[int, int]) -> Any:
    """Replace the ids of shared objects, which are memory addresses, by 1, 2, ... as they occur."""
    if isinstance(node, list):
        return [_number_shared_objects(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: numbers.setdefault(value, len(numbers) + 1)
        if key == "shared_object_id"
        else _number_shared_objects(value, numbers)
        for key, value in node.items()
    }
