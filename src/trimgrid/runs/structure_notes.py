"""What the structures of a grid leave alone, said before a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimgrid.grids.grid import AttemptConfig
from trimgrid.prunable import prunable_variables
from trimgrid.runs.checking import outputs_told
from trimgrid.structures.kinds import structure_of


def structure_notes(grid: Sequence[AttemptConfig], model: Any) -> list[str]:
    """Return a line for each structure of a grid that does not prune what is pruned without one.

    >>> import keras
    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, name="out")])
    >>> grid = [AttemptConfig("a", ConstantSparsity(0.5), structure="2:4")]
    >>> structure_notes(grid, model)  # doctest: +ELLIPSIS
    ['2:4 leaves alone: ...out/kernel (5 inputs are no multiple of 4).']
    """
    told = dict.fromkeys(structure_of(each.structure) for each in outputs_told(grid, model))
    structures = [each for each in told if each is not None]
    if not structures:  # as for every model of tf_keras
        return []
    variables = model.trainable_variables
    plain = prunable_variables(variables)
    notes = []
    for structure in structures:
        left = [
            f"{each.path} ({each.reason.removeprefix(f'{structure}: ')})"
            for each, before in zip(
                prunable_variables(variables, structure=structure), plain, strict=True
            )
            if before.reason is None and each.reason is not None
        ]
        if left:
            notes.append(f"{structure} leaves alone: {', '.join(left)}.")
    return notes
