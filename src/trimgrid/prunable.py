"""Which variables of a Keras model can be pruned, and why the others are not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trimgrid.allocation.overrides import matches
from trimgrid.errors import InputError
from trimgrid.legacy.telling import is_legacy
from trimgrid.models import copy_model
from trimgrid.structure_reasons import structure_reasons
from trimgrid.structures.kinds import Structure, structure_of

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
    structure: Structure | str | None = None,
) -> list[PrunableVariable]:
    """Tell for each variable of a model whether it is pruned, or why not.

    Pruned are trainable floating-point variables of two dimensions or more: kernels, recurrent
    kernels, embeddings, and those of custom layers. Biases, normalization, activations' slopes
    and depthwise kernels (few weights, each of which matters) are not.

    `include` and `exclude` are shell patterns (`*`, `?`, `[...]`) on a variable's path or on its
    end after a slash: "dense_3/kernel", "conv_1/*". With `include` only what it matches is pruned,
    and a bias or normalization that it matches is pruned too; `exclude` wins over `include`.

    `structure`: that of the masks, such as "2:4". What it does not fit is not pruned. With whole
    units only kernels named "kernel" are, of no recurrent, transposed or attention layer as their
    paths tell them, and not those of output layers: see `trimgrid.Units`.

    Raises `InputError` for a pattern that matches nothing, with the paths there are, and for
    variables of another library, such as those of a `tf_keras` model.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> [(each.variable.name, each.reason) for each in prunable_variables(model.variables)]
    [('kernel', None), ('bias', 'bias')]
    """
    variables = list(variables)
    for each in variables:
        if not hasattr(each, "path"):
            raise InputError(
                "Variables must be those of a Keras 3 model. "
                f"Received: {getattr(each, 'name', each)!r}, a {type(each).__name__}. Give a "
                "tf_keras model to a Study, or load it into Keras 3: save it as .h5 and load_model."
            )
    for name, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns or ():
            if not any(_matches(variable, [pattern]) for variable in variables):
                paths = ", ".join(variable.path for variable in variables)
                raise InputError(
                    f"Every pattern of {name} must match the path of a variable. "
                    f"Received: {name}={pattern!r}. The paths are: {paths}."
                )
    reasons = [_reason(each, include, exclude) for each in variables]
    if (asked := structure_of(structure)) is not None:
        others = structure_reasons(asked, variables, [each is None for each in reasons])
        reasons = [own or other for own, other in zip(reasons, others, strict=True)]
    return [PrunableVariable(*each) for each in zip(variables, reasons, strict=True)]


def prunable_weights(model: Any) -> list[PrunableVariable]:
    """Tell for each weight of a model, in the order of `get_weights`, whether it is pruned.

    Of a `tf_keras` model TFMOT decides, by the layers that it knows: frozen ones too.

    Raises `InputError` for a `tf_keras` model that can't be copied.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> [each.reason for each in prunable_weights(model)]
    [None, 'bias']
    """
    if not is_legacy(model):
        return prunable_variables(model.weights)
    from trimgrid.legacy.wrapping import legacy_weights  # TFMOT is loaded for this alone

    copy = copy_model(model)

    return [
        PrunableVariable(
            each,
            None if each.pruned else _reason(each, None, None) or f"TFMOT can't prune {each.layer}",
        )
        for each in legacy_weights(copy)
    ]


def _matches(variable: Any, patterns: Sequence[str]) -> bool:
    return any(matches(variable.path, pattern) for pattern in patterns)


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
    structure: Structure | None = None,
) -> list[PrunableVariable]:
    """Return `prunable_variables(...)`, if there is one to prune among them.

    Raises `InputError` with every variable and its reason if there is none.

    >>> check_prunable([])
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A model must have weights that can be pruned. Received: no \
trainable variables. Give a model with kernels, or name variables with include=.
    """
    return _some(prunable_variables(variables, include, exclude, structure), structure)


def check_prunable_model(model: Any, structure: Structure | None = None) -> list[PrunableVariable]:
    """Return the trainable variables of a model, of a `tf_keras` model all that TFMOT looks at.

    Raises `InputError` as `check_prunable` does, if there is none to prune among them.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> len(check_prunable_model(model))
    2
    """
    if is_legacy(model):
        return _some(prunable_weights(model))
    return check_prunable(model.trainable_variables, structure=structure)


def _some(
    found: list[PrunableVariable], structure: Structure | None = None
) -> list[PrunableVariable]:
    if all(each.reason is not None for each in found):
        listed = ", ".join(f"{each.path} ({each.reason})" for each in found)
        if structure is not None:
            raise InputError(
                "A structure must fit weights that can be pruned. Received: structure="
                f"{str(structure)!r} for {listed or 'no trainable variables'}. "
                "Give another structure, or none."
            )
        raise InputError(
            "A model must have weights that can be pruned. "
            f"Received: {listed or 'no trainable variables'}. "
            "Give a model with kernels, or name variables with include=."
        )
    return found
