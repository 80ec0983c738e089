"""Why a structure of masks leaves variables alone that could be pruned weight by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimgrid.allocation.overrides import matches
from trimgrid.errors import InputError
from trimgrid.structures.grouping import misfit
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units

OUTPUT_LAYER = "output layer"
_QUERIES = ("query", "key", "value")
_ATTENTION = (*_QUERIES, "attention_output")


def structure_reasons(
    structure: Structure, variables: Sequence[Any], prunable: Sequence[bool]
) -> list[str | None]:
    """Return for each variable why the structure leaves it alone, None where it does not.

    `prunable`: which of them can be pruned at all. As `trimgrid.prunable.prunable_variables` it
    looks at names, paths and shapes alone.

    Raises `InputError` for patterns of `Units.outputs` that match no variable.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> structure_reasons(Units(), model.weights, [True, False, True, False])
    [None, None, 'output layer', None]
    """
    paths = [str(each.path) for each in variables]
    found = [
        (_no_place(structure, str(each.name), path, paths) or misfit(structure, tuple(each.shape)))
        if can
        else None
        for each, path, can in zip(variables, paths, prunable, strict=True)
    ]
    if not isinstance(structure, Units):
        return found
    units = [place for place, why in enumerate(found) if prunable[place] and why is None]
    for place in _outputs(structure, paths, units):
        found[place] = OUTPUT_LAYER
    return found


def _outputs(structure: Units, paths: Sequence[str], units: Sequence[int]) -> list[int]:
    """The places of the output layers' kernels among the variables."""
    if structure.outputs is None:
        return list(units[-1:])
    for pattern in structure.outputs:
        if not any(matches(path, pattern) for path in paths):
            raise InputError(
                "Every pattern of outputs must match the path of a variable. "
                f"Received: outputs={pattern!r}. The paths are: {', '.join(paths)}."
            )
    return [
        place
        for place in units
        if any(matches(paths[place], pattern) for pattern in structure.outputs)
    ]


def _no_place(structure: Structure, name: str, path: str, paths: Sequence[str]) -> str | None:
    """Why a variable has no inputs or units where the structure looks for them."""
    if isinstance(structure, Blocks):
        return None
    parents = path.split("/")[:-1]
    layer = parents[-1] if parents else ""
    # A Dense layer may have such a name, too: attention has all three of them.
    beside = ["/".join([*parents[:-1], each, "kernel"]) for each in _QUERIES]
    attention = all(each in paths for each in beside)
    if "transpose" in path.lower():
        return f"{structure}: a transposed convolution, whose inputs are the last axis"
    if isinstance(structure, NofM):
        if name == "embeddings":
            return f"{structure}: the rows of an embedding are no inputs"
        if layer in _QUERIES and attention:
            return f"{structure}: attention, whose heads lie behind the inputs"
        return None
    if name != "kernel":
        return f"{structure}: no kernel of a Dense or convolutional layer"
    if "/".join([*parents, "recurrent_kernel"]) in paths:
        return f"{structure}: recurrent, whose columns are read by the layer itself"
    if layer in _ATTENTION and attention:
        return f"{structure}: attention, whose units are those of heads"
    return None
