"""Structures of masks in NumPy: counts, whole groups, ties, what fits, words and configs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from trimgrid.allocation.counts import shared_masks
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import share
from trimgrid.errors import InputError
from trimgrid.grids.expansion import expand_grid
from trimgrid.grids.grid import AttemptConfig, article_grid, with_structure
from trimgrid.grids.identity import attempt_config
from trimgrid.grids.toml_file import load_grid
from trimgrid.masks import kept_count, magnitude_mask
from trimgrid.schedules import ConstantSparsity
from trimgrid.structures.grouping import check_reach, grouping, misfit
from trimgrid.structures.kinds import (
    Blocks,
    NofM,
    Structure,
    Units,
    structure_config,
    structure_of,
)
from trimgrid.structures.scores import group_mask, group_scores

Weights = NDArray[np.float32]
STRUCTURES = [Blocks(), Blocks(2, 2, "max"), Blocks(3, 1), NofM(), NofM(1, 3), Units(), Units("l1")]
SHAPES = [(12, 8), (12, 1, 4), (3, 3, 12, 4), (2, 1, 1, 12, 8)]


def parted(structure: Structure, array: NDArray[Any]) -> NDArray[Any]:
    """The members of each group, [groups, members], cut out one by one."""
    matrix = array.reshape(-1, array.shape[-1])
    if isinstance(structure, Units):
        return matrix.T
    if isinstance(structure, NofM):
        return (
            matrix.reshape(-1, structure.m, matrix.shape[1]).swapaxes(1, 2).reshape(-1, structure.m)
        )
    rows, columns = structure.height, structure.width
    return np.array(
        [
            matrix[row : row + rows, column : column + columns].ravel()
            for row in range(0, len(matrix), rows)
            for column in range(0, matrix.shape[1], columns)
        ]
    )


def of(structure: Structure) -> st.SearchStrategy[Weights]:
    shapes = [shape for shape in SHAPES if misfit(structure, shape) is None]
    values = st.sampled_from([0.0, 1.0, -1.0, 2.5, np.inf, np.nan]) | st.floats(width=32)
    return st.sampled_from(shapes).flatmap(
        lambda shape: arrays.arrays("f4", shape, elements=values)
    )


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@given(data=st.data(), share=st.floats(0, 0.999))
def test_counts_are_exact_and_groups_whole(structure: Any, data: Any, share: float) -> None:
    weights = data.draw(of(structure))
    if isinstance(structure, NofM):
        share *= structure.highest
    mask = group_mask(structure, weights, share)
    groups = parted(structure, mask)
    assert mask.shape == weights.shape
    if isinstance(structure, NofM):
        assert mask.sum() == max(
            kept_count(mask.size, share), mask.size * structure.n // structure.m
        )
        assert (groups.sum(axis=1) >= structure.n).all()
    else:
        assert (groups == groups[:, :1]).all()
        assert groups[:, 0].sum() == kept_count(len(groups), share)


@pytest.mark.parametrize("structure", [NofM(2, 4), NofM(1, 3), NofM(1, 2)], ids=str)
@given(data=st.data())
def test_the_pattern_is_exact_at_its_sparsity(structure: NofM, data: Any) -> None:
    weights = data.draw(of(structure))
    mask = group_mask(structure, weights, structure.highest)
    assert (parted(structure, mask).sum(axis=1) == structure.n).all()
    kept = np.abs(np.nan_to_num(weights, nan=np.inf))
    for group, values in zip(parted(structure, mask), parted(structure, kept), strict=True):
        assert values[group].min() >= values[~group].max()


def test_n_of_m_on_its_way_takes_the_smallest_candidates() -> None:
    weights = np.arange(1, 17, dtype=np.float32).reshape(16, 1)
    mask = group_mask(NofM(2, 4), weights, 0.25)
    # 12 stay. 1, 2, 5, 6, 9, 10, 13 and 14 may go, the four smallest of them first.
    assert (np.flatnonzero(~mask) + 1).tolist() == [1, 2, 5, 6]
    assert magnitude_mask(weights, 0.25).ravel().tolist() != mask.ravel().tolist()


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_scores(structure: Structure) -> None:
    weights = np.random.default_rng(1).normal(size=(3, 3, 12, 4)).astype(np.float32)
    groups = np.abs(parted(structure, weights).astype(np.float64))
    if isinstance(structure, NofM):
        np.testing.assert_array_equal(group_scores(structure, weights), np.abs(weights).ravel())
        return
    wanted = {
        "max": groups.max(axis=1),
        "mean": groups.mean(axis=1),
        "l1": groups.mean(axis=1),
        "l2": (groups**2).mean(axis=1),
    }[structure.norm if isinstance(structure, Units) else structure.pooling]
    np.testing.assert_allclose(group_scores(structure, weights), wanted, rtol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_of_equal_groups_the_first_go(structure: Structure) -> None:
    chosen = parted(structure, group_mask(structure, np.ones((12, 8), np.float32), 0.5))
    if isinstance(structure, NofM):
        # The first weights of each group of m can go, and of these the first do.
        assert not chosen[0, 0]
        assert chosen[:, -structure.n :].all()
    else:
        assert chosen[:, 0].tolist() == sorted(chosen[:, 0])


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("kind", ALLOCATIONS)
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5])
def test_allocations_keep_the_model_s_number(
    structure: Structure, kind: str, target: float
) -> None:
    random = np.random.default_rng(2)
    shapes = [(12, 8), (3, 3, 12, 4), (24, 16)]
    weights = [random.normal(0, 1 + i, s).astype("f4") for i, s in enumerate(shapes)]
    sharing = share(Allocation(kind), list("abc"), shapes, np.array([target]), structure)
    masks = shared_masks(weights, sharing, target, structure)
    kept, wanted = sum(int(each.sum()) for each in masks), kept_count(96 + 432 + 384, target)
    assert wanted <= kept < wanted + max(grouping(structure, each).size for each in shapes)
    for each in masks:
        groups = parted(structure, each)
        if isinstance(structure, NofM):
            assert (groups.sum(axis=1) >= structure.n).all()
        else:
            assert (groups == groups[:, :1]).all()
            assert groups[:, 0].any()


def test_uniform_and_overrides_count_groups() -> None:
    shapes = [(8, 8), (8, 16)]
    weights = [np.random.default_rng(3).normal(size=each) for each in shapes]
    allocation = Allocation("uniform", overrides={"a": 0.25})
    sharing = share(allocation, ["a", "b"], shapes, np.array([0.5]), Units())
    masks = shared_masks(weights, sharing, 0.5, Units())
    assert [int(each.any(axis=0).sum()) for each in masks] == [6, 6]
    assert sum(int(each.sum()) for each in masks) == 96


def test_units_compare_by_root_mean_squares() -> None:
    """A layer of more inputs has larger norms (10 against 4), and is not spared for that."""
    weights = [np.full((100, 4), 1.0), np.full((4, 4), 2.0)]
    shapes = [each.shape for each in weights]
    sharing = share(Allocation("global_magnitude"), ["a", "b"], shapes, np.array([0.25]), Units())
    masks = shared_masks(weights, sharing, 0.25, Units())
    assert [int(each[0].sum()) for each in masks] == [3, 4]


REFUSED = [
    (lambda: Blocks(1, 1), "two weights or more"),
    (lambda: Blocks(0, 4), "height must be an integer of at least 1"),
    (lambda: Blocks(pooling="sum"), "pooling must be 'mean' or 'max'"),
    (lambda: NofM(4, 4), "with m above n"),
    (lambda: NofM(0, 4), "n must be an integer"),
    (lambda: Units("l3"), "norm must be 'l2' or 'l1'"),
    (lambda: Units(outputs="head"), "outputs must be a list"),  # type: ignore[arg-type]
    (lambda: Units(outputs=3), "outputs must be a list"),  # type: ignore[arg-type]
    (lambda: structure_of("2 of 4"), "Give for example"),
    (lambda: structure_of({"name": "blocks", "rows": 3}), "one of them in words"),
    (lambda: structure_of(4), "one of them in words"),
    (lambda: AttemptConfig("a", ConstantSparsity(0.5), structure="4:2"), "^a: n:m must leave"),
    (lambda: check_reach(NofM(2, 4), [0.1, np.nan, 0.6]), "highest sparsity is 0.5. Received"),
    (lambda: check_reach(NofM(2, 3), [0.4]), "ends at 0.3333 or below"),
    (
        lambda: share(Allocation("lamp"), ["a"], [(8, 8)], np.array([0.95]), Units()),
        "Possible are sparsities from 0.0 to 0.875",
    ),
    (
        lambda: share(
            Allocation(overrides={"a": 0.6}), ["a", "b"], [(8, 8)] * 2, np.array([0.3]), NofM(2, 4)
        ),
        "highest sparsity is 0.5",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[each[1] for each in REFUSED])
def test_bad_input(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


WORDS = [
    ("blocks 1x4", Blocks(1, 4)),
    ("Blocks 2x2  MAX", Blocks(2, 2, "max")),
    ("blocks 4x1 mean", Blocks(4, 1)),
    ("2:4", NofM(2, 4)),
    ("units", Units()),
    ("units l1", Units("l1")),
    ({"name": "units", "outputs": ["a/*"]}, Units(outputs=("a/*",))),
]


@pytest.mark.parametrize(("words", "wanted"), WORDS, ids=str)
def test_words_and_configs_come_back(words: Any, wanted: Structure) -> None:
    assert structure_of(words) == wanted
    assert structure_of(structure_config(wanted)) == wanted
    if not isinstance(wanted, Units):
        assert structure_of(str(wanted)) == wanted


def test_in_grids_and_names(tmp_path: Any) -> None:
    grid = expand_grid({"target_sparsity": 0.5, "structure": ["2:4", Units("l1"), "blocks 1x4"]})
    names = ["2:4", "units l1", "blocks 1x4"]
    assert [each.name for each in grid] == [f"const sparsity 0.5, structure {n}" for n in names]
    assert [each.structure for each in grid] == [NofM(), Units("l1"), Blocks()]
    file = tmp_path / "grid.toml"
    file.write_text(
        '[[grid]]\ntarget_sparsity = 0.5\nstructure = ["2:4", "units l1", "blocks 1x4"]\n'
        '[[attempt]]\nname = "own"\ntarget_sparsity = 0.5\n'
        'structure = { name = "units", outputs = ["head/*"] }\n'
    )
    read = load_grid(file)
    assert [*read[:3]] == [*grid]
    assert read[3].structure == Units(outputs=("head/*",))
    with pytest.raises(InputError, match="must differ"):
        expand_grid({"target_sparsity": 0.5, "structure": ["2:4", NofM(2, 4)]})


def test_identity_has_it_only_where_set() -> None:
    plain, other = (
        attempt_config(AttemptConfig("a", ConstantSparsity(0.5), structure=each), 10)
        for each in (None, "2:4")
    )
    assert "structure" not in plain
    assert other == {**plain, "structure": {"name": "n_of_m", "n": 2, "m": 4}}


def test_structures_of_their_own_stay() -> None:
    own = AttemptConfig("own", ConstantSparsity(0.5), structure="units")
    found = with_structure([own, *article_grid()[:1]], "2:4")
    assert [each.structure for each in found] == [Units(), NofM()]


@pytest.mark.parametrize(
    ("structure", "shape", "why"),
    [
        (Blocks(1, 4), (8, 6), "blocks 1x4: a matrix of 8x6 has no whole number of them"),
        (Blocks(2, 4), (3, 3, 3, 8), "blocks 2x4: a matrix of 27x8 has no whole number of them"),
        (NofM(2, 4), (3, 3, 6, 8), "2:4: 6 inputs are no multiple of 4"),
        (NofM(2, 4), (0, 8), "2:4: no matrix of inputs and outputs"),
        (Units(), (8, 1), "units l2: a single unit"),
        (Units(), (8,), "units l2: no matrix of inputs and outputs"),
        (NofM(2, 4), (3, 3, 8, 1), None),
    ],
    ids=str,
)
def test_what_does_not_fit(structure: Structure, shape: tuple[int, ...], why: str | None) -> None:
    assert misfit(structure, shape) == why
