"""Keras models: fresh copies, safe loading, and which of their variables can be pruned."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError, first_line
from trimgrid.randomness import isolated_randomness
from trimgrid.without_tensorflow import serialize_without_tensorflow

# Names that Keras' layers give to variables which hold no connections, and what they are.
_NOT_CONNECTIONS = {
    "bias": "bias",
    "beta": "normalization",
    "gamma": "normalization",
    "alpha": "activation",
    "moving_mean": "normalization",
    "moving_variance": "normalization",
    "depthwise_kernel": "depthwise convolution",
}


@dataclass(frozen=True)
class PrunableVariable:
    """A variable of a model, and why it is not pruned: `reason` is None where it is."""

    variable: Any
    reason: str | None

    @property
    def path(self) -> str:
        """The variable's path in the model, such as "dense/kernel"."""
        return str(self.variable.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """The variable's shape."""
        return tuple(self.variable.shape)

    @property
    def weights(self) -> int:
        """How many numbers the variable holds."""
        return math.prod(self.shape)

    @property
    def zeros(self) -> int:
        """How many of them are zero."""
        return self.weights - int(np.count_nonzero(keras.ops.convert_to_numpy(self.variable)))


def prunable_variables(
    variables: Iterable[Any],
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> list[PrunableVariable]:
    """Tell for each variable of a model whether it is pruned, or why not.

    Pruned are trainable floating-point variables of two dimensions or more: kernels, recurrent
    kernels, embeddings, and those of custom layers. Biases, normalization, activations' slopes
    and depthwise kernels (few weights, each of which matters) are not.

    `include` and `exclude` are shell patterns (`*`, `?`, `[...]`) on a variable's path or on its
    end after a slash: "dense_3/kernel", "conv_1/*". With `include` only what it matches is pruned,
    and a bias or normalization that it matches is pruned too; `exclude` wins over `include`.

    Raises `InputError` for a pattern that matches nothing, with the paths there are.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> [(each.variable.name, each.reason) for each in prunable_variables(model.variables)]
    [('kernel', None), ('bias', 'bias')]
    """
    variables = list(variables)
    for name, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns or ():
            if not any(_matches(variable, [pattern]) for variable in variables):
                paths = ", ".join(variable.path for variable in variables)
                raise InputError(
                    f"Every pattern of {name} must match the path of a variable. "
                    f"Received: {name}={pattern!r}. The paths are: {paths}."
                )
    return [PrunableVariable(each, _reason(each, include, exclude)) for each in variables]


def _matches(variable: Any, patterns: Sequence[str]) -> bool:
    return any(
        fnmatchcase(variable.path, pattern) or fnmatchcase(variable.path, f"*/{pattern}")
        for pattern in patterns
    )


def _reason(
    variable: Any, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> str | None:
    shape, name = tuple(variable.shape), str(variable.name)
    if not variable.trainable:
        return "not trainable"
    if not str(variable.dtype).startswith(("float", "bfloat")):
        return f"not floating point ({variable.dtype})"
    if len(shape) == 0:
        return "scalar"
    if exclude is not None and _matches(variable, exclude):
        return "excluded"
    if include is not None:
        return None if _matches(variable, include) else "not included"
    for ending, kind in _NOT_CONNECTIONS.items():
        if name == ending or name.endswith(f"_{ending}"):
            return kind
    if len(shape) == 1:
        return "vector"
    # An optimizer sees variables, not layers: a depthwise convolution is told by name or shape.
    if "depthwise" in variable.path.lower():
        return "depthwise convolution"
    if name == "kernel" and len(shape) > 2 and shape[-1] == 1 and shape[-2] > 1:
        return "depthwise convolution, or a convolution with one filter"
    return None


def check_prunable(
    variables: Iterable[Any],
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> list[PrunableVariable]:
    """Return `prunable_variables(...)`, if there is one to prune among them.

    Raises `InputError` with every variable and its reason if there is none.

    >>> check_prunable([])
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A model must have weights that can be pruned. Received: no \
trainable variables. Give a model with kernels, or name variables with include=.
    """
    found = prunable_variables(variables, include, exclude)
    if all(each.reason is not None for each in found):
        listed = ", ".join(f"{each.path} ({each.reason})" for each in found)
        raise InputError(
            "A model must have weights that can be pruned. "
            f"Received: {listed or 'no trainable variables'}. "
            "Give a model with kernels, or name variables with include=."
        )
    return found


def copy_model(model: Any, seed: int = 0) -> Any:
    """Return a fresh, uncompiled copy: same class, names and weights, nothing shared.

    Random layers of the copy (dropout, augmentation) start from `seed`, whatever the state of the
    original's. The original and the global random state stay as they are.

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
    serialize_without_tensorflow()
    try:
        with isolated_randomness(seed):
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
    for old, new in zip(_nested_layers(model), _nested_layers(copy), strict=False):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    for old, new in zip(model.weights, copy.weights, strict=True):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    if copy.dtype_policy != model.dtype_policy:
        copy.dtype_policy = model.dtype_policy


def _nested_layers(layer: Any) -> Iterator[Any]:
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _nested_layers(inner)


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
        dtype = str(tensor.dtype)
        if dtype.startswith(("float", "bfloat")):
            return generator.random(shape, "float32")
        return generator.integers(256 if dtype == "uint8" else 2, size=shape).astype(dtype)

    return keras.tree.map_structure(sample, inputs)


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
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # damaged files fail in h5py, zipfile, json or Keras
        if "Lambda" in str(error):
            raise InputError(
                "A model file must hold no code, and code in it is never run. "
                f"Received: {str(path)!r} with a Lambda layer. Replace it by a registered layer."
            ) from error
        reason = str(error).split("Exception encountered:")[-1]  # the cause, where Keras tells it
        raise InputError(
            "A model file must be whole, and its classes known. "
            f"Received: {str(path)!r}, which fails with {type(error).__name__}: "
            f"{first_line(Exception(reason))} Save the model again, or import the modules that "
            "register its custom classes."
        ) from error


def count_weights(model: Any) -> tuple[int, int]:
    """Return how many weights a model has, and how many of them are not zero.

    >>> count_weights(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    (10, 8)
    """
    arrays = model.get_weights()
    return sum(a.size for a in arrays), sum(int(np.count_nonzero(a)) for a in arrays)
