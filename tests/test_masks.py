from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import DTypeLike, NDArray

from trimgrid.errors import InputError
from trimgrid.masks import kept_count, magnitude_mask

sparsities = st.floats(0, 1, exclude_max=True)
# Few distinct values make many ties, all floats make NaN, infinities, denormals and both zeros.
values = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0, np.nan]) | st.floats(width=32)
tensors = npst.arrays(np.float32, npst.array_shapes(max_dims=4, max_side=6), elements=values)


def sorted_mask(weights: NDArray[np.float32], sparsity: float) -> NDArray[np.bool_]:
    """The slow way: a stable sort puts equal magnitudes in C order and NaN last."""
    order = np.argsort(np.abs(weights).ravel(), kind="stable")
    mask = np.ones(weights.size, dtype=bool)
    mask[order[: weights.size - kept_count(weights.size, sparsity)]] = False
    return mask.reshape(weights.shape)


@pytest.mark.parametrize(
    ("size", "sparsity", "kept"),
    [
        (5, 0.5, 2),  # 2.5, half to even
        (7, 0.5, 4),  # 3.5, half to even
        (100, 0.9999, 1),
        (100, 0.5, 50),
        (100, 0.0, 100),
        (1, 0.9, 1),
        (0, 0.5, 0),
        (10, 0.200000018, 8),
        (2048, 0.9, 205),
        (1638528, 0.5, 819264),
        (3, 1 - 2**-53, 1),  # 1 as float32: nothing would stay
        (2**24 + 1, 0.0, 2**24),  # as TFMOT: the size is rounded to float32
        (2**24 + 3, 0.0, 2**24 + 3),  # rounded up to 2**24 + 4, but never above the size
    ],
)
def test_kept_count(size: int, sparsity: float, kept: int) -> None:
    result = kept_count(size, sparsity)
    assert result == kept
    assert type(result) is int


@given(st.integers(1, 2**22), sparsities)
def test_kept_count_is_the_exact_share_to_float32_precision(size: int, sparsity: float) -> None:
    kept = kept_count(size, sparsity)
    exact = max(Fraction(size) * (1 - Fraction(sparsity)), Fraction(1))
    assert 1 <= kept <= size
    assert abs(kept - exact) <= Fraction(1, 2) + Fraction(2 * size, 2**23)


@given(st.integers(1, 10**8), sparsities, sparsities)
def test_a_higher_sparsity_never_keeps_more(size: int, one: float, other: float) -> None:
    assert kept_count(size, max(one, other)) <= kept_count(size, min(one, other))


@pytest.mark.parametrize(
    ("weights", "sparsity", "expected"),
    [
        ([3.0, -1.0, 2.0, -4.0], 0.5, [True, False, False, True]),
        ([1.0, 1.0, 1.0, 1.0], 0.5, [False, False, True, True]),
        ([0.0, -0.0, 0.0, -0.0], 0.5, [False, False, True, True]),
        ([2.0, -1.0, 1.0, -1.0, 3.0], 0.4, [True, False, False, True, True]),
        ([np.nan, 1.0, -np.inf, 2.0], 0.5, [True, False, True, False]),
        ([np.nan, -np.nan, np.inf, 1.0], 0.75, [False, True, False, False]),
        ([0.1, 0.2], 0.0, [True, True]),
        ([0.1, 0.2], 0.999, [False, True]),
        ([[1, -5], [0, 7]], 0.5, [[False, True], [False, True]]),
        (5.0, 0.9, True),
        ([], 0.5, []),
    ],
)
def test_magnitude_mask(weights: object, sparsity: float, expected: object) -> None:
    mask = magnitude_mask(np.array(weights), sparsity)
    assert mask.dtype == np.bool_
    assert mask.tolist() == expected


def test_tfmots_own_cases() -> None:
    hundred = np.linspace(1, 100, 100)
    assert magnitude_mask(hundred, 0.9999).sum() == 1
    assert magnitude_mask(hundred, 0.5).sum() == 50
    ten = np.arange(1, 11)
    assert ten[magnitude_mask(ten, 0.200000018)].tolist() == list(range(3, 11))


