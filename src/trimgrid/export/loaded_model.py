"""A model that a `.keras` file holds, as the child process needs it to convert and run it."""

from __future__ import annotations

import hashlib
import json
import keyword
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.legacy.looped import with_loops
from trimgrid.legacy.saving import load_legacy
from trimgrid.legacy.telling import written_by_keras_2

_HALF_PRECISION = {"mixed_float16", "mixed_bfloat16", "float16", "bfloat16"}
# The members of a `.keras` file that are not the model's structure.
_NOT_STRUCTURE = {"metadata.json", "model.weights.h5"}


def structure_of(model_file: Path) -> str:
    """Return a digest of all that a `.keras` file says about a model except its weights."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(model_file) as archive:
        for name in sorted(set(archive.namelist()) - _NOT_STRUCTURE):
            content = archive.read(name)
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


class LoadedModel:
    """A model that was loaded from a file, and that takes the weights of others like it.

    To load a small model takes a third of its conversion, its weights alone a tenth.
    """

    def __init__(self, model_file: Path, scratch: Path, unroll: bool) -> None:
        import keras

        model_file = _rewritten(model_file, scratch, unroll)
        if written_by_keras_2(model_file):
            self._loaded = load_legacy(model_file)
            self.model = with_loops(self._loaded)
        else:
            keras.utils.clear_session()  # so that names in the file do not count earlier models
            self.model = keras.saving.load_model(model_file, compile=False, safe_mode=True)
            self.model.name = "m"  # it stands before the name of every tensor in the file
            self._loaded = self.model
        self._first = [variable.numpy() for variable in self._loaded.variables]

    def load_weights(self, model_file: Path) -> bool:
        """Take the weights of a file with the same structure; tell whether that worked.

        After that it is as if it had been loaded from this file.
        """
        # Some variables may not be in the file, and a prediction may have changed them.
        for variable, value in zip(self._loaded.variables, self._first, strict=True):
            variable.assign(value)
        try:
            self._loaded.load_weights(model_file)
        except Exception:  # a damaged file: loading the model from it says how
            return False
        if self.model is not self._loaded:
            self.model.set_weights(self._loaded.get_weights())
        return True


def _rewritten(model_file: Path, folder: Path, unroll: bool) -> Path:
    """Return the model file, or a copy in `folder` of which the same model is read in another form.

    In float32 if it computes in half precision: LiteRT's built-in operations have no float16 or
    bfloat16, and int8 weights are made from float32 ones. The weights stay what they are. With
    `unroll` without loops: recurrent layers repeat their step for each time.
    """
    with zipfile.ZipFile(model_file) as archive:
        config = json.loads(archive.read("config.json"))
        rewritten = _replace_half_precision(config)
        if unroll:
            rewritten = _unroll(rewritten)
        if rewritten == config:
            return model_file
        with zipfile.ZipFile(folder / "rewritten.keras", "w") as copy:
            for name in archive.namelist():
                same = name != "config.json"
                copy.writestr(name, archive.read(name) if same else json.dumps(rewritten))
    return folder / "rewritten.keras"


def _replace_half_precision(node: Any) -> Any:
    if isinstance(node, list):
        return [_replace_half_precision(item) for item in node]
    if isinstance(node, dict):
        return {key: _replace_half_precision(value) for key, value in node.items()}
    return "float32" if isinstance(node, str) and node in _HALF_PRECISION else node


def _unroll(node: Any) -> Any:
    if isinstance(node, list):
        return [_unroll(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _unroll(value) for key, value in node.items()}
    if found.get("module") == "keras.layers" and "unroll" in (found.get("config") or {}):
        found["config"]["unroll"] = True
    return found


class ModelInputs:
    """The samples as the model takes them: flat, in its data types, with the names for the file."""

    def __init__(
        self, model: Any, samples: Sequence[NDArray[Any]], structure: str | list[str]
    ) -> None:
        self._structure = structure
        tensors = list(getattr(model, "inputs", None) or [])
        by_name = {tensor.name: tensor for tensor in tensors}
        self.names: list[str] = []
        self.samples: list[NDArray[Any]] = []
        for i, sample in enumerate(samples):
            if isinstance(structure, list):
                tensor, name = by_name.get(structure[i]), structure[i]
            else:
                tensor = tensors[i] if i < len(tensors) else None
                name = tensor.name if tensor is not None else f"input_{i}"
            name = re.sub(r"\W", "_", name, flags=re.ASCII)
            if not name.isidentifier() or keyword.iskeyword(name):  # no signature is written then
                name = f"input_{name}"
            self.names.append(name if name not in self.names else f"{name}_{i}")
            # A subclassed model does not tell its inputs' types: take Keras' default for floats.
            default = "float32" if sample.dtype.kind == "f" else sample.dtype.name
            wanted = default if tensor is None else tensor.dtype
            self.samples.append(sample.astype(getattr(wanted, "name", wanted)))

    @property
    def by_name(self) -> dict[str, NDArray[Any]]:
        """The samples by the names of the file's inputs."""
        return dict(zip(self.names, self.samples, strict=True))

    def pack(self, tensors: Sequence[Any]) -> Any:
        """Return the flat tensors in the structure in which the samples came."""
        if isinstance(self._structure, list):
            return dict(zip(self._structure, tensors, strict=True))
        return tensors[0] if self._structure == "array" else list(tensors)

    def predict(self, model: Any) -> list[NDArray[Any]]:
        """Return Keras' own outputs, flat, in small batches to keep the memory bounded."""
        import keras

        parts = []
        for start in range(0, len(self.samples[0]), 32):
            batch = [sample[start : start + 32] for sample in self.samples]
            outputs = model(self.pack(batch), training=False)
            parts.append([keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
