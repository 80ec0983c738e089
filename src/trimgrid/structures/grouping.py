"""Into how many groups a structure parts a tensor, and which tensors it does not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trimgrid.errors import InputError
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units


class Grouping(NamedTuple):
    """The groups of one tensor, which stay or go as one: weights by themselves where it is plain.

    `number`: how many there are. `size`: the weights of each. `least`: so many stay whatever the
    sparsity. `floor`: so many leave each output unit something, if they are well placed.
    """

    number: int
    size: int
    least: int
    floor: int


def grouping(structure: Structure | None, shape: Sequence[int]) -> Grouping:
    """Return the groups into which a structure parts a tensor of a shape that it fits.

    >>> grouping(Blocks(2, 2), (4, 6)), grouping(NofM(2, 4), (8, 3))
    (Grouping(number=6, size=4, least=1, floor=3), Grouping(number=24, size=1, least=12, floor=12))
    """
    size = math.prod(shape)
    if isinstance(structure, Blocks):
        block = structure.height * structure.width
        blocks = size // block
        return Grouping(blocks, block, min(blocks, 1), min(blocks, shape[-1] // structure.width))
    if isinstance(structure, Units):
        return Grouping(shape[-1], size // max(shape[-1], 1), min(shape[-1], 1), min(shape[-1], 1))
    if isinstance(structure, NofM):
        least = size // structure.m * structure.n
        return Grouping(size, 1, least, max(least, min(size, shape[-1])))
    return Grouping(size, 1, min(size, 1), min(size, shape[-1]))


def misfit(structure: Structure, shape: Sequence[int]) -> str | None:
    """Return why a structure does not fit a tensor's shape, None where it does.

    >>> misfit(NofM(2, 4), (3, 3, 6, 8)), misfit(Blocks(1, 4), (5, 8))
    ('2:4: 6 inputs are no multiple of 4', None)
    """
    if len(shape) < 2 or not math.prod(shape):
        return f"{structure}: no matrix of inputs and outputs"
    if isinstance(structure, Units):
        return f"{structure}: a single unit" if shape[-1] < 2 else None
    if isinstance(structure, NofM):
        inputs = shape[-2]
        if inputs % structure.m:
            return f"{structure}: {inputs} inputs are no multiple of {structure.m}"
        return None
    rows, columns = math.prod(shape[:-1]), shape[-1]
    if rows % structure.height or columns % structure.width:
        return f"{structure}: a matrix of {rows}x{columns} has no whole number of them"
    return None


def check_reach(structure: Structure | None, targets: ArrayLike) -> None:
    """Check that masks of a structure can have the sparsities of a plan, NaN where none is.

    Raises `InputError` for a target above ``1 - n / m``, which it names.

    >>> check_reach(NofM(2, 4), [0.0, 0.5])
    """
    if not isinstance(structure, NofM):
        return
    highest = np.nanmax(np.asarray(targets, np.float32), initial=np.float32(0))
    if highest > np.float32(structure.highest):
        possible = math.floor(structure.highest * 1e4) / 1e4
        raise InputError(
            f"With {structure} at least {structure.n} weights of each {structure.m} stay, so that "
            f"the highest sparsity is {possible:g}. Received: highest target={highest:.7g}. Give a "
            f"schedule that ends at {possible:g} or below, or another n:m."
        )
