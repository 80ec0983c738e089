"""Whether an object, a file or a training is one of Keras 2, found out without importing it."""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py

from trimgrid.errors import InputError
from trimgrid.legacy.copying import made_apart
from trimgrid.optional import optional_modules

NAME = "tf_keras"


def is_legacy(thing: Any) -> bool:
    """Tell whether a model, an optimizer, a loss, a metric or a function is of `tf_keras`.

    >>> is_legacy("mse")
    False
    """
    kinds = getattr(type(thing), "__mro__", ())
    named = [each.__module__ for each in kinds] + [str(getattr(thing, "__module__", ""))]
    return any(module.split(".")[0] == NAME for module in named)


def written_by_keras_2(path: Path) -> bool:
    """Tell whether Keras 2 wrote a `.keras` or `.h5` file; False for one that can't be read.

    >>> written_by_keras_2(Path("no-such-model.keras"))
    False
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("metadata.json"))["keras_version"]
        else:
            with h5py.File(path, "r") as file:
                version = file.attrs.get("keras_version", "")
    except Exception:  # zipfile, zlib, json and h5py raise whatever a damaged file leads to
        return False
    return (version.decode() if isinstance(version, bytes) else str(version)).startswith("2.")


def wrappers(model: Any) -> list[Any]:
    """Return TFMOT's wrappers in a model of `tf_keras`, each once."""
    return [each for each in model.submodules if hasattr(each, "pruning_obj")]


def legacy_versions() -> dict[str, str]:
    """Return the versions of what trains a model of `tf_keras`.

    Raises `PackageNotFoundError` where it is not installed.
    """
    return {NAME: version("tf_keras"), "tfmot": version("tensorflow-model-optimization")}


class _Asked(Exception):  # noqa: N818
    """Keras asks for the copy of a layer."""


def check_trainable_by_tfmot(model: Any) -> None:
    """Check that TFMOT is installed and can wrap the layers of a model of `tf_keras`.

    Raises `InputError` with the remedy.
    """
    _, tf_keras = optional_modules(
        "A model of tf_keras",
        "tfmot",
        "TFMOT, which prunes it",
        "trimgrid.legacy.toolkit",
        NAME,
    )
    if wrappers(model):
        raise InputError(
            "A study wraps the layers of each attempt itself. Received: "
            f"{model.name!r}, whose layers TFMOT has wrapped already. Give strip_pruning(model)."
        )

    def asked(layer: Any) -> Any:
        raise _Asked

    try:  # with a function only models that consist of layers are cloned
        made_apart(lambda: tf_keras.models.clone_model(model, clone_function=asked))
    except _Asked:
        pass
    except ValueError as error:
        raise InputError(
            "TFMOT prunes Sequential and functional models of tf_keras. Received: "
            f"{model.name!r}, a {type(model).__name__}. Build it from layers, or write it in "
            "Keras 3, which needs no wrappers."
        ) from error
