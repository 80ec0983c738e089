"""What a model file says of its layers, read without Keras."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path


def saved_config(path: Path) -> str:
    """Return the config of a `.keras` or `.h5` file as text; "" where there is none to be read.

    Whoever loads the model says what is wrong with it.

    >>> saved_config(Path("no-such-model.keras"))
    ''
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return archive.read("config.json").decode()
        import h5py

        with h5py.File(path) as file:
            config = file.attrs.get("model_config", "")
            return config if isinstance(config, str) else bytes(config).decode()
    except Exception:  # zipfile, zlib and h5py raise whatever a damaged file leads to
        return ""


def has_convolutions(path: Path) -> bool:
    """Tell whether a model file has convolutions, by the names of its layers' classes.

    One that can't be read has none.

    >>> has_convolutions(Path("no-such-model.keras"))
    False
    """
    try:
        return _any_convolution(json.loads(saved_config(path) or "{}"))
    except (json.JSONDecodeError, RecursionError):
        return False


def _any_convolution(node: object) -> bool:
    if isinstance(node, dict):
        if "Conv" in str(node.get("class_name", "")):
            return True
        return any(_any_convolution(value) for value in node.values())
    return isinstance(node, list) and any(_any_convolution(value) for value in node)