def test_a_rising_sparsity_leaves_the_counts_of_tfmot() -> None:
    weights = np.random.default_rng(0).permutation(np.linspace(1, 100, 100))
    left = []
    for sparsity in (0, 0.1, 0.1, 0.3, 0.3, *[0.5] * 5):
        weights = weights * magnitude_mask(weights, sparsity)
        left.append(np.count_nonzero(weights))
    assert left == [100, 90, 90, 70, 70, *[50] * 5]


@given(tensors, sparsities)
def test_mask_is_that_of_a_stable_sort(weights: NDArray[np.float32], sparsity: float) -> None:
    before = weights.copy()
    mask = magnitude_mask(weights, sparsity)
    np.testing.assert_array_equal(mask, sorted_mask(weights, sparsity))
    assert mask.sum() == kept_count(weights.size, sparsity)
    np.testing.assert_array_equal(weights, before)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.99999])
@pytest.mark.parametrize("decimals", [1, 3, 9])
def test_large_tensors_match_a_stable_sort(sparsity: float, decimals: int) -> None:
    weights = np.random.default_rng(1).normal(size=(80, 130)).round(decimals).astype(np.float32)
    np.testing.assert_array_equal(magnitude_mask(weights, sparsity), sorted_mask(weights, sparsity))


@given(tensors, sparsities, sparsities)
def test_masks_are_nested(weights: NDArray[np.float32], one: float, other: float) -> None:
    sparse = magnitude_mask(weights, max(one, other))
    dense = magnitude_mask(weights, min(one, other))
    assert not (sparse & ~dense).any()


@given(tensors, sparsities)
def test_the_memory_layout_does_not_matter(weights: NDArray[np.float32], sparsity: float) -> None:
    mask = magnitude_mask(weights, sparsity)
    np.testing.assert_array_equal(magnitude_mask(np.asfortranarray(weights), sparsity), mask)
    apart = np.repeat(weights, 2, axis=0)[::2]
    np.testing.assert_array_equal(magnitude_mask(apart, sparsity), mask)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, ">f8"])
def test_weights_of_other_types_rank_as_float32(dtype: DTypeLike) -> None:
    weights = np.array([3, -128, 1, 2], dtype)
    assert magnitude_mask(weights, 0.5).tolist() == [True, True, False, False]


def test_doubles_that_are_one_float32_tie() -> None:
    weights = np.array([1 + 1e-12, 1.0, 1 - 1e-12, 1e300])
    assert magnitude_mask(weights, 0.5).tolist() == [False, False, True, True]


def test_the_payload_of_a_nan_does_not_matter() -> None:
    bits = np.array([0x7FC0_0001, 0x7F80_0001, 0xFFFF_FFFF, 0x7FC0_0000, 0x7F80_0000], np.uint32)
    mask = magnitude_mask(bits.view(np.float32), 0.6)
    assert mask.tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("sparsity", [-0.001, 1, 1.5, np.nan, True])
def test_a_sparsity_outside_its_range_is_refused(sparsity: float) -> None:
    with pytest.raises(InputError, match="sparsity must be a fraction"):
        magnitude_mask(np.ones(4), sparsity)
    with pytest.raises(InputError, match="sparsity must be a fraction"):
        kept_count(4, sparsity)


@pytest.mark.parametrize("size", [-1, 2.5, True])
def test_a_size_that_is_no_count_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="size must be an integer of at least 0"):
        kept_count(size, 0.5)


@given(tensors, sparsities)
def test_a_given_count_keeps_as_many(weights: NDArray[np.float32], sparsity: float) -> None:
    kept = kept_count(weights.size, sparsity)
    np.testing.assert_array_equal(
        magnitude_mask(weights, kept=kept), magnitude_mask(weights, sparsity)
    )


@pytest.mark.parametrize("kept", [0, 1, 3, 4])
def test_any_count_may_be_given(kept: int) -> None:
    mask = magnitude_mask(np.ones((2, 2)), kept=kept)
    assert mask.ravel().tolist() == [False] * (4 - kept) + [True] * kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a sparsity or a number"),
        ({"sparsity": 0.5, "kept": 2}, "either a sparsity or a number"),
        ({"kept": 5}, "can't keep more weights than there are. Received: kept=5, size=4"),
        ({"kept": -1}, "kept must be an integer of at least 0"),
        ({"kept": 1.0}, "kept must be an integer of at least 0"),
    ],
)
def test_counts_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        magnitude_mask(np.ones(4), **arguments)
