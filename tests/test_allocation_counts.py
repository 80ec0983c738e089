"""The kept counts of NumPy, against the formulas as their papers have them, by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimgrid import masks
from trimgrid.allocation.counts import kept_counts, shared_masks
from trimgrid.allocation.lamp import lamp_scores
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import BY_LAMP, BY_MAGNITUDE, Sharing, share
from trimgrid.errors import InputError

Weights = list[NDArray[Any]]
SHAPES = {
    "mlp": [(1, 32), (32, 64), (64, 32), (32, 1)],
    "cnn": [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 32), (1280, 128), (128, 5)],
    "lstm": [(4, 64), (16, 64), (16, 1)],
}
TARGETS = [0.1, 0.3, 0.5, 0.8, 0.9, 0.95]


def shared(kind: str, weights: Weights, highest: float, **settings: Any) -> Sharing:
    paths = [f"{place}/kernel" for place in range(len(weights))]
    shapes = [each.shape for each in weights]
    return share(Allocation(kind, **settings), paths, shapes, np.array([highest]))


def without_floors(kind: int, weights: Weights) -> Sharing:
    """The rule alone: every tensor may lose all its weights."""
    none = np.full(len(weights), np.nan, np.float32)
    return Sharing(np.int32(kind), none, np.zeros(len(weights), np.int32), none, np.float32(0.5))


def drawn(shapes: Sequence[tuple[int, ...]], sample: str, seed: int = 0) -> Weights:
    """Weights of each tensor with a scale of its own."""
    random = np.random.default_rng(seed)
    found = []
    for shape in shapes:
        weights = random.normal(size=shape) if sample != "uniform" else random.uniform(-1, 1, shape)
        if sample == "sparse":
            weights *= random.random(shape) < 0.3
        found.append((weights * 10 ** random.uniform(-2, 2)).astype(np.float32))
    return found


def in_the_best(scores: Weights, kept: int) -> list[int]:
    """How many of each tensor are among the `kept` largest of all; of equal ones the last stay."""
    owner = np.repeat(np.arange(len(scores)), [each.size for each in scores])
    flat = np.concatenate([each.ravel() for each in scores])
    best = np.argsort(flat, kind="stable")[flat.size - kept :]
    return np.bincount(owner[best], minlength=len(scores)).tolist()


def textbook_lamp(weights: NDArray[Any]) -> NDArray[np.float64]:
    squares = weights.astype(np.float64).ravel() ** 2
    order = np.argsort(squares, kind="stable")
    sums = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty(squares.size)
    scores[order] = squares[order] / np.where(sums > 0, sums, 1)
    return scores


def textbook_erk(shapes: Sequence[tuple[int, ...]], sparsity: float) -> NDArray[np.float64]:
    """Densities in proportion to sum(shape) / prod(shape), capped at 1 one after the other."""
    sizes = np.array([np.prod(shape) for shape in shapes], float)
    raw = np.array([sum(shape) for shape in shapes]) / sizes
    dense = np.zeros(len(sizes), bool)
    while True:
        budget = sizes.sum() * (1 - sparsity) - sizes[dense].sum()
        density = np.where(dense, 1, raw * budget / (raw * sizes)[~dense].sum())
        if not (density > 1).any():
            return density
        dense |= density > 1


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("target", TARGETS)
def test_uniform(shapes: list[tuple[int, ...]], target: float) -> None:
    weights = drawn(shapes, "normal")
    counts = kept_counts(weights, shared("uniform", weights, target), target)
    assert counts.sum() == masks.kept_count(sum(each.size for each in weights), target)
    for kept, each in zip(counts, weights, strict=True):
        assert abs(int(kept) - masks.kept_count(each.size, target)) <= 1


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("target", TARGETS)
def test_erdos_renyi(shapes: list[tuple[int, ...]], target: float) -> None:
    weights = drawn(shapes, "normal")
    counts = kept_counts(weights, shared("erdos_renyi", weights, target, min_kept=1), target)
    assert counts.sum() == masks.kept_count(sum(each.size for each in weights), target)
    expected = textbook_erk(shapes, target) * [each.size for each in weights]
    # Half a weight by rounding, and what the roundings of the others leave to the largest.
    np.testing.assert_allclose(counts, expected, atol=1.5)


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=5),
    st.floats(0, 0.99),
)
def test_global_magnitude_with_many_ties(values: list[list[int]], target: float) -> None:
    weights = [np.array(each, np.float32) for each in values]
    kept = masks.kept_count(sum(each.size for each in weights), target)
    counts = kept_counts(weights, without_floors(BY_MAGNITUDE, weights), target)
    assert counts.tolist() == in_the_best([np.abs(each) for each in weights], kept)


@pytest.mark.parametrize("sample", ["normal", "uniform", "sparse"])
@pytest.mark.parametrize("target", TARGETS)
def test_global_magnitude(sample: str, target: float) -> None:
    weights = drawn(SHAPES["cnn"], sample)
    kept = masks.kept_count(sum(each.size for each in weights), target)
    counts = kept_counts(weights, without_floors(BY_MAGNITUDE, weights), target)
    assert counts.tolist() == in_the_best([np.abs(each) for each in weights], kept)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("sample", ["normal", "uniform", "sparse"])
@pytest.mark.parametrize("target", TARGETS)
def test_lamp(shapes: list[tuple[int, ...]], sample: str, target: float) -> None:
    if sample == "sparse" and target < 0.8:
        pytest.skip("zeros are left to choose among, and by no score")
    weights = drawn(shapes, sample)
    kept = masks.kept_count(sum(each.size for each in weights), target)
    counts = kept_counts(weights, without_floors(BY_LAMP, weights), target)
    assert counts.sum() == kept
    expected = in_the_best([textbook_lamp(each) for each in weights], kept)
    for count, textbook, each in zip(counts, expected, weights, strict=True):
        assert abs(int(count) - textbook) <= max(0.02 * each.size, 1)


def test_lamp_scores_are_near_those_of_the_paper() -> None:
    weights = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    scores, expected = lamp_scores(weights), textbook_lamp(weights)
    # A weight's sum has its whole bin, of which the largest weights have most.
    small = np.abs(weights) < 2
    np.testing.assert_allclose(scores[small], expected[small], rtol=0.08)
    assert np.median(np.abs(scores[small] / expected[small] - 1)) < 0.01
    assert (np.diff(scores[np.argsort(np.abs(weights))]) >= 0).all()


def test_the_scale_of_a_tensor_does_not_matter_to_lamp() -> None:
    weights = np.random.default_rng(0).normal(size=300).astype(np.float32)
    scores = lamp_scores(weights)
    for power in (-100, -1, 3, 120):
        np.testing.assert_array_equal(lamp_scores(np.ldexp(weights, power)), scores)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([], []),
        ([0.0, -0.0], [0.0, 0.0]),
        ([1e-40, 1e-45], [0.0, 0.0]),
        ([1.0, 2.0**-16], [0.98, 0.0]),
        ([np.inf, 1.0, np.nan], [0.5, 0.0, 0.5]),
        ([5.0], [0.98]),
    ],
)
def test_lamp_scores_of_special_values(weights: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(lamp_scores(weights), expected, atol=0.03)


@given(
    st.sampled_from(ALLOCATIONS),
    st.integers(0, 2**32),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.floats(0, 0.99),
    st.integers(1, 5),
)
def test_the_sum_and_the_bounds_are_kept(
    kind: str, seed: int, sizes: list[int], target: float, min_kept: int
) -> None:
    weights = drawn([(size,) for size in sizes], "sparse", seed)
    floors = np.minimum(sizes, min_kept)
    kept = masks.kept_count(sum(sizes), target)
    if kept < floors.sum():
        with pytest.raises(InputError, match="Possible are"):
            shared(kind, weights, target, min_kept=min_kept)
        return
    sharing = shared(kind, weights, target, min_kept=min_kept)
    counts = kept_counts(weights, sharing, target)
    assert counts.sum() == kept
    assert (counts >= floors).all()
    assert (counts <= sizes).all()
    for mask, count, each in zip(
        shared_masks(weights, sharing, target), counts, weights, strict=True
    ):
        np.testing.assert_array_equal(mask, masks.magnitude_mask(each, kept=int(count)))


@pytest.mark.parametrize("kind", ALLOCATIONS)
def test_an_override_grows_with_the_schedule(kind: str) -> None:
    weights = drawn(SHAPES["mlp"], "normal")
    sharing = shared(kind, weights, 0.5, overrides={"1/kernel": 0.5, "3/kernel": 0.0})
    for target in (0.0, 0.1, 0.25, 0.5):
        counts = kept_counts(weights, sharing, target)
        assert counts.sum() == masks.kept_count(4160, target)
        assert counts[1] == 2048 - round(1024 * target / 0.5)
        assert counts[3] == 32


def test_a_tensor_with_an_override_keeps_one_weight() -> None:
    weights = drawn([(1,), (100,)], "normal")
    sharing = shared("lamp", weights, 0.5, overrides={"0/kernel": 0.9})
    assert kept_counts(weights, sharing, 0.5)[0] == 1


@pytest.mark.parametrize("kind", ALLOCATIONS)
def test_more_tensors_than_weights_to_keep(kind: str) -> None:
    weights = drawn([(3,)] * 5, "normal")
    sharing = shared(kind, weights, 0.99)
    assert kept_counts(weights, sharing, 0.99).tolist() == [1] * 5


def test_weights_are_not_read_where_sizes_decide() -> None:
    weights: Weights = [np.empty(10, object), np.empty(30, object)]
    sharing = share(Allocation(), ["a", "b"], [(10,), (30,)], np.array([0.5]))
    assert kept_counts(weights, sharing, 0.5).tolist() == [5, 15]
