"""What can be said about an allocation, and what it becomes for the tensors of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.allocation.overrides import overridden
from trimgrid.allocation.setting import ALLOCATIONS, Allocation, check_allocation
from trimgrid.allocation.sharing import APPORTIONED, BY_LAMP, BY_MAGNITUDE, Sharing, share
from trimgrid.errors import InputError

PATHS = ["in/kernel", "mid/kernel", "out/kernel"]
SHAPES = [(1, 32), (32, 64), (64, 1)]


def shared(allocation: Allocation, highest: float = 0.5) -> Sharing:
    return share(allocation, PATHS, SHAPES, np.array([np.nan, highest / 2, highest]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lamb",), r"known one. Received: allocation='lamb'. Did you mean 'lamp'\? Known are"),
        ((3,), "must be a known one. Received: allocation=3"),
        (("lamp", 0), "min_kept must be an integer of at least 1. Received: min_kept=0"),
        (("lamp", 1.5), "min_kept must be an integer"),
        (("lamp", None, [("a", 0.5)]), "overrides must map patterns"),
        (("lamp", None, {3: 0.5}), "overrides must map patterns"),
        (("lamp", None, {"a": 1.0}), r"overrides\['a'\] must be a fraction"),
        (("lamp", None, {"a": "half"}), r"overrides\['a'\] must be a fraction"),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_allocation(*arguments)
    with pytest.raises(InputError, match=message):
        Allocation(*arguments)


def test_nothing_said_is_fine() -> None:
    check_allocation(None)
    assert Allocation() == Allocation("uniform", None, {})


def test_allocations_are_compared_by_what_they_say() -> None:
    given_overrides = {"a": 0.5, "b": 0}
    one = Allocation("lamp", np.int64(2), given_overrides)  # type: ignore[arg-type]
    given_overrides["a"] = 0.9  # the caller's own
    other = Allocation("lamp", 2, {"b": 0.0, "a": 0.5})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Allocation("lamp", 2, {"a": 0.5})
    assert type(one.min_kept) is int


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (None, [None, None, None]),
        ({"mid/kernel": 0.3}, [None, 0.3, None]),
        ({"kernel": 0.3}, [0.3, 0.3, 0.3]),
        ({"?n/*": 0.3, "out/kernel": 0.1}, [0.3, None, 0.1]),
        ({"in/*": 0.3, "in/kernel": 0.3}, [0.3, None, None]),  # twice, but the same
    ],
)
def test_which_tensors_overrides_mean(
    overrides: dict[str, float] | None, expected: list[float | None]
) -> None:
    assert overridden(overrides, PATHS) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"in/bias": 0.3},
            "must match .* pruned. Received: overrides='in/bias'. The paths are: in/",
        ),
        (
            {"in/*": 0.3, "kernel": 0.4},
            "one sparsity. Received: 'in/\\*' and 'kernel' for in/kernel",
        ),
    ],
)
def test_overrides_that_are_refused(overrides: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shared(Allocation("lamp", overrides=overrides))


@pytest.mark.parametrize(
    ("kind", "number", "weights"),
    [
        ("uniform", APPORTIONED, [32, 2048, 64]),
        ("erdos_renyi", APPORTIONED, [33, 96, 65]),
        ("global_magnitude", BY_MAGNITUDE, [32, 2048, 64]),
        ("lamp", BY_LAMP, [32, 2048, 64]),
    ],
)
def test_the_arrays_of_each_kind(kind: str, number: int, weights: list[int]) -> None:
    assert kind in ALLOCATIONS
    sharing = shared(Allocation(kind, overrides={"out/kernel": 0.25}))
    assert int(sharing.kind) == number
    assert sharing.weights.tolist() == weights
    assert sharing.fixed.tolist()[2] == 16
    assert np.isnan(sharing.fixed).tolist() == [True, True, False]
    assert float(sharing.highest) == 0.5
    types = [np.asarray(each).dtype.name for each in sharing]
    assert types == ["int32", "float32", "int32", "float32", "float32"]


@pytest.mark.parametrize(
    ("kind", "min_kept", "highest", "expected"),
    [
        ("uniform", None, 0.5, [1, 1, 1]),
        ("lamp", None, 0.5, [32, 64, 1]),
        ("erdos_renyi", None, 0.9, [32, 64, 1]),
        ("global_magnitude", None, 0.97, [21, 41, 1]),  # 64 stay: 61 of 94 above one each
        ("lamp", None, 0.9999, [1, 1, 1]),  # one weight stays by the target, three by the floors
        ("lamp", 40, 0.9, [32, 40, 40]),
        ("uniform", 2, 0.9, [2, 2, 2]),
    ],
)
def test_floors(kind: str, min_kept: int | None, highest: float, expected: list[int]) -> None:
    assert shared(Allocation(kind, min_kept), highest).floors.tolist() == expected


def test_floors_go_down_where_overrides_leave_little() -> None:
    # 214 of 2144 weights stay, 205 of them in the middle: 9 are left for the two others.
    sharing = shared(Allocation("lamp", overrides={"mid/kernel": 0.9}), 0.9)
    assert sharing.floors.tolist() == [8, 64, 1]


@pytest.mark.parametrize(
    ("allocation", "highest", "possible"),
    [
        (Allocation("lamp", 100), 0.95, "from 0.0 to 0.9085"),  # 32 + 100 + 64 of 2144
        (Allocation("uniform", overrides={"mid/kernel": 0.1}), 0.5, "from 0.0957 to 0.1394"),
        (Allocation("uniform", overrides={"mid/kernel": 0.9}), 0.5, "from 0.8597 to 0.9034"),
        (Allocation("lamp", overrides={"kernel": 0.5}), 0.6, "from 0.5 to 0.5"),
    ],
)
def test_targets_that_cannot_be_reached(
    allocation: Allocation, highest: float, possible: str
) -> None:
    with pytest.raises(InputError, match=f"Possible are sparsities {possible}:"):
        shared(allocation, highest)


@given(
    st.lists(
        st.lists(st.integers(1, 20), min_size=1, max_size=3).map(tuple), min_size=1, max_size=5
    ),
    st.floats(0, 0.999),
    st.sampled_from(ALLOCATIONS),
)
def test_default_floors_never_stand_in_the_way(
    shapes: Sequence[tuple[int, ...]], highest: float, kind: str
) -> None:
    paths = [f"{place}" for place in range(len(shapes))]
    sharing = share(Allocation(kind), paths, shapes, np.array([highest]))
    sizes = [math.prod(shape) for shape in shapes]
    kept = max(round(sum(sizes) * (1 - highest)) - 1, len(sizes))
    assert sharing.floors.sum() <= kept + 1
    assert (sharing.floors >= 1).all()
    assert (sharing.floors <= sizes).all()


def test_too_many_weights() -> None:
    with pytest.raises(InputError, match="Received: 2147483648 weights"):
        share(Allocation("lamp"), ["a"], [(2**16, 2**15)], np.array([0.5]))


def test_a_plan_without_updates() -> None:
    assert float(share(Allocation(), ["a"], [(2, 2)], np.array([np.nan])).highest) == 0
