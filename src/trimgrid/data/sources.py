"""What a training reads: arrays, or a stream of batches that is read anew in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.data.batches import Arrays, count_examples, epoch_order
from trimgrid.errors import InputError, RunError
from trimgrid.training import Training

Batch: TypeAlias = tuple[Any, ...]
"""(inputs, targets) or (inputs, targets, sample weights), each an array or a structure of them."""
Data: TypeAlias = Arrays | Iterable[Any] | Callable[[], Iterator[Any]]
"""Arrays, a `PyDataset`, a `tf.data.Dataset`, any iterable of batches, or a function that gives an
iterator of the batches of one epoch."""


@dataclass(frozen=True)
class Example:
    """The type and shape of an example; None for a size, or a shape, that is not that of all."""

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """Return what an example is in an array of them, [examples, ...]."""
        return cls(array.dtype, array.shape[1:])

    def joined(self, other: Example) -> Self:
        """Return what both are.

        >>> str(Example.of(np.zeros((5, 3, 2))).joined(Example.of(np.zeros((5, 4, 2)))))
        'float64 (None, 2)'
        """
        if self.shape is None or other.shape is None or len(self.shape) != len(other.shape):
            return replace(self, shape=None)
        pairs = zip(self.shape, other.shape, strict=True)
        return replace(self, shape=tuple(a if a == b else None for a, b in pairs))

    def __str__(self) -> str:
        return f"{self.dtype.name} {self.shape}"


class ArrayData:
    """Arrays, taken in batches in an order that depends on the seed and the epoch.

    `sizes` holds the number of examples of each batch of an epoch: the last may be smaller.

    >>> ArrayData((np.zeros((5, 2)), np.zeros(5)), batch_size=2).sizes
    (2, 2, 1)
    """

    def __init__(self, arrays: Batch, batch_size: int) -> None:
        self.arrays: Batch = keras.tree.map_structure(np.asarray, arrays)
        self.examples = count_examples(self.arrays)
        full, rest = divmod(self.examples, batch_size)
        self.sizes = (batch_size,) * full + ((rest,) if rest else ())

    @classmethod
    def of_stream(cls, stream: StreamData) -> ArrayData:
        """Hold all batches of a stream in memory; they keep their sizes."""
        batches = list(stream.epoch(None, 0))
        arrays = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        held = cls(arrays, max(stream.sizes))
        held.sizes = stream.sizes
        return held

    @property
    def layout(self) -> Any:
        """The structure of a batch with an `Example` in place of each array."""
        return keras.tree.map_structure(Example.of, self.arrays)

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        return sum(array.nbytes for array in keras.tree.flatten(self.arrays))

    def epoch(self, seed: int | None, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, from 0; with `seed=None` in the order of the arrays."""
        rows = np.arange(self.examples) if seed is None else epoch_order(self.examples, seed, epoch)
        start = 0
        for size in self.sizes:
            chosen = rows[start : start + size]
            yield keras.tree.map_structure(lambda array, at=chosen: array[at], self.arrays)
            start += size


