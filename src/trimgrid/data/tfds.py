"""Data of TensorFlow Datasets, as arrays in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from trimgrid.data.batches import Arrays
from trimgrid.errors import InputError, first_line
from trimgrid.optional import optional_modules

PREFIX = "tfds:"
# A version such as :3.0.1 belongs to the name; a split such as train[:80%] has colons of its own.
_SOURCE = re.compile(r"tfds:(?P<name>[^:]+(?::[\d*]+(?:\.[\d*]+)+)?)(?::(?P<split>.+))?")


def read_tfds(source: str, wanted: str, also: Sequence[str], notes: list[str]) -> dict[str, Arrays]:
    """Return (x, y) of a split of "tfds:NAME" or "tfds:NAME:SPLIT", and of others that there are.

    `wanted` and `also` are "train", "validation" or "test"; with a split in the source the wanted
    data is that split, such as "train[:80%]", and there is no other. The data is downloaded and
    prepared by TFDS if it was not yet. Images in bytes become float32 from 0 to 255, unscaled:
    `notes` gets a line on that.

    Raises `InputError` if TFDS is missing, knows no such data set or split, can't download it, and
    for examples that are no (x, y) or of different shapes.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise InputError(
            f'Data of TFDS must be "tfds:NAME" or "tfds:NAME:SPLIT". Received: {source!r}. '
            'Give for example "tfds:mnist" or "tfds:mnist:train[:80%]".'
        )
    builder = _prepared(source, match["name"])
    there = list(builder.info.splits)
    if match["split"] is None:
        if there and wanted not in there:
            raise InputError(
                f"{source!r} must have the split {wanted!r}. Received: the splits "
                f"{', '.join(there)}. Name one, or a part of it: {source}:{there[0]}[:20%]."
            )
        chosen = {split: split for split in (wanted, *also) if split == wanted or split in there}
    else:
        chosen = {wanted: match["split"]}
    return {split: _arrays(builder, source, part, notes) for split, part in chosen.items()}


def _prepared(source: str, name: str) -> Any:
    (tfds,) = optional_modules(
        f"The data {source!r}", "examples", "tensorflow-datasets", "tensorflow_datasets"
    )
    try:
        builder = tfds.builder(name)
        builder.download_and_prepare()
    except Exception as error:  # TFDS, its file systems and its downloader raise of all kinds
        raise InputError(
            "Data of TFDS must be a data set that it knows, on this machine or in reach. "
            f"Received: {source!r}: {type(error).__name__}: {first_line(error)} "
            "Check the name, or give arrays."
        ) from error
    return builder


def _arrays(builder: Any, source: str, split: str, notes: list[str]) -> Arrays:
    try:
        dataset = builder.as_dataset(split=split, as_supervised=True, shuffle_files=False)
        examples = dataset.as_numpy_iterator()
        count = int(dataset.cardinality())
        first = next(examples, None)
    except Exception as error:  # an unknown split, no (x, y), files that are damaged
        raise InputError(
            "Data of TFDS must have the split, and examples of inputs and targets. "
            f"Received: {source!r}, split {split!r}: {first_line(error)} "
            f"The splits are: {', '.join(builder.info.splits)}."
        ) from error
    if first is None:
        raise InputError(f"A split must have examples. Received: {source!r}, split {split!r}.")

    def room(value: Any) -> Any:
        value = np.asarray(value)
        if value.dtype.kind not in "biuf":
            held = "text" if value.dtype.kind in "OSU" else value.dtype
            raise InputError(
                f"Data of TFDS must be numbers. Received: {source!r} with {held}. "
                "Make numbers of it first, and give arrays or a tf.data.Dataset."
            )
        image = value.dtype == np.uint8 and value.ndim >= 2
        return np.empty((count, *value.shape), np.float32 if image else value.dtype)

    def fill(place: int, example: Any) -> None:
        for array, value in zip(flat, keras.tree.flatten(example), strict=True):
            if np.shape(value) != array.shape[1:]:
                raise InputError(
                    "Examples in arrays must have one shape. Received: "
                    f"{source!r} with {array.shape[1:]} and {np.shape(value)}. "
                    "Give a tf.data.Dataset that resizes them and makes batches."
                )
            array[place] = value

    arrays: Arrays = keras.tree.map_structure(room, first)
    flat = keras.tree.flatten(arrays)
    fill(0, first)
    for place, example in enumerate(examples, 1):
        fill(place, example)
    types = [np.asarray(value).dtype for value in keras.tree.flatten(first)]
    if types != [array.dtype for array in flat]:
        notes.append(f"{source}: the images are float32 from 0 to 255, not scaled")
    return arrays
