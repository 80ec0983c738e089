"""Masks of a structure chosen in a compiled step are those of the NumPy oracle, to the bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from keras import ops

from tests.backends.test_shared_selection import compiled
from trimgrid.allocation.setting import Allocation
from trimgrid.mask_choice import MaskChoice
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units

SHAPES = [(8, 12), (3, 3, 8, 16), (52, 24)]
STRUCTURES = [Blocks(), Blocks(2, 4, "max"), NofM(), Units()]
TARGETS = (0.0, 0.3, 0.5)


def tensors() -> dict[str, list[Any]]:
    """Weights of many kinds: plain, with ties, not finite, and over all sizes that there are."""
    random = np.random.default_rng(4)
    plain = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    holes = [random.random(shape) for shape in SHAPES]
    with np.errstate(over="ignore"):
        return {
            "plain": plain,
            "ties": [np.round(each) for each in plain],
            "equal": [np.ones_like(each) for each in plain],
            "tiny": [each * np.float32(1e-20) for each in plain],
            "not finite": [
                np.where(hole < 0.02, np.nan, np.where(hole < 0.05, np.inf, each)).astype("f4")
                for each, hole in zip(plain, holes, strict=True)
            ],
            "spread": [
                (each * 10.0 ** random.uniform(-45, 38, each.shape)).astype("f4") for each in plain
            ],
        }


KINDS = tensors()


@cache
def choice(structure: Structure, kind: str | None) -> tuple[MaskChoice, Any]:
    allocation = None if kind is None else Allocation(kind)
    made = MaskChoice(allocation, list("abc"), SHAPES, np.array(TARGETS), structure)
    return made, compiled(made.masks_in_step)


@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_each_tensor_by_itself(structure: Structure, weights: str) -> None:
    check(structure, None, weights)


@pytest.mark.parametrize(
    ("structure", "kind"),
    [
        (Blocks(2, 4), "lamp"),
        (NofM(), "global_magnitude"),
        (NofM(), "lamp"),
        (Units(), "lamp"),
        (Units("l1"), "erdos_renyi"),
    ],
    ids=str,
)
def test_shared_out(structure: Structure, kind: str) -> None:
    for weights in KINDS:
        check(structure, kind, weights)


def check(structure: Structure, kind: str | None, weights: str) -> None:
    made, in_step = choice(structure, kind)
    arrays = KINDS[weights]
    for target in TARGETS:
        found = in_step(
            [ops.convert_to_tensor(each) for each in arrays],
            ops.convert_to_tensor(np.float32(target)),
        )
        for mask, wanted in zip(found, made.masks(arrays, target), strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(mask), wanted, f"{weights} {target}")
