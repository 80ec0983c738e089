from __future__ import annotations

import json
import math
import tracemalloc
from collections import OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.digests import array_digest, digest
from trimgrid.errors import InputError

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def turned(value: Any) -> Any:
    """The same with the keys of every dict in the other order, and tuples for lists."""
    if isinstance(value, dict):
        return OrderedDict((key, turned(value[key])) for key in reversed(list(value)))
    return tuple(map(turned, value)) if isinstance(value, list) else value


@given(values)
def test_the_order_of_keys_does_not_count(value: Any) -> None:
    assert digest(value) == digest(turned(value))
    assert len(digest(value)) == 16
    assert int(digest(value), 16) >= 0


@given(values, values)
def test_digests_are_equal_only_if_the_values_are(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (plain(one) == plain(other))


@given(values)
def test_a_value_in_a_place_of_its_own_differs(value: Any) -> None:
    others = [[value], [[value]], {"a": value}, {"b": value}, [value, value], [value, 0.5]]
    digests = {digest(each) for each in [value, *others]}
    assert len(digests) == 7


def test_digests_stay_the_same_from_version_to_version() -> None:
    assert digest({"epochs": 20, "rates": (0.1, None)}) == "e7f803ceb5fd0cc0"
    assert array_digest([np.arange(3, dtype="<f4")], None) == "2c573d5dfc980231"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (np.float64(0.1), 0.1, True),
        (np.float32(0.1), 0.1, False),
        (np.float32(0.5), 0.5, True),
        (np.int64(3), 3, True),
        (np.bool_(True), True, True),
        (np.str_("adam"), "adam", True),
        ((1, 2), [1, 2], True),
        (math.nan, float("nan"), True),
        (math.nan, "NaN", False),
        (math.nan, None, False),
        (math.inf, -math.inf, False),
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, False),
        ("1", 1, False),
        ({1: "a"}, {"1": "a"}, False),
        ({1: "a"}, {np.int64(1): "a"}, True),
        ({True: "a"}, {1: "a"}, False),
        ({0: 1.0, 10: 2.0, 9: 3.0}, {9: 3.0, 10: 2.0, 0: 1.0}, True),
        ([], {}, False),
        ([], None, False),
        ("\ud800", "\ud801", False),
        (10**40, 10**40 + 1, False),
    ],
)
def test_what_is_the_same(one: Any, other: Any, same: bool) -> None:
    assert (digest(one) == digest(other)) is same


loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "Received: set"),
        (b"bytes", "Received: bytes"),
        (np.zeros(2), "Received: ndarray"),
        (object(), "Received: object"),
        (1j, "Received: complex"),
        (np.longdouble(1), "Received: longdouble"),
        ({"a": [{"b": print}]}, "Received: builtin_function_or_method"),
        ({(1, 2): 3}, r"Keys .* Received: tuple, \(1, 2\)"),
        ({None: 3}, "Keys .* Received: NoneType"),
        ({1.5: 3}, "Keys .* Received: float"),
        (loop, "Received: list"),
        ([10**5000], "Received: list, Exceeds the limit"),
    ],
)
def test_what_json_does_not_have_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        digest(value)


x = np.arange(24, dtype="float32").reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (x, x.copy(), True),
        (x, np.asfortranarray(x), True),
        (x.T, np.ascontiguousarray(x.T), True),
        (x[:, ::2], x[:, ::2].copy(), True),
        (x[::-1], x[::-1].copy(), True),
        (np.broadcast_to(x[0], (2, 3, 4)), np.stack([x[0], x[0]]), True),
        (x, x.T, False),
        (x, x.reshape(6, 4), False),
        (x, x.astype("float64"), False),
        (x, x.astype(">f4"), False),
        (x, x.view("int32"), False),
        (x, [x], False),
        ([x], (x,), True),
        ([x, x + 1], [x + 1, x], False),
        ([[x], x], [x, [x]], False),
        ({"a": x, "b": x + 1}, {"b": x + 1, "a": x}, True),
        ({"a": x}, {"b": x}, False),
        ({"a": x}, [x], False),
        ([x, None], [x], False),
        (np.zeros((0, 3)), np.zeros((0, 4)), False),
        (np.zeros((0, 3))[::2], np.zeros((0, 3)), True),
        (np.float32(3), np.array(3, "float32"), True),
        (3.0, np.array([3.0]), False),
        (np.array(["a", "bc"]), np.array(["a", "bd"]), False),
        (np.array(["2020"], "M8[Y]"), np.array(["2021"], "M8[Y]"), False),
        (x.astype(ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16), True),
        (x.astype(ml_dtypes.bfloat16).T, x.T.copy().astype(ml_dtypes.bfloat16), True),
        (x.astype(ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16).view("uint16"), False),
        (
            np.zeros(3, ml_dtypes.float8_e4m3fn),
            np.zeros(3, ml_dtypes.float8_e5m2),
            False,
        ),
    ],
)
def test_what_counts_of_arrays(one: Any, other: Any, same: bool) -> None:
    assert (array_digest(one) == array_digest(other)) is same


def test_arguments_are_told_apart_from_a_list() -> None:
    assert array_digest(x, x) != array_digest([x, x])
    assert array_digest(x) != array_digest(x, x) != array_digest()


@pytest.mark.parametrize("flip", range(24))
def test_every_bit_counts(flip: int) -> None:
    changed = x.copy()
    changed.view("uint32").reshape(-1)[flip] ^= 1
    assert array_digest(changed) != array_digest(x)
    assert array_digest(changed.T) != array_digest(x.T)


def test_pieces_of_a_large_array_are_put_together_right() -> None:
    large = np.random.default_rng(0).random((3, 70001))
    assert array_digest(large.T) == array_digest(large.T.copy())


def test_no_array_is_copied_as_a_whole() -> None:
    large = np.zeros((1000, 4000), "float32")
    for array in (large, large.T, large[:, ::2]):
        tracemalloc.start()
        array_digest(array)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < large.nbytes / 20


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([object()]), "dtype=object"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "dtype=StringDType"),
        (np.zeros(2, [("a", "f4")]), r"dtype=\[\('a'"),
        ({1: x}, "Keys .* Received: 1"),
    ],
)
def test_arrays_whose_bytes_say_nothing_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        array_digest([value])
