"""Some test images in one small picture, which all attempts of a page share."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_IMAGES = 32
_LARGEST = 64  # pixels of an image's longer side
_PIXEL_ART = 32  # up to this side pixels are kept as they are


def as_images(inputs: Any) -> NDArray[Any] | None:
    """Return inputs as images (rows, height, width, 1 or 3 channels), None if they are none.

    Images have 4 axes, with the channels last or first, or 3 and at least 8 pixels a side.

    >>> as_images(np.zeros((2, 28, 28))).shape, as_images(np.zeros((2, 5))) is None
    ((2, 28, 28, 1), True)
    """
    if not isinstance(inputs, np.ndarray) or inputs.dtype.kind not in "biuf":
        return None
    if inputs.ndim == 3 and min(inputs.shape[1:]) >= 8:
        return inputs[..., None]
    if inputs.ndim != 4 or 0 in inputs.shape:
        return None
    if inputs.shape[-1] in (1, 3):
        return inputs
    return np.moveaxis(inputs, 1, -1) if inputs.shape[1] in (1, 3) else None


def sprite(images: NDArray[Any]) -> dict[str, Any]:
    """Return images side by side in one picture: "uri", and the "width" and "height" of each.

    They are made smaller, to at most 64 pixels a side, and their values brought to the range of a
    screen: from 0 to 255, 0 to 1 and -1 to 1 as they are meant, others from the least to the
    greatest. Small images stay exact (PNG), others become a JPEG.

    >>> sprite(np.zeros((2, 8, 8, 1)))["width"]
    8
    """
    from PIL import Image

    levels = _levels(images)
    small = max(images.shape[1:3]) <= _PIXEL_ART
    scale = min(1.0, _LARGEST / max(images.shape[1:3]))
    height, width = (max(1, round(side * scale)) for side in images.shape[1:3])
    strip = Image.new("RGB", (width * len(levels), height))
    for place, pixels in enumerate(levels):
        image = Image.fromarray(np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels)
        strip.paste(image.resize((width, height), Image.Resampling.BOX), (place * width, 0))
    content = io.BytesIO()
    strip.save(content, "PNG", optimize=True) if small else strip.save(content, "JPEG", quality=85)
    kind = "png" if small else "jpeg"
    encoded = base64.b64encode(content.getvalue()).decode("ascii")
    return {"uri": f"data:image/{kind};base64,{encoded}", "width": width, "height": height}


def _levels(images: NDArray[Any]) -> NDArray[np.uint8]:
    values = np.nan_to_num(images.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 1:
        low, high = -1.0, 1.0
    elif low >= 0 and 2 < high <= 255:
        low, high = 0.0, 255.0
    scaled = (values - low) / ((high - low) or 1.0) * 255
    levels: NDArray[np.uint8] = scaled.round().astype(np.uint8)
    return levels
