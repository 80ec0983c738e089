"""The data of a study, wherever it lies: what trains, what watches the training, what tests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras

from trimgrid.data.npz import read_npz
from trimgrid.data.sources import ArrayData, Data, StreamData
from trimgrid.data.tfds import PREFIX, read_tfds
from trimgrid.digests import array_digest
from trimgrid.errors import InputError

Source: TypeAlias = Data | str | os.PathLike[str]
"""Arrays (x, y) or (x, y, weights), a stream of batches, a .npz file, or "tfds:NAME"."""


@dataclass(frozen=True)
class Splits:
    """Data as `open_data` takes it: arrays or streams; None where there is none.

    `notes`: what the user should know of how it was read, a line each.
    """

    train: Data
    validation: Data | None
    test: Data | None
    notes: tuple[str, ...] = ()


def open_splits(
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
) -> Splits:
    """Return the data to train with, to watch the training and to test, each from its source.

    A source is a tuple of arrays (x, y) or (x, y, weights), where x and y may be dicts or lists of
    arrays, or a stream of batches (a `PyDataset`, a `tf.data.Dataset`, an iterable, or a function
    that gives an iterator): both are passed on as they are. Or it is the path of a .npz file (see
    `read_npz`), or "tfds:NAME" or "tfds:NAME:SPLIT" of TensorFlow Datasets (see `read_tfds`), which
    are read into memory. Images of TFDS are not scaled, which is among the `notes`.

    Where `train` is a file or a data set that holds the other splits too, it gives those that are
    None.

    Raises `InputError` for files and data sets that can't be read or have not what they should.

    >>> import numpy as np
    >>> splits = open_splits((np.zeros((8, 2)), np.zeros(8)))
    >>> splits.train[0].shape, splits.test
    ((8, 2), None)
    """
    given = {"train": train, "validation": validation, "test": test}
    also = [name for name, source in given.items() if source is None]
    notes: list[str] = []
    found: dict[str, Data] = _resolve(train, "train", also, notes)
    for name, source in given.items():
        if name != "train" and source is not None:
            found |= _resolve(source, name, (), notes)
    told = tuple(dict.fromkeys(notes))  # of a data set that gave several splits once
    return Splits(found["train"], found.get("validation"), found.get("test"), told)


def _resolve(source: Any, wanted: str, also: Sequence[str], notes: list[str]) -> dict[str, Data]:
    if not isinstance(source, str | os.PathLike):
        return {wanted: source}
    text = os.fspath(source)
    if text.startswith(PREFIX):
        return dict(read_tfds(text, wanted, also, notes))
    if Path(text).suffix == ".npz":
        return dict(read_npz(Path(text).expanduser(), wanted, also))
    raise InputError(
        f"The {wanted} data must be arrays, a stream of batches, a .npz file or "
        f'"tfds:NAME". Received: {text!r}. Save it with numpy.savez, or load it and give the '
        "arrays."
    )


def data_digest(opened: ArrayData | StreamData) -> str:
    """Return what tells data from other data, as a SHA-256 in hexadecimal digits.

    Of arrays it covers every value, the types and shapes. Of a stream, which may come in another
    order each time, it covers only the sizes of the batches, and the types and shapes of examples:
    a stream whose values change keeps its digest.

    >>> import numpy as np
    >>> one, other = (ArrayData((np.full((4, 1), k), np.zeros(4)), 2) for k in (1, 2))
    >>> data_digest(one) == data_digest(other)
    False
    """
    if isinstance(opened, ArrayData):
        # A stream that was read into memory keeps the sizes of its batches.
        return _sha256(["arrays", array_digest(opened.arrays), list(opened.sizes)])
    return _sha256(
        ["stream", list(opened.sizes), keras.tree.map_structure(str, opened.first_layout)]
    )


def _sha256(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
