"""Structures of masks: blocks, n of m along the inputs, whole units; in objects and in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from trimgrid.arguments import check_integer
from trimgrid.errors import InputError
from trimgrid.suggestions import suggestion

POOLINGS = ("mean", "max")
NORMS = ("l2", "l1")


@dataclass(frozen=True)
class Blocks:
    """Blocks of `height` x `width` weights stay or go as one.

    A block lies in the kernel as a matrix [inputs, outputs]; that of a convolution, shape
    [..., in, out], is the matrix [... * in, out]. A block is worth the mean, or with
    ``pooling="max"`` the maximum, of its magnitudes in float32. A tensor whose matrix is not made
    up of whole blocks is not pruned. In words: "blocks 1x4", "blocks 2x2 max".

    Raises `InputError` for sides that are no integers of at least 1, for a block of one weight, and
    an unknown pooling.

    Source: Narang et al. 2017, "Block-Sparse Recurrent Neural Networks".

    >>> print(Blocks(2, 2, pooling="max"))
    blocks 2x2 max
    """

    height: int = 1
    width: int = 4
    pooling: str = "mean"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), minimum=1))
        if self.height * self.width == 1:
            raise InputError(
                "A block must hold two weights or more. Received: a block of 1x1. "
                "Leave the structure away: then each weight is chosen by itself."
            )
        _check_name("pooling", self.pooling, POOLINGS)

    def __str__(self) -> str:
        """In words, as `structure_of` reads them."""
        return f"blocks {self.height}x{self.width}" + (" max" if self.pooling == "max" else "")


@dataclass(frozen=True)
class NofM:
    """Of each `m` weights in a row along the inputs at least `n` stay: n:m, such as 2:4.

    The inputs are the last axis but one: the rows of a Dense kernel, the input channels of a
    convolution at each place of its window. Only weights that are not among the `n` largest of
    their group can go, the smallest first. So at a sparsity of ``1 - n / m`` every group has
    exactly `n` weights; below it the masks are on their way there. A tensor whose inputs `m` does
    not divide is not pruned. In words: "2:4".

    Raises `InputError` for what is no integer, for `n` below 1 and `m` that is not above `n`.

    Source: Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks".

    >>> print(NofM(1, 4), NofM(1, 4).highest)
    1:4 0.75
    """

    n: int = 2
    m: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_integer("n", self.n, minimum=1))
        object.__setattr__(self, "m", check_integer("m", self.m, minimum=1))
        if self.m <= self.n:
            raise InputError(
                "n:m must leave something to prune: n weights of m, with m above n. "
                f"Received: n={self.n}, m={self.m}. Give for example NofM(2, 4)."
            )

    @property
    def highest(self) -> float:
        """The highest sparsity that there is with it."""
        return 1 - self.n / self.m

    def __str__(self) -> str:
        """In words, as `structure_of` reads them."""
        return f"{self.n}:{self.m}"


@dataclass(frozen=True)
class Units:
    """Whole output units of Dense kernels and whole filters of convolutions stay or go as one.

    A unit is what the last axis of the kernel counts; it is worth the L2 or L1 norm of its weights.
    Between tensors, where an allocation ranks those of a whole model, norms are set against the
    unit's size: root mean squares, mean magnitudes. A unit's bias stays:
    `trimgrid.shrink_model` adds what such a unit still gives to the layers behind it. In words:
    "units" or "units l2", "units l1".

    `outputs`: patterns on the paths of kernels whose units are the model's answers, and stay. None:
    a study finds them in the model's graph, where it has one; else it is the last kernel that units
    could be pruned of.

    Raises `InputError` for an unknown norm, and patterns that are no texts.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets".

    >>> print(Units(norm="l1"))
    units l1
    """

    norm: str = "l2"
    outputs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_name("norm", self.norm, NORMS)
        given = self.outputs
        if given is None:
            return
        listed = isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)
        if not listed:
            raise InputError(
                "outputs must be a list of patterns on paths of kernels. "
                f'Received: outputs={given!r}. Give for example ["head/*"].'
            )
        object.__setattr__(self, "outputs", tuple(given))

    def __str__(self) -> str:
        """In words; the outputs are not told."""
        return f"units {self.norm}"


Structure: TypeAlias = Blocks | NofM | Units
_KINDS: dict[str, type[Any]] = {"blocks": Blocks, "n_of_m": NofM, "units": Units}
_BLOCKS = re.compile(r"blocks (\d+)x(\d+)(?: (mean|max))?")
_N_OF_M = re.compile(r"(\d+):(\d+)")
_UNITS = re.compile(r"units(?: (l1|l2))?")


def structure_of(value: object) -> Structure | None:
    """Return the structure that an object, words, or a dict as of `structure_config` describe.

    Raises `InputError` for anything else, and as the structures do.

    >>> structure_of("2:4"), structure_of("blocks 1x4"), structure_of("units")
    (NofM(n=2, m=4), Blocks(height=1, width=4, pooling='mean'), Units(norm='l2', outputs=None))
    >>> structure_of({"name": "units", "outputs": ["head/*"]}).outputs
    ('head/*',)
    """
    if value is None or isinstance(value, Blocks | NofM | Units):
        return value
    if isinstance(value, str):
        words = " ".join(value.lower().split())
        if found := _BLOCKS.fullmatch(words):
            return Blocks(int(found[1]), int(found[2]), found[3] or "mean")
        if found := _N_OF_M.fullmatch(words):
            return NofM(int(found[1]), int(found[2]))
        if found := _UNITS.fullmatch(words):
            return Units(found[1] or "l2")
    if isinstance(value, Mapping):
        arguments = dict(value)
        kind = _KINDS.get(str(arguments.pop("name", None)))
        if kind is not None and set(arguments) <= set(kind.__dataclass_fields__):
            made: Structure = kind(**arguments)
            return made
    raise InputError(
        "A structure must be Blocks, NofM or Units, or one of them in words. "
        f"Received: structure={value!r}. "
        'Give for example "blocks 1x4", "blocks 2x2 max", "2:4", "units" or "units l1".'
    )


def structure_config(structure: Structure) -> dict[str, Any]:
    """Return a structure as data ready for JSON, which `structure_of` reads.

    >>> structure_config(NofM(2, 4)), structure_config(Units())
    ({'name': 'n_of_m', 'n': 2, 'm': 4}, {'name': 'units', 'norm': 'l2'})
    """
    (name,) = (name for name, kind in _KINDS.items() if type(structure) is kind)
    told = {key: each for key, each in asdict(structure).items() if each is not None}
    return {"name": name, **{k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}}


def _check_name(argument: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{argument} must be {' or '.join(map(repr, known))}. Received: {argument}={value!r}. "
            + suggestion(str(value), known)
        )
