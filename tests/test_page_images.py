"""The test images of a page: which inputs are images, and that they stay what they are."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trimgrid.report.page.images import as_images, sprite

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 28, 28), (2, 28, 28, 1)),
        ((2, 28, 28, 1), (2, 28, 28, 1)),
        ((2, 28, 20, 3), (2, 28, 20, 3)),
        ((2, 3, 28, 20), (2, 28, 20, 3)),
        ((2, 1, 28, 20), (2, 28, 20, 1)),
        ((2, 3, 3, 3), (2, 3, 3, 3)),
        ((2, 8, 8), (2, 8, 8, 1)),
        ((2, 7, 28), None),
        ((2, 28, 28, 4), None),
        ((2, 28, 28, 2), None),
        ((2, 5), None),
        ((2,), None),
        ((), None),
        ((2, 4, 28, 28, 3), None),
        ((2, 0, 28, 3), None),
        ((0, 28, 28, 3), None),
    ],
)
def test_which_inputs_are_images(shape: tuple[int, ...], expected: Any) -> None:
    images = as_images(np.zeros(shape))
    assert (None if images is None else images.shape) == expected


@pytest.mark.parametrize(
    "inputs",
    [None, [np.zeros((2, 8, 8))], {"a": np.zeros((2, 8, 8))}, np.full((2, 8, 8), "x"),
     np.zeros((2, 8, 8), complex)],
)  # fmt: skip
def test_other_inputs_are_none(inputs: Any) -> None:
    assert as_images(inputs) is None


def test_channels_first() -> None:
    images = RANDOM.random((2, 3, 9, 7))
    found = as_images(images)
    assert found is not None
    np.testing.assert_array_equal(found[1, 4, 5], images[1, :, 4, 5])


def decoded(made: dict[str, Any], count: int) -> NDArray[np.uint8]:
    """The images of a sprite: (count, height, width, 3)."""
    head, content = made["uri"].split(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    assert strip.shape == (made["height"], count * made["width"], 3)
    return np.stack(np.split(strip, count, axis=1))


LEVELS = RANDOM.integers(0, 256, size=(5, 12, 9, 3))
LEVELS[0, 0, 0], LEVELS[0, 0, 1] = 0, 255  # the ends of a range that is found
RANGES: list[tuple[str, Any]] = [
    ("bytes", LEVELS.astype(np.uint8)),
    ("floats to 255", LEVELS.astype(np.float32)),
    ("fractions", LEVELS / 255),
    ("-1 to 1", LEVELS / 127.5 - 1),
    ("-128 to 127", LEVELS - 128),
    ("standardized", (LEVELS / 255 - 0.4) / 0.1),
    ("16 bits", LEVELS.astype(np.uint16) * 257),
]


@pytest.mark.parametrize("images", [each[1] for each in RANGES], ids=[each[0] for each in RANGES])
def test_small_images_stay_exact(images: Any) -> None:
    np.testing.assert_array_equal(decoded(sprite(images), 5), LEVELS)
    gray = decoded(sprite(images[..., :1]), 5)
    np.testing.assert_array_equal(gray, np.repeat(LEVELS[..., :1], 3, axis=-1))


@pytest.mark.parametrize(
    ("value", "level"),
    [(0.0, 0), (1.0, 255), (0.2, 51), (-1.0, 0), (5.0, 5), (255, 255), (True, 255), (False, 0),
     (1000.0, 0), (-7.0, 0), (np.nan, 0), (np.inf, 0)],
)  # fmt: skip
def test_images_of_one_value(value: Any, level: int) -> None:
    made = decoded(sprite(np.full((2, 8, 8, 1), value)), 2)
    assert np.unique(made).tolist() == [level]


def test_pixels_that_are_no_numbers_are_dark() -> None:
    images = np.full((1, 8, 8, 1), 0.6)
    images[0, 0, 0], images[0, 0, 1] = np.nan, -np.inf
    levels = decoded(sprite(images), 1)[0, :, :, 0]
    assert levels[0, :3].tolist() == [0, 0, 153]


@pytest.mark.parametrize(
    ("side", "expected", "kind"),
    [((32, 32), (32, 32), "png"), ((33, 20), (33, 20), "jpeg"), ((128, 64), (64, 32), "jpeg"),
     ((100, 1000), (6, 64), "jpeg"), ((1, 1000), (1, 64), "jpeg"), ((1, 1), (1, 1), "png")],
)  # fmt: skip
def test_large_images_are_made_smaller(
    side: tuple[int, int], expected: tuple[int, int], kind: str
) -> None:
    images = np.zeros((3, *side, 3))
    images[1] = 1.0
    made = sprite(images)
    assert made["uri"].startswith(f"data:image/{kind};")
    assert (made["height"], made["width"]) == expected
    one, other, third = decoded(made, 3).astype(float)
    # Some JPEG blocks reach over the edge of an image.
    assert np.median(one) < 5
    assert np.median(other) > 250
    assert np.median(third) < 5


def test_the_same_images_give_the_same_bytes() -> None:
    images = RANDOM.random((3, 40, 40, 3))
    assert sprite(images) == sprite(images.copy())