class StreamData:
    """A stream of batches: their order and size are its own, it is read once an epoch.

    `sizes` holds the number of examples of each batch, `layout` the structure of a batch with an
    `Example` in place of each array, and `first_layout` that of the first batch alone; to find out
    the stream is read once.

    Raises `InputError` for an iterator that can be read only once, a stream without batches or
    without an end, and batches that are not (inputs, targets) or (inputs, targets, weights) or not
    of one structure.

    >>> def batches():
    ...     yield np.zeros((3, 2)), np.zeros(3)
    ...     yield np.zeros((1, 2)), np.zeros(1)
    >>> StreamData(batches, name="training data").sizes
    (3, 1)
    """

    def __init__(
        self, stream: Any, name: str, class_weight: Mapping[int, float] | None = None
    ) -> None:
        if isinstance(stream, Iterator):
            raise InputError(
                f"The {name} is read once an epoch, so it must start anew each time. Received: "
                f"{type(stream).__name__}, which can be read only once. Give the function that "
                "makes it."
            )
        if _endless(stream):
            raise InputError(
                f"The {name} must have an end: an epoch. Received: {type(stream).__name__}, "
                "which has none. Leave repeat() away, or use take(batches)."
            )
        self._stream = stream
        self._name = name
        self._class_weight = class_weight
        sizes = []
        self.layout: Any = None
        for batch in self._batches(self._open()):
            sizes.append(count_examples(batch))
            found = keras.tree.map_structure(Example.of, batch)
            if self.layout is None:
                self.layout = self.first_layout = found
            else:
                self.layout = self._joined(found)
        self.sizes: tuple[int, ...] = tuple(sizes)
        if not self.sizes:
            raise InputError(
                f"The {name} must have at least one batch. Received: {type(stream).__name__}, "
                "which ends at once. If it can be read only once, give the function that makes it."
            )

    @property
    def even(self) -> bool:
        """Whether examples have the same shape in all batches."""
        shapes = [each.shape for each in keras.tree.flatten(self.layout)]
        return not any(shape is None or None in shape for shape in shapes)

    @property
    def is_tf_data(self) -> bool:
        """Whether it is a `tf.data.Dataset`, which no other process can be given."""
        return hasattr(self._stream, "as_numpy_iterator")  # without importing TensorFlow

    def epoch(self, seed: int | None, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, in the stream's own order.

        Raises `RunError` if the batches are not those that were counted.
        """
        place = 0
        for batch in self._batches(self._open()):
            if self.sizes[place : place + 1] != (count_examples(batch),):
                raise self._changed(place, epoch)
            yield batch
            place += 1
        if place < len(self.sizes):
            raise self._changed(place, epoch)

    def _joined(self, found: Any) -> Any:
        """The layout of what was read before and of one batch more."""
        before, found = (keras.tree.lists_to_tuples(each) for each in (self.layout, found))
        try:
            return keras.tree.map_structure(Example.joined, before, found)
        except ValueError as error:
            raise InputError(
                f"All batches of the {self._name} must be of one structure. Received: "
                f"{keras.tree.map_structure(str, found)} after "
                f"{keras.tree.map_structure(str, before)}. Give each the same parts."
            ) from error

    def _changed(self, place: int, epoch: int) -> RunError:
        return RunError(
            f"The {self._name} changed: batch {place + 1} of epoch {epoch + 1} is not of the "
            "size that it had when the batches were counted."
        )

    def _open(self) -> Iterator[Any]:
        stream = self._stream
        if isinstance(stream, keras.utils.PyDataset):
            return self._indexed(stream)
        if self.is_tf_data:
            return iter(stream.as_numpy_iterator())
        return iter(stream() if callable(stream) else stream)

    @staticmethod
    def _indexed(dataset: keras.utils.PyDataset) -> Iterator[Any]:
        dataset.on_epoch_begin()
        for index in range(dataset.num_batches):
            yield dataset[index]
        dataset.on_epoch_end()

    def _batches(self, batches: Iterator[Any]) -> Iterator[Batch]:
        for batch in batches:
            if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
                raise InputError(
                    f"Each batch of the {self._name} must be (inputs, targets) or (inputs, "
                    f"targets, sample weights). Received: {type(batch).__name__}."
                )
            yield with_class_weights(
                tuple(keras.tree.map_structure(np.asarray, part) for part in batch),
                self._class_weight,
            )


def open_data(
    data: Data, training: Training, name: str, class_weight: bool = False
) -> ArrayData | StreamData:
    """Return what the engines read: a tuple is arrays, everything else a stream of batches.

    With `class_weight` the weights of the training's classes become sample weights.

    Raises `InputError` as `ArrayData` and `StreamData` do, and for an object that is neither.

    >>> open_data((np.zeros((5, 2)), np.zeros(5)), Training("mse", batch_size=4), "data").sizes
    (4, 1)
    """
    weights = training.class_weight if class_weight else None
    if isinstance(data, tuple):
        return ArrayData(with_class_weights(data, weights), training.batch_size)
    if not callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise InputError(
            f"The {name} must be a pair of inputs and targets, or a stream of batches. "
            f"Received: {type(data).__name__}. Give (x, y), a PyDataset or a tf.data.Dataset."
        )
    return StreamData(data, name, weights)


def with_class_weights(batch: Batch, class_weight: Mapping[int, float] | None) -> Batch:
    """Return (inputs, targets, sample weights), where an example weighs what its class does.

    Classes that `class_weight` does not name weigh 1. Targets are class numbers, of shape
    (examples,) or (examples, 1), or one-hot of shape (examples, classes). Without `class_weight`
    the batch is returned as it is.

    Raises `InputError` for targets of another shape, and where there are sample weights already.

    >>> x, y, weights = with_class_weights((np.zeros((3, 2)), np.array([0, 1, 1])), {1: 2.0})
    >>> weights.tolist()
    [1.0, 2.0, 2.0]
    """
    if class_weight is None:
        return batch
    if len(batch) == 3:
        raise InputError(
            "Examples are weighted by their class or one by one, not both. Received: class_weight "
            "and sample weights. Leave one of them away."
        )
    labels = batch[1] if keras.tree.is_nested(batch[1]) else np.asarray(batch[1])
    if not isinstance(labels, np.ndarray) or labels.ndim not in (1, 2):
        shape = labels.shape if isinstance(labels, np.ndarray) else type(labels).__name__
        raise InputError(
            "Class weights need targets that are class numbers or one-hot. "
            f"Received: {shape}. Give sample weights instead: (x, y, weights)."
        )
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else np.argmax(labels, axis=1)
    weights: NDArray[np.float32] = np.ones(len(labels), np.float32)
    for label, weight in class_weight.items():
        weights[np.round(labels) == label] = weight
    return (*batch, weights)


def _endless(stream: Any) -> bool:
    if isinstance(stream, keras.utils.PyDataset):
        return stream.num_batches is None
    cardinality = getattr(stream, "cardinality", None)  # of a tf.data.Dataset; -1 is infinite
    if cardinality is None:
        return False
    return int(cardinality()) == -1
