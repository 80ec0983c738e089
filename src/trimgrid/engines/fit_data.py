"""Data as `model.fit` takes it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import keras

from trimgrid.data.sources import ArrayData, Batch, Example, StreamData
from trimgrid.engines.even_batches import AS_THEY_ARE, EvenBatches
from trimgrid.errors import InputError, RunError

_AHEAD = 2
"""Batches that TensorFlow reads while it trains on one."""


def without_end(
    data: ArrayData | StreamData,
    seed: int,
    failures: list[RunError],
    epoch: int = 0,
    skip: int = 0,
    even: EvenBatches = AS_THEY_ARE,
) -> Iterator[Batch]:
    """The batches of one epoch after the other: `steps_per_epoch` says where an epoch ends.

    They begin with `epoch`, and in it after `skip` batches, and are filled up as `even` says.

    Not a `PyDataset` that shuffles in `on_epoch_end`: Keras calls that before the first epoch too,
    and TensorFlow reads ahead of it. A failure is noted: TensorFlow makes another error of it.
    """
    while True:
        try:
            for batch in islice(data.epoch(seed, epoch), skip, None):
                yield _tuples(even.fill(batch))
        except RunError as error:
            failures.append(error)
            raise
        epoch, skip = epoch + 1, 0


def for_training(
    data: ArrayData | StreamData,
    seed: int,
    failures: list[RunError],
    epoch: int,
    skip: int,
    even: EvenBatches,
) -> Any:
    """`without_end` as `model.fit` of Keras' backend takes it.

    A `tf.data.Dataset` for TensorFlow: the one that Keras makes of a generator tunes itself, and
    its tuner sleeps ever longer between two looks, up to a minute. Where it is let go before its
    end, as one without an end always is, `fit` often waits until the tuner wakes.

    Raises `InputError`, on TensorFlow, for examples that have not the same number of axes.
    """
    batches = partial(without_end, data, seed, failures, epoch, skip, even)
    if keras.config.backend() != "tensorflow":
        return batches()
    import tensorflow as tf

    def spec(example: Example) -> Any:
        if example.shape is None:
            raise InputError(
                "On TensorFlow examples must have as many axes in all batches of a stream. "
                f"Received: {keras.tree.map_structure(str, data.layout)}. "
                "Give each the same axes, or set KERAS_BACKEND=jax."
            )
        return tf.TensorSpec((None, *example.shape), tf.as_dtype(example.dtype))

    signature = _tuples(keras.tree.map_structure(spec, data.layout))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(_AHEAD).with_options(options)


def for_validation(validation: ArrayData | StreamData | None, even: EvenBatches) -> Any:
    """Validation data as `model.fit` takes it: arrays, or batches in memory."""
    if validation is None:
        return None
    if isinstance(validation, ArrayData) and not even.filled:
        return validation.arrays
    return _Held([even.fill(batch) for batch in validation.epoch(None, 0)])


class _Held(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches in memory. Keras reads the first ones of a generator again at each validation."""

    def __init__(self, batches: list[Batch]) -> None:
        super().__init__()
        self._batches = batches

    @property
    def num_batches(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return _tuples(self._batches[index])


def _tuples(batch: Batch) -> Batch:
    """The batch with tuples in place of lists, which TensorFlow takes for tensors."""
    tuples: Batch = keras.tree.lists_to_tuples(batch)
    return tuples
