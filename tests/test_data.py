"""What a training reads: arrays in the order of a seed, streams of every kind, class weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.data.batches import count_examples, epoch_order
from trimgrid.data.sources import ArrayData, StreamData, open_data, with_class_weights
from trimgrid.errors import InputError, RunError
from trimgrid.training import Training

X = np.arange(20.0, dtype="float32").reshape(10, 2)
Y = np.arange(10)
BATCHES = [(X[:4], Y[:4]), (X[4:8], Y[4:8]), (X[8:], Y[8:])]
TRAINING = Training("mse", batch_size=4)


class Dataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches by their place; counts the epochs that began and ended."""

    def __init__(self) -> None:
        super().__init__()
        self.began = self.ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return BATCHES[index]

    def on_epoch_begin(self) -> None:
        """Count."""
        self.began += 1

    def on_epoch_end(self) -> None:
        """Count."""
        self.ended += 1


class NoLength(keras.utils.PyDataset):  # type: ignore[misc]
    """Tells its length in the newer way."""

    def __init__(self, batches: int | None) -> None:
        super().__init__()
        self.batches = batches

    @property
    def num_batches(self) -> int | None:
        """The number of batches, None without an end."""
        return self.batches

    def __getitem__(self, index: int) -> Any:
        return BATCHES[index % 3]


def function() -> Iterator[Any]:
    yield from BATCHES


def tf_dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


@pytest.mark.parametrize(
    "make",
    [lambda: function, lambda: BATCHES, lambda: list(map(list, BATCHES)), Dataset, tf_dataset,
     lambda: NoLength(3)],
    ids=["function", "list", "lists", "PyDataset", "tf.data", "num_batches"],
)  # fmt: skip
def test_streams(make: Any) -> None:
    stream = open_data(make(), TRAINING, "training data")
    assert isinstance(stream, StreamData)
    assert stream.sizes == (4, 4, 2)
    for epoch in range(3):
        found = list(stream.epoch(None, epoch))
        for (x, y), (wanted_x, wanted_y) in zip(found, BATCHES, strict=True):
            assert isinstance(x, np.ndarray)
            np.testing.assert_array_equal(x, wanted_x)
            np.testing.assert_array_equal(y, wanted_y)
    held = ArrayData.of_stream(stream)
    assert held.sizes == (4, 4, 2)
    np.testing.assert_array_equal(held.arrays[0], X)
    np.testing.assert_array_equal(held.arrays[1], Y)


def test_a_dataset_is_told_where_epochs_begin_and_end() -> None:
    dataset = Dataset()
    stream = StreamData(dataset, "data")
    assert (dataset.began, dataset.ended) == (1, 1)
    list(stream.epoch(None, 0))
    assert (dataset.began, dataset.ended) == (2, 2)


def test_structures_and_weights_in_batches() -> None:
    def weighted() -> Iterator[Any]:
        yield {"a": X, "b": [X, X]}, Y, Y / 10

    (batch,) = StreamData(weighted, "data").epoch(None, 0)
    assert len(batch) == 3
    np.testing.assert_array_equal(batch[0]["b"][1], X)
    held = ArrayData.of_stream(StreamData(weighted, "data"))
    np.testing.assert_array_equal(held.arrays[0]["a"], X)
    with pytest.raises(InputError, match="not both"):
        open_data(weighted, Training("mse", class_weight={1: 2.0}), "data", class_weight=True)


def test_class_weights_in_batches() -> None:
    training = Training("mse", class_weight={0: 5.0, 9: 0.5})
    stream = open_data(function, training, "data", class_weight=True)
    weights = [batch[2].tolist() for batch in stream.epoch(None, 0)]
    assert weights == [[5, 1, 1, 1], [1, 1, 1, 1], [1, 0.5]]
    assert all(len(batch) == 2 for batch in open_data(function, training, "data").epoch(None, 0))


