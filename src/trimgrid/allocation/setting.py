"""What a caller says about the allocation of an attempt: its kind, least counts, exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimgrid.arguments import check_integer, check_sparsity
from trimgrid.errors import InputError
from trimgrid.suggestions import suggestion

ALLOCATIONS = ("uniform", "erdos_renyi", "global_magnitude", "lamp")
"""The kinds of allocation, see `Allocation`."""


@dataclass(frozen=True)
class Allocation:
    """How many weights each tensor of a model keeps when the model as a whole keeps a given number.

    `kind` is the rule:

    - "uniform": every tensor keeps the same share of its weights.
    - "erdos_renyi": a tensor keeps weights in proportion to the sum of its dimensions, so small and
      square ones stay dense (Evci et al. 2020, "Rigging the Lottery").
    - "global_magnitude": the largest weights of the whole model stay, wherever they are.
    - "lamp": as before, but a weight's square is first divided by the sum of the squares that are
      at least as large in its tensor (Lee et al. 2021, "Layer-adaptive Sparsity").

    `min_kept`: so many weights stay in every tensor, or all where it has fewer. None stands for one
    weight with "uniform" and, as far as the sparsity leaves room for it, one weight for each output
    unit with the others, so that no unit is cut off. `overrides` gives tensors a sparsity of their
    own at the schedule's highest target (it grows with it in proportion), by shell pattern on the
    variable's path or on its end after a slash; the whole model's number stays what it is.

    Raises `InputError` as `check_allocation` does.

    >>> Allocation("lamp", overrides={"dense/kernel": 0.5})
    Allocation(kind='lamp', min_kept=None, overrides={'dense/kernel': 0.5})
    """

    kind: str = "uniform"
    min_kept: int | None = None
    # A mapping has no hash; it is compared all the same, whatever its order.
    overrides: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        check_allocation(self.kind, self.min_kept, self.overrides)
        overrides = {name: float(value) for name, value in (self.overrides or {}).items()}
        object.__setattr__(self, "overrides", overrides or None)
        if self.min_kept is not None:
            object.__setattr__(self, "min_kept", int(self.min_kept))


def allocation_of(
    kind: str | None, min_kept: int | None, overrides: Mapping[str, float] | None
) -> Allocation | None:
    """Return the allocation that settings describe, None where none of them is given.

    Raises `InputError` as `check_allocation` does.

    >>> allocation_of(None, 2, None)
    Allocation(kind='uniform', min_kept=2, overrides=None)
    """
    check_allocation(kind, min_kept, overrides)
    if kind is None and min_kept is None and not overrides:
        return None
    return Allocation(kind or "uniform", min_kept, overrides)


def check_allocation(kind: object, min_kept: object = None, overrides: object = None) -> None:
    """Check what an `Allocation` is made of; None stands for the default of each.

    Raises `InputError` for an unknown kind, a `min_kept` that is no integer of at least 1, and
    overrides that are no mapping of patterns to sparsities in [0, 1).

    >>> check_allocation("erdos_reny")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: An allocation must be a known one. Received: \
allocation='erdos_reny'. Did you mean 'erdos_renyi'? Known are: erdos_renyi, global_magnitude, \
lamp, uniform.
    """
    if kind is not None and kind not in ALLOCATIONS:
        raise InputError(
            f"An allocation must be a known one. Received: allocation={kind!r}. "
            + suggestion(str(kind), ALLOCATIONS)
        )
    if min_kept is not None:
        check_integer("min_kept", min_kept, minimum=1)
    if overrides is None:
        return
    if not isinstance(overrides, Mapping) or not all(isinstance(each, str) for each in overrides):
        raise InputError(
            "overrides must map patterns on paths to sparsities. "
            f'Received: overrides={overrides!r}. Give for example {{"dense/kernel": 0.5}}.'
        )
    for pattern, sparsity in overrides.items():
        check_sparsity(f"overrides[{pattern!r}]", sparsity)
