"""Files of `tf_keras` models, loaded as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimgrid.errors import InputError, first_line
from trimgrid.legacy.copying import made_apart
from trimgrid.legacy.telling import NAME
from trimgrid.optional import optional_modules


def load_legacy(path: Path) -> Any:
    """Load a `.keras` or `.h5` file with `tf_keras`, uncompiled.

    A `.keras` file is data only. An `.h5` file may hold code, which would be run: give only one
    that was written of a model in this process.

    Raises `InputError` where `tf_keras` is not installed, and for a file that is damaged, holds a
    Lambda layer or a class that is not registered.
    """
    (tf_keras,) = optional_modules("A file of Keras 2", "tfmot", NAME, NAME)
    try:
        return made_apart(lambda: tf_keras.models.load_model(path, compile=False, safe_mode=True))
    except Exception as error:  # damaged files fail in h5py, zipfile, json or Keras
        raise InputError(
            "A model file must be whole, hold no code, and its classes must be known. Received: "
            f"{str(path)!r}, which fails with {type(error).__name__}: {first_line(error)} Import "
            "the modules that register its custom classes."
        ) from error