def endless() -> Any:
    return tf_dataset().repeat()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iter(BATCHES), "must start anew each time. Received: list_iterator"),
        (function, "must start anew each time. Received: generator"),
        (lambda: map(tuple, BATCHES), "must start anew each time. Received: map"),
        (endless, "must have an end"),
        (lambda: NoLength(None), "must have an end"),
        (list, "at least one batch. Received: list"),
        (lambda: lambda: iter(()), "at least one batch. Received: function"),
        (lambda: [X, X], r"must be \(inputs, targets\) or .*Received: ndarray"),
        (lambda: [(X,)], r"must be \(inputs, targets\)"),
        (lambda: [(X, Y, Y, Y)], r"must be \(inputs, targets\)"),
        (lambda: [(X, Y[:3])], r"same number of rows.*\(10, 2\), \(3,\)"),
        (lambda: [BATCHES[0], (X[:0], Y[:0])], "at least one"),
        (lambda: 7, "pair of inputs and targets, or a stream of batches. Received: int"),
        (lambda: None, "Received: NoneType"),
    ],
)
def test_what_is_no_stream(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_data(make(), TRAINING, "training data")
    if "rows" not in message and "at least one" not in message:
        assert "training data" in str(caught.value)


@pytest.mark.parametrize(
    ("then", "place"),
    [
        (BATCHES[:2], 3),
        ([*BATCHES, BATCHES[0]], 4),
        ([BATCHES[0], BATCHES[2], BATCHES[1]], 2),
        ([], 1),
    ],
)
def test_a_stream_that_changes(then: list[Any], place: int) -> None:
    batches = list(BATCHES)
    stream = StreamData(lambda: iter(batches), "training data")
    list(stream.epoch(None, 0))
    batches[:] = then
    message = f"The training data changed: batch {place} of epoch 2 is not of the size"
    with pytest.raises(RunError, match=message):
        list(stream.epoch(None, 1))


def test_arrays_in_the_order_of_a_seed() -> None:
    data = open_data(({"a": X}, Y, Y / 10), TRAINING, "data")
    assert isinstance(data, ArrayData)
    assert data.sizes == (4, 4, 2)
    assert data.nbytes == X.nbytes + Y.nbytes + 80
    orders = []
    for epoch in range(2):
        batches = list(data.epoch(3, epoch))
        assert [len(batch[1]) for batch in batches] == [4, 4, 2]
        for batch in batches:
            np.testing.assert_array_equal(batch[0]["a"], X[batch[1]])
            np.testing.assert_array_equal(batch[2], batch[1] / 10)
        orders.append(np.concatenate([batch[1] for batch in batches]).tolist())
        assert orders[epoch] == epoch_order(10, 3, epoch).tolist()
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == Y.tolist()
    assert np.concatenate([batch[1] for batch in data.epoch(None, 5)]).tolist() == Y.tolist()
    assert ArrayData((X, Y), 10).sizes == (10,)
    assert ArrayData((X, Y), 99).sizes == (10,)
    assert ArrayData((X, Y), 3).sizes == (3, 3, 3, 1)


@pytest.mark.parametrize(
    "targets",
    [
        np.array([0, 1, 2, 1]),
        np.array([[0.0], [1.0], [2.0], [1.0]]),
        np.eye(3)[[0, 1, 2, 1]],
    ],
)
def test_class_weights(targets: Any) -> None:
    batch = with_class_weights((X[:4], targets), {1: 3.0, 2: 0.0, 8: 9.0})
    assert batch[2].dtype == np.float32
    assert batch[2].tolist() == [1, 3, 0, 3]
    assert with_class_weights((X, Y), None) == (X, Y)


@pytest.mark.parametrize(
    "targets", [np.zeros((4, 2, 2)), {"a": np.zeros(4)}, [np.zeros(4), np.zeros(4)], np.float32(1)]
)
def test_class_weights_need_classes(targets: Any) -> None:
    with pytest.raises(InputError, match="class numbers or one-hot"):
        with_class_weights((X[:4], targets), {1: 3.0})


def test_counting_examples() -> None:
    assert count_examples(({"a": X, "b": [X, Y]}, Y)) == 10
    for data in ((X, Y[:9]), (X[:0], Y[:0]), (X, 3), ()):
        with pytest.raises(InputError, match="same number of rows, and at least one"):
            count_examples(data)


@pytest.mark.parametrize(
    ("shapes", "layout", "even"),
    [
        ([(4, 3, 2), (2, 3, 2)], "float32 (3, 2)", True),
        ([(4, 3, 2), (4, 3, 2), (4, 5, 2)], "float32 (None, 2)", False),
        ([(4, 3, 2), (4, 5, 2), (4, 3, 1), (4, 3, 2)], "float32 (None, None)", False),
        ([(4, 3, 2), (4, 3)], "float32 None", False),
        ([(4,), (4, 3), (4,)], "float32 None", False),
    ],
)
def test_the_layout_of_a_stream_is_that_of_all_batches(
    shapes: list[tuple[int, ...]], layout: str, even: bool
) -> None:
    batches = [(np.zeros(shape, "float32"), np.zeros(shape[0], "int8")) for shape in shapes]
    stream = StreamData(batches, "data")
    assert [str(each) for each in stream.layout] == [layout, "int8 ()"]
    assert str(stream.first_layout[0]) == f"float32 {shapes[0][1:]}"
    assert stream.even is even


def test_batches_of_a_stream_have_one_structure() -> None:
    x, y = np.zeros((4, 2), "float32"), np.zeros(4, "int8")
    assert StreamData([([x, x], y), ((x, x), y)], "data").sizes == (4, 4), "lists are as tuples"
    message = r"data must be of one structure.*'int8 \(\)', 'int8 \(\)'\) after \("
    with pytest.raises(InputError, match=message):
        StreamData([(x, y), (x, y, y)], "data")
    with pytest.raises(InputError, match="one structure"):
        StreamData([({"a": x}, y), ({"b": x}, y)], "data")
