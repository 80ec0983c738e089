"""Keras models: fresh copies, safe loading, inputs and random layers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError, first_line
from trimgrid.legacy.copying import copy_legacy
from trimgrid.legacy.old_files import readable_by_keras_3
from trimgrid.legacy.saving import load_legacy
from trimgrid.legacy.telling import is_legacy, written_by_keras_2
from trimgrid.randomness import isolated_randomness
from trimgrid.scratch import scratch_folder
from trimgrid.without_tensorflow import serialize_without_tensorflow


def copy_model(model: Any, seed: int = 0) -> Any:
    """Return a fresh, uncompiled copy: same class, names and weights, nothing shared.

    Random layers of the copy (dropout, augmentation) start from `seed`, whatever the state of the
    original's; those of a `tf_keras` model have no state. The original and the global random state
    stay as they are.

    Raises `InputError` if the model can't be made anew from its config.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> copy = copy_model(model)
    >>> [bool((a == b).all()) for a, b in zip(copy.get_weights(), model.get_weights())]
    [True, True]
    """
    if not model.built:
        raise InputError(
            "A model must be built before it can be copied. "
            f"Received: model={model.name!r} without weights. Call it once on a batch of data."
        )
    legacy = is_legacy(model)
    if not legacy:  # which has TensorFlow loaded
        serialize_without_tensorflow()
    try:
        with isolated_randomness(seed):
            if legacy:
                return copy_legacy(model)
            copy = model.__class__.from_config(model.get_config())
            if not copy.built:
                copy.build_from_config(model.get_build_config())
            copy.set_weights(model.get_weights())
            _copy_settings(model, copy)
    except Exception as error:  # whatever a custom class raises
        raise InputError(
            "A model must be copyable through its config. "
            f"Received: model={model.name!r}, whose copy failed with "
            f"{type(error).__name__}: {first_line(error)} "
            "Give custom classes a get_config() that holds all arguments, a build() that creates "
            "all weights, and register them with keras.saving.register_keras_serializable."
        ) from error
    seed_random_layers(copy, seed)
    return copy


def _copy_settings(model: Any, copy: Any) -> None:
    """Copy what a config may leave out: the type policy, and which parts are frozen."""
    for old, new in zip(nested_layers(model), nested_layers(copy), strict=False):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    for old, new in zip(model.weights, copy.weights, strict=True):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    if copy.dtype_policy != model.dtype_policy:
        copy.dtype_policy = model.dtype_policy


def nested_layers(layer: Any) -> Iterator[Any]:
    """Give a layer and all that it holds, those of nested models too.

    >>> [each.name for each in nested_layers(keras.Sequential([], name="empty"))]
    ['empty']
    """
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from nested_layers(inner)


def sample_inputs(model: Any, rows: int = 4) -> Any:
    """Return random inputs that the model takes: `rows` of them.

    Numbers are between 0 and 1, bytes up to 255, other integers 0 or 1, which any embedding has.
    Free dimensions other than the first get the size 1. The structure is that of the model's
    inputs: an array, or a list or dict of arrays.

    Raises `InputError` for a model that does not tell its inputs.

    >>> sample_inputs(keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(1)])).shape
    (4, 1, 3)
    """
    # A Sequential model has no `input` of its own before it was called in another model.
    sequential = isinstance(model, keras.Sequential) and model.built
    inputs = model.inputs[0] if sequential else getattr(model, "input", None)
    if inputs is None:
        raise InputError(
            f"A model must tell its inputs. Received: {model.name!r}, which has none declared. "
            "Make it a functional or Sequential model with keras.Input."
        )
    generator = np.random.default_rng(0)

    def sample(tensor: Any) -> Any:
        shape = [rows, *(size or 1 for size in tensor.shape[1:])]
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if dtype.startswith(("float", "bfloat")):
            return generator.random(shape, "float32")
        return generator.integers(256 if dtype == "uint8" else 2, size=shape).astype(dtype)

    return keras.tree.map_structure(sample, inputs)


def fixed_batch(model: Any) -> int | None:
    """Return the number of examples in a batch if the model takes only one, None if it takes any.

    >>> fixed_batch(keras.Sequential([keras.Input(batch_shape=(8, 4)), keras.layers.Dense(1)]))
    8
    """
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    size = inputs[0].shape[0] if inputs else None
    return None if size is None else int(size)


def seed_random_layers(model: Any, seed: int) -> None:
    """Set the state of every random layer of the model (dropout, ...) from one integer.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    >>> seed_random_layers(model, 3)
    """
    variables = model.non_trainable_variables
    for place, state in random_states(variables, seed):
        variables[place].assign(state)


def random_states(variables: Sequence[Any], seed: int) -> list[tuple[int, NDArray[Any]]]:
    """Return the places of random layers' states among variables, and their values for a seed.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    >>> [(place, state.shape) for place, state in random_states(model.variables, 3)]
    [(0, (2,))]
    """
    generator = np.random.default_rng(seed)
    states = []
    for place, variable in enumerate(variables):
        if variable.path.endswith("seed_generator_state"):
            state = generator.integers(2**31, size=tuple(variable.shape), dtype="int64")
            states.append((place, state.astype(str(variable.dtype))))
    return states


def load_model(path: str | Path) -> Any:
    """Load a `.keras` or `.h5` model file, as data only: code inside it is never run.

    One of Keras 2 is loaded into Keras 3 where that has its layers, without TFMOT's wrappers.

    Raises `InputError` for a missing file, an unknown type, a file that is damaged, holds a Lambda
    layer or a class that is not registered.

    >>> load_model("model.onnx")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A model file must exist. Received: 'model.onnx'. Check the path.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"A model must be a file. Received: {str(path)!r}, which is a folder.")
    if not path.is_file():
        raise InputError(f"A model file must exist. Received: {str(path)!r}. Check the path.")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise InputError(
            "A model file must be a .keras or a .h5 file. "
            f"Received: {str(path)!r}. Save it with model.save('model.keras')."
        )
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise InputError(
            f"A .keras file must be a whole zip archive. Received: {str(path)!r}, which is "
            "truncated or of another type. Save the model again."
        )
    try:
        with readable(path) as file:
            return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # damaged files fail in h5py, zipfile, json or Keras
        if "Lambda" in str(error) and "TFOpLambda" not in str(error):
            raise InputError(
                "A model file must hold no code, and code in it is never run. "
                f"Received: {str(path)!r} with a Lambda layer. Replace it by a registered layer."
            ) from error
        if "No model config found" in str(error):
            raise InputError(
                "A model file must hold a model, and not its weights alone. "
                f"Received: {str(path)!r}. Build the model anew, load_weights(file), and save it."
            ) from error
        if written_by_keras_2(path):
            strip = "in TFMOT's prune_scope(), strip_pruning(model), "
            raise InputError(
                "A model of Keras 2 must have layers that Keras 3 has, with the same arguments. "
                f"Received: {str(path)!r}, which fails with {type(error).__name__}: "
                f"{first_line(error)} Load it with tf_keras, "
                f"{strip if 'PruneLowMagnitude' in str(error) else ''}and give the model itself, "
                "which TFMOT trains: pip install 'trimgrid[tfmot]'."
            ) from error
        raise InputError(
            "A model file must be whole, and its classes known. "
            f"Received: {str(path)!r}, which fails with {type(error).__name__}: "
            f"{first_line(error)} Save the model again, or import the modules that "
            "register its custom classes."
        ) from error


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Give a file of the same model that Keras 3 reads: the same, or for one of Keras 2 a copy.

    Raises what a damaged file leads to, and `ValueError` for what Keras 3 does not have.

    >>> with readable(Path("no-such-model.keras")) as file:
    ...     file.name
    'no-such-model.keras'
    """
    if not written_by_keras_2(path):
        yield path
        return
    with scratch_folder() as folder:
        yield readable_by_keras_3(path, folder)


def load_saved(path: str | Path) -> Any:
    """Load a file that trimgrid wrote, with the Keras that its model is of: 3, or `tf_keras`.

    Raises `InputError` as `load_model` does, and where `tf_keras` is not installed.

    >>> load_saved("model.onnx")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A model file must exist. Received: 'model.onnx'. Check the path.
    """
    return load_legacy(Path(path)) if written_by_keras_2(Path(path)) else load_model(path)


def count_weights(model: Any) -> tuple[int, int]:
    """Return how many weights a model has, and how many of them are not zero.

    >>> count_weights(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    (10, 8)
    """
    arrays = model.get_weights()
    return sum(a.size for a in arrays), sum(int(np.count_nonzero(a)) for a in arrays)
