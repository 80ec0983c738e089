"""Data from arrays, streams, .npz files and TensorFlow Datasets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from trimgrid.data.sources import ArrayData, StreamData, open_data
from trimgrid.data.splits import Splits, data_digest, open_splits
from trimgrid.errors import InputError
from trimgrid.training import Training

X, Y, W = np.arange(12.0).reshape(6, 2), np.arange(6), np.ones(6, "float32")
ALL = {"x_train": X, "y_train": Y, "x_val": X[:3], "y_val": Y[:3], "x_test": X[:2], "y_test": Y[:2]}
NONE = dict.fromkeys(("train", "validation", "test"))


def save(folder: Path, arrays: dict[str, Any], name: str = "data.npz") -> Path:
    path = folder / name
    np.savez_compressed(path, **arrays)
    return path


def same(found: Any, expected: Any) -> None:
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def batches() -> Iterator[Any]:
    yield X, Y


@pytest.mark.parametrize(
    "source",
    [(X, Y), (X, Y, W), ({"a": X, "b": X}, [Y, Y]), batches, [(X, Y)],
     tf.data.Dataset.from_tensors((X, Y))],
)  # fmt: skip
def test_arrays_and_streams_stay_as_they_are(source: Any) -> None:
    splits = open_splits(source, source, source)
    assert splits.train is splits.validation is splits.test is source
    assert open_splits(source) == Splits(source, None, None)


@pytest.mark.parametrize("as_path", [Path, str])
def test_a_file_with_all_splits(as_path: Callable[[Path], Any], tmp_path: Path) -> None:
    path = as_path(save(tmp_path, ALL))
    splits = open_splits(path)
    same(splits.train, (X, Y))
    same(splits.validation, (X[:3], Y[:3]))
    same(splits.test, (X[:2], Y[:2]))
    given = open_splits(path, validation=(X, Y), test=path)
    same(given.validation, (X, Y))
    same(given.test, (X[:2], Y[:2]))
    same(open_splits((X, Y), validation=path).validation, (X[:3], Y[:3]))


@pytest.mark.parametrize(
    ("arrays", "train"),
    [
        ({"x": X, "y": Y}, (X, Y)),
        ({"x": X, "y": Y, "w": W}, (X, Y, W)),
        ({"y_train": Y, "w_train": W, "x_train": X}, (X, Y, W)),
        (
            {"x/left": X, "x/right/far": X[:, :1], "y": Y},
            ({"left": X, "right/far": X[:, :1]}, Y),
        ),
        (
            {"x_train": X, "y_train/a": Y, "y_train/b": X, "w_train/a": W, "w_train/b": W},
            (X, {"a": Y, "b": X}, {"a": W, "b": W}),
        ),
    ],
)
def test_files_of_one_split(arrays: dict[str, Any], train: Any, tmp_path: Path) -> None:
    splits = open_splits(save(tmp_path, arrays))
    same(splits.train, train)
    assert (splits.validation, splits.test) == (None, None)


def test_plain_names_are_the_split_that_is_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path, {"x": X, "y": Y})
    same(open_splits((X[:2], Y[:2]), test=path).test, (X, Y))
    same(open_splits((X, Y), save(tmp_path, {"x_validation": X, "y_validation": Y})).validation,
         (X, Y))  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"without train data; it holds: nothing\."),
        ({"x_train": X}, r"x_train, y_train and if need be w_train.*without y of the train data"),
        ({"images": X, "labels": Y}, r"with 'images'; it holds: images, labels\."),
        ({"x_trian": X, "y_train": Y}, r"with 'x_trian'; it holds: x_trian, y_train\."),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y}, r"with 'x_test'; it holds"),
        ({"x_test": X, "y_test": Y}, r"without train data; it holds: x_test, y_test"),
        ({**ALL, "x_validation": X}, r"with two meanings of x"),
        ({"x": X, "x/a": X, "y": Y}, r"with two meanings of x"),
        ({"x_train": X, "y_train": Y, "x_test": X}, r"without y of the test data"),
        (
            {"x": np.array([[1], [1, 2]], object), "y": Y[:2]},
            r"Received: Python objects in 'x' of .*never loaded",
        ),
    ],
)
def test_files_that_hold_something_else(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save(tmp_path, arrays)
    with pytest.raises(InputError, match=message) as caught:
        open_splits(path)
    assert str(path) in str(caught.value)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def spoil(content: bytes) -> bytes:
    """Change bytes of the first array; the list at the end stays."""
    start = content.index(b"x_train.npy") + 40
    return content[:start] + bytes(20) + content[start + 20 :]


def in_directory(place: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change what the list of arrays at the end says about the first."""

    def change(content: bytes) -> bytes:
        start = content.index(b"PK\x01\x02") + place
        return content[:start] + value + content[start + len(value) :]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, "truncated or of another type"),
        (lambda _: b"", "truncated or of another type"),
        (lambda _: b"\x80\x04K\x01.", "truncated or of another type"),
        (spoil, r"where x_train can't be read"),
        (lambda content: b"XX" + content[2:], r"its list of arrays can't be read: it is none of N"),
        (in_directory(6, b"\xff\x00"), r"can't be read: zip file version 25\.5\."),
        (in_directory(8, b"\x01\x00"), r"where x_train can't be read: .*is encrypted"),
        (in_directory(10, b"\x63\x00"), r"x_train can't be read: That compression method is not"),
    ],
)
def test_damaged_files(change: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, {"x_train": np.random.default_rng(0).random(500), "y_train": Y})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        open_splits(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.npz", r"'nowhere\.npz', which is no file"),
        ("data.csv", r"The train data must be arrays, .*Received: 'data\.csv'"),
        (Path("data"), r"Received: 'data'"),
        ("tfds:", r"Received: 'tfds:'"),
    ],
)
def test_what_is_no_source(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_splits(source)


PIXELS = np.arange(4 * 5 * 5, dtype="uint8").reshape(4, 5, 5, 1)
IMAGE = tfds.features.Image(shape=(5, 5, 1))
ANY_SIZE = tfds.features.Image(shape=(None, None, 1))
LABEL = tfds.features.ClassLabel(num_classes=4)


def rows(**columns: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(columns)


def uneven() -> Any:
    return tf.data.Dataset.from_generator(
        lambda: ({"x": PIXELS[k, : k + 1], "y": k} for k in range(4)),
        output_signature={
            "x": tf.TensorSpec((None, 5, 1), "uint8"),
            "y": tf.TensorSpec((), "int64"),
        },
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that prepares a data set, in the folder where TFDS looks for them."""
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))

    def write(x: Any, y: Any, splits: dict[str, Any], supervised: bool = True) -> None:
        tfds.dataset_builders.store_as_tfds_dataset(
            name="prepared",
            version="1.0.0",
            features=tfds.features.FeaturesDict({"x": x, "y": y}),
            split_datasets=splits,
            data_dir=tmp_path,
        )
        if supervised:
            path = tmp_path / "prepared" / "1.0.0" / "dataset_info.json"
            info = json.loads(path.read_text())
            pair = [{"featureKey": "x"}, {"featureKey": "y"}]
            info["supervisedKeys"] = {"tuple": {"items": pair}}
            path.write_text(json.dumps(info))

    return write


def test_tensorflow_datasets(store: Callable[..., None]) -> None:
    labels = np.arange(4)
    store(
        IMAGE, LABEL, {"train": rows(x=PIXELS, y=labels), "test": rows(x=PIXELS[:2], y=labels[:2])}
    )
    splits = open_splits("tfds:prepared")
    given = open_splits((X, Y), "tfds:prepared:1.0.0:train[:75%]", "tfds:prepared")
    assert splits.validation is None
    for found, count in ((splits.train, 4), (splits.test, 2), (given.validation, 3)):
        x, y = found  # type: ignore[misc]
        assert (x.shape, x.dtype.name) == ((count, 5, 5, 1), "float32")
        order = np.argsort(y)  # TFDS writes examples in an order of its own
        if count != 3:
            np.testing.assert_array_equal(x[order], PIXELS[:count])
            np.testing.assert_array_equal(y[order], labels[:count])
    same(given.test, splits.test)
    assert splits.notes == ("tfds:prepared: the images are float32 from 0 to 255, not scaled",)
    assert len(given.notes) == 2


def test_tensorflow_datasets_of_numbers() -> None:
    with tfds.testing.mock_data(num_examples=3):
        splits = open_splits("tfds:wine_quality/red")
    x, y = splits.train  # type: ignore[misc]
    assert isinstance(x, dict)
    assert {array.shape for array in x.values()} == {(3,)}
    assert y.shape == (3,)
    assert splits.notes == ()


@pytest.mark.parametrize(
    ("features", "dataset", "supervised", "split", "message"),
    [
        ((IMAGE, LABEL), rows(x=PIXELS, y=range(4)), True, ":nowhere",
         r"split 'nowhere'.*The splits are: train\."),
        ((IMAGE, LABEL), rows(x=PIXELS, y=range(4)), False, "",
         r"examples of inputs and targets.*supervised"),
        ((ANY_SIZE, LABEL), uneven(), True, "",
         r"must have one shape\. Received: 'tfds:prepared' with \(\d, 5, 1\) and"),
        ((tfds.features.Text(), LABEL), rows(x=["a", "b"], y=range(2)), True, "",
         r"must be numbers\. Received: 'tfds:prepared' with text\."),
    ],
)  # fmt: skip
def test_data_sets_that_can_t_be_taken(
    features: Any, dataset: Any, supervised: bool, split: str, message: str,
    store: Callable[..., None],
) -> None:  # fmt: skip
    store(*features, {"train": dataset}, supervised)
    with pytest.raises(InputError, match=message):
        open_splits("tfds:prepared" + split)


def test_a_data_set_without_the_split(store: Callable[..., None]) -> None:
    store(IMAGE, LABEL, {"train": rows(x=PIXELS, y=range(4))})
    message = r"must have the split 'test'\. Received: the splits train\. .*prepared:train\[:20%\]"
    with pytest.raises(InputError, match=message):
        open_splits((X, Y), test="tfds:prepared")


@pytest.mark.usefixtures("store")
def test_a_data_set_that_nobody_knows() -> None:
    with pytest.raises(InputError, match="'tfds:no_such_set': DatasetNotFoundError"):
        open_splits("tfds:no_such_set")


def test_tensorflow_datasets_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[examples\]'"):
        open_splits("tfds:mnist")


def digest(data: Any, batch_size: int = 4) -> str:
    return data_digest(open_data(data, Training("mse", batch_size=batch_size), "data"))


def test_digests_of_arrays() -> None:
    different = [
        (X, Y),
        (X[::-1], Y),
        (X.astype("float32"), Y),
        (X.reshape(6, 2, 1), Y),
        (X, Y, W),
        ({"a": X}, Y),
        ({"b": X}, Y),
        (Y, X),
    ]
    digests = [digest(each) for each in different]
    assert len(set(digests)) == len(different)
    assert [digest(each) for each in different] == digests
    assert digest((X.copy(order="F"), Y)) == digests[0]


def test_digests_of_streams() -> None:
    def stream(*parts: Any) -> Any:
        return lambda: iter(parts)

    one = digest(stream((X, Y)))
    assert digest(stream((X + 1, Y))) == one
    assert digest([(X, Y)]) == one
    others = [
        stream((X[:4], Y[:4]), (X[4:], Y[4:])),
        stream((X.astype("float32"), Y)),
        stream((X[:, :1], Y)),
        stream((X, Y, W)),
    ]
    assert len({one, *map(digest, others)}) == 5
    # Of examples in several shapes it has the first: ids of attempts depend on it.
    wide = [(np.zeros((4, n, 2), "float32"), np.zeros(4, "int8")) for n in (3, 5)]
    facts = b'["stream", [4, 4], ["float32 (3, 2)", "int8 ()"]]'
    assert digest(wide) == sha256(facts).hexdigest()
    held = ArrayData.of_stream(StreamData(stream((X[:4], Y[:4]), (X[4:], Y[4:])), "data"))
    assert data_digest(held) == digest((X, Y))
