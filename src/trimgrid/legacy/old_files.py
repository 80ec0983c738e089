"""Files of Keras 2, written anew so that Keras 3 reads the same model from them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

# What TFMOT's wrappers add to the weights of a layer.
_OF_WRAPPERS = ("/mask:0", "/threshold:0", "/pruning_step:0")
# Arguments that Keras 3 does not have, and that change nothing there.
_UNKNOWN = {"Embedding": ("input_length",)}
# Convolutions that have no groups in Keras 3.
_BY_CHANNEL = ("Depthwise", "Separable")


def readable_by_keras_3(path: Path, folder: Path) -> Path:
    """Write a `.keras` or `.h5` file of Keras 2 anew into a folder; return the new file.

    Arguments that Keras 3 does not have are left away where they change nothing, and TFMOT's
    wrappers in an `.h5` file, as `strip_pruning` does. The weights are the same.

    Raises `ValueError` for an argument that does change something.
    """
    found = folder / f"old{path.suffix}"
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(found, "w") as copy:
            for name in archive.namelist():
                content = archive.read(name)
                if name == "config.json":
                    content = json.dumps(_in_keras_3(json.loads(content))).encode()
                copy.writestr(name, content)
        return found
    shutil.copyfile(path, found)
    with h5py.File(found, "r+") as file:
        configs = {
            key: json.loads(file.attrs[key])
            for key in ("model_config", "training_config")  # neither where there are weights only
            if key in file.attrs
        }
        if names := _wrapped(configs.get("model_config")):
            configs["model_config"] = _unwrapped(configs["model_config"], names)
            _forget_wrappers(file["model_weights"])
        for key, config in configs.items():
            file.attrs[key] = json.dumps(_in_keras_3(config))
    return found


def _in_keras_3(node: Any) -> Any:
    """Return a config as Keras 3 reads it: of a model, or of what it was compiled with."""
    if isinstance(node, list):
        return [_in_keras_3(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _in_keras_3(value) for key, value in node.items()}
    if found.get("steps_per_execution", 1) is None:  # of `compile`: Keras 3 wants a number
        del found["steps_per_execution"]
    if isinstance(name := found.get("class_name"), str):
        # As the optimizers of Keras 2 are written in .h5 files.
        found["class_name"] = name = name.removeprefix("Custom>")
        if name == "Functional" and found.get("module"):
            found |= {"module": "keras", "class_name": "Model", "registered_name": None}
        if isinstance(config := found.get("config"), dict):
            found["config"] = _arguments(name, config)
    return found


def _arguments(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer, a model or an optimizer of Keras 2 as Keras 3 takes them."""
    if config.get("time_major"):
        raise ValueError(
            f"Keras 3 has no time_major=True, which {config.get('name', name)!r} has: its "
            "sequences have the examples first."
        )
    unknown = {"time_major", *_UNKNOWN.get(name, ())}
    if "jit_compile" in config and "learning_rate" in config:
        unknown |= {"jit_compile", "is_legacy_optimizer"}
    if name.startswith("Separable"):  # its depthwise and pointwise kernels have their own
        unknown |= {f"kernel_{each}" for each in ("initializer", "regularizer", "constraint")}
    if config.get("groups") == 1 and (name.endswith("Transpose") or name.startswith(_BY_CHANNEL)):
        unknown.add("groups")
    kept = {key: value for key, value in config.items() if key not in unknown}
    axis = kept.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        kept["axis"] = axis[0]
    layers = kept.get("layers")
    if isinstance(layers, list):
        kept["layers"] = _counted_anew(layers, _named(layers, "Sequential", "Functional", "Model"))
        if _named(layers, "InputLayer"):  # which tells the shape that a layer would tell again
            for each in kept["layers"]:
                if each.get("class_name") != "InputLayer":
                    each["config"].pop("batch_input_shape", None)
        if "output_layers" in kept:  # in which Keras 3 counts those of functional ones itself
            names = _named(layers, "Sequential")
            kept["output_layers"] = _counted_anew(kept["output_layers"], names)
    return kept


def _named(layers: list[Any], *classes: str) -> set[str]:
    return {each["config"].get("name") for each in layers if each.get("class_name") in classes}


def _counted_anew(node: Any, names: set[str]) -> Any:
    """Count the calls of models in a functional one from 0: Keras 2 began with 1."""
    if isinstance(node, dict):
        # A model inside has counted its own already.
        return {
            key: value if key == "config" else _counted_anew(value, names)
            for key, value in node.items()
        }
    if not isinstance(node, list):
        return node
    if len(node) >= 3 and isinstance(node[0], str) and node[0] in names:
        return [node[0], node[1] - 1, *_counted_anew(node[2:], names)]
    return [_counted_anew(item, names) for item in node]


def _wrapped(node: Any) -> dict[str, str]:
    """The names of TFMOT's wrappers in a config, and those of the layers in them."""
    if isinstance(node, list):
        return {key: name for item in node for key, name in _wrapped(item).items()}
    if not isinstance(node, Mapping):
        return {}
    found = {key: name for value in node.values() for key, name in _wrapped(value).items()}
    if node.get("class_name") == "PruneLowMagnitude":
        found[node["config"]["name"]] = node["config"]["layer"]["config"]["name"]
    return found


def _unwrapped(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_unwrapped(item, names) for item in node]
    if isinstance(node, str):
        return names.get(node, node)
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "PruneLowMagnitude":
        outer = {key: node[key] for key in ("name", "inbound_nodes") if key in node}
        shape = {key: value for key, value in node["config"].items() if key == "batch_input_shape"}
        layer = node["config"]["layer"]
        node = {**layer, **outer, "config": {**shape, **layer["config"]}}
    return {key: _unwrapped(value, names) for key, value in node.items()}


def _forget_wrappers(weights: Any) -> None:
    """Take the wrappers' own variables off the lists by which the weights of layers are read."""
    for layer in weights.values():
        known = layer.attrs.get("weight_names", ())
        text = [each.decode() if isinstance(each, bytes) else str(each) for each in known]
        kept = [each.encode() for each in text if not each.endswith(_OF_WRAPPERS)]
        layer.attrs["weight_names"] = kept
