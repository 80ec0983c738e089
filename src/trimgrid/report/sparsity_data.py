"""What the pictures of sparsity show: the plan over the steps, and each tensor's share of zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.report.left_out import left_out
from trimgrid.run_directory.details import Details

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SparsitySteps:
    """The planned sparsity of each attempt: corners [n] of a step line, from each step on.

    `note` tells of which attempts nothing was recorded.
    """

    lines: dict[str, tuple[_Floats, _Floats]]
    note: str


@dataclass(frozen=True, eq=False)
class TensorSparsity:
    """The sparsity [tensors, attempts] of the tensors that are pruned, NaN where one is not.

    `note` tells of which attempts nothing was recorded.
    """

    tensors: list[str]
    attempts: list[str]
    sparsity: _Floats
    note: str


def sparsity_steps(details: Mapping[str, Details | None]) -> SparsitySteps:
    """Return the planned sparsity over the training of each attempt, by its name.

    What was never to be pruned has no line. Raises `InputError` where nothing was recorded.

    >>> lines = sparsity_steps({"half": Details((), None, 9, ((3, 0.5),))}).lines
    >>> [corners.tolist() for corners in lines["half"]]
    [[0.0, 3.0, 9.0], [0.0, 0.5, 0.5]]
    """
    known = {name: each for name, each in details.items() if each is not None}
    _check_recorded(details, {name for name, each in known.items() if each.updates})
    lines = {}
    for name, each in known.items():
        if each.updates:
            start = [] if each.updates[0][0] == 0 else [(0, 0.0)]
            corners = np.array(
                [*start, *each.updates, (each.steps, each.updates[-1][1])], dtype=float
            )
            lines[name] = (corners[:, 0], corners[:, 1])
    return SparsitySteps(lines, _note([name for name in details if name not in known]))


def tensor_sparsity(details: Mapping[str, Details | None]) -> TensorSparsity:
    """Return the share of zeros of each pruned tensor in each attempt, by its name.

    Tensors are in the order of the models. Raises `InputError` where nothing was recorded.

    >>> from trimgrid.run_directory.details import TensorSummary
    >>> kernel = TensorSummary("dense/kernel", (4, 2), 8, 4, None)
    >>> tensor_sparsity({"half": Details((kernel,), None, 9, ())}).sparsity.tolist()
    [[0.5]]
    """
    found = {
        name: {tensor.path: tensor.sparsity for tensor in each.tensors if tensor.reason is None}
        for name, each in details.items()
        if each is not None
    }
    found = {name: each for name, each in found.items() if each}
    _check_recorded(details, set(found))
    tensors = list(dict.fromkeys(path for each in found.values() for path in each))
    sparsity = [[each.get(path, np.nan) for each in found.values()] for path in tensors]
    missing = [name for name in details if name not in found]
    return TensorSparsity(tensors, list(found), np.array(sparsity, dtype=float), _note(missing))


def _check_recorded(details: Mapping[str, Details | None], recorded: set[str]) -> None:
    if not recorded:
        raise InputError(
            "An attempt must have its sparsity recorded to be drawn. "
            f"Received: {len(details)} attempts without, as older runs are. "
            "Remove them from the run directory and run them again."
        )


def _note(missing: list[str]) -> str:
    return left_out("Sparsity not recorded", missing)
