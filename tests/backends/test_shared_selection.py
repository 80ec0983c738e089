"""The kept counts of a compiled step are those of the NumPy oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import ops
from numpy.typing import NDArray

from trimgrid import masks
from trimgrid.allocation import counts
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import APPORTIONED, BY_LAMP, BY_MAGNITUDE, Sharing, share
from trimgrid.selection import magnitude_mask
from trimgrid.shared_selection import kept_counts

Weights = list[NDArray[np.float32]]
KINDS = [APPORTIONED, BY_MAGNITUDE, BY_LAMP]
TINY = (1, 7, 1, 30, 8)
TENSORS: dict[str, list[tuple[int, ...]]] = {
    "one": [(5, 4)],
    "small": [(1, 32), (1,), (32, 64), (8, 4), (2, 3, 3, 4)],
    # Groups of one size around others, and so many weights that no bisection would do.
    "large": [(4097,), (3, 2), (300, 200), (4097,), (70, 90)],
}


def compiled(function: Any) -> Any:
    """Compile as the step of the backend is."""
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


@cache
def program(kind: int) -> Any:
    return compiled(lambda weights, sharing, target: kept_counts(weights, sharing, target, kind))


def in_graph(weights: Weights, sharing: Sharing, target: float) -> list[int]:
    tensors = [ops.convert_to_tensor(each) for each in weights]
    arrays = Sharing(*(ops.convert_to_tensor(each) for each in sharing))
    aim = ops.convert_to_tensor(np.float32(target))
    found = ops.convert_to_numpy(program(int(sharing.kind))(tensors, arrays, aim))
    assert found.dtype == np.int32
    return list(map(int, found))


def styled(style: str, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    """Weights of a kind that is hard to rank."""
    weights = random.normal(size=shape)
    if style == "ties":
        return random.integers(-2, 3, shape)
    if style == "zeros":
        return np.zeros(shape)
    if style == "sparse":
        return weights * (random.random(shape) < 0.2)
    if style == "equal":
        return np.full(shape, 0.3)
    if style == "denormal":
        return weights * 1e-41
    if style == "wide":
        return weights * 10.0 ** random.integers(-37, 38, shape)
    if style == "special":
        return np.where(
            random.random(shape) < 0.8, weights, random.choice([np.nan, np.inf, -np.inf, 0.0])
        )
    return weights * 10.0 ** random.integers(-30, 30)


STYLES = ["ties", "zeros", "sparse", "equal", "denormal", "wide", "special", "normal", "scaled"]


@st.composite
def cases(draw: st.DrawFn, shapes: Sequence[tuple[int, ...]]) -> tuple[Weights, Sharing, float]:
    """Weights, a sharing that need not come from `share`, and a target."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    styles = draw(st.lists(st.sampled_from(STYLES), min_size=len(shapes), max_size=len(shapes)))
    weights = []
    for style, shape in zip(styles, shapes, strict=True):
        with np.errstate(over="ignore"):
            weights.append(np.asarray(styled(style, shape, random)).astype(np.float32))
    highest = draw(st.floats(0, 1, exclude_max=True, width=32))
    return (
        weights,
        drawn_sharing(draw, random, weights, highest),
        highest * draw(st.sampled_from([0.0, 0.3, 0.75, 1.0])),
    )


def drawn_sharing(
    draw: st.DrawFn, random: np.random.Generator, weights: Weights, highest: float
) -> Sharing:
    sizes = np.array([each.size for each in weights])
    fixed = np.where(random.random(len(sizes)) < 0.2, sizes * random.random(len(sizes)), np.nan)
    return Sharing(
        kind=np.int32(draw(st.sampled_from(KINDS))),
        weights=np.where(random.random() < 0.5, sizes, sizes**0.5 + 1).astype(np.float32),
        floors=np.minimum(sizes, random.integers(0, 1 + random.integers(1, 20))).astype(np.int32),
        fixed=fixed.astype(np.float32),
        highest=np.float32(highest),
    )


def check(weights: Weights, sharing: Sharing, target: float) -> None:
    expected = counts.kept_counts(weights, sharing, target)
    assert in_graph(weights, sharing, target) == expected.tolist()


@given(cases(TENSORS["small"]))
def test_small_tensors(case: tuple[Weights, Sharing, float]) -> None:
    check(*case)


@pytest.mark.slow
@given(cases(TENSORS["large"]))
def test_large_tensors(case: tuple[Weights, Sharing, float]) -> None:
    check(*case)


@given(cases(TENSORS["one"]))
def test_one_tensor(case: tuple[Weights, Sharing, float]) -> None:
    check(*case)


@given(
    st.tuples(
        *(arrays.arrays("float32", size, elements=st.floats(width=32)) for size in TINY),
    ),
    st.sampled_from(KINDS),
    st.floats(0, 1, exclude_max=True, width=32),
)
def test_any_weights(weights: tuple[Any, ...], kind: int, target: float) -> None:
    free = np.full(len(TINY), np.nan, np.float32)
    none = np.zeros(len(TINY), np.int32)
    sizes = np.array(TINY, np.float32)
    check(list(weights), Sharing(np.int32(kind), sizes, none, free, np.float32(0.9)), target)


@pytest.mark.parametrize("kind", ALLOCATIONS)
@pytest.mark.parametrize("overrides", [None, {"2": 0.6}], ids=["free", "overrides"])
def test_what_a_user_sets(kind: str, overrides: dict[str, float] | None) -> None:
    random = np.random.default_rng(0)
    shapes = TENSORS["small"]
    weights = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    plan = np.linspace(0, 0.6, 13)
    sharing = share(Allocation(kind, overrides=overrides), list("01234"), shapes, plan)
    for target in plan:
        check(weights, sharing, float(target))
    assert sum(in_graph(weights, sharing, 0.6)) == masks.kept_count(2185, 0.6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_tensors(kind: int) -> None:
    random = np.random.default_rng(1)
    weights = [random.normal(size=(3, 30)).astype(np.float32) for _ in range(100)]
    sizes = np.full(100, 90)
    sharing = Sharing(
        np.int32(kind),
        sizes.astype(np.float32),
        np.ones(100, np.int32),
        np.full(100, np.nan, np.float32),
        np.float32(0.8),
    )
    check(weights, sharing, 0.77)


@pytest.mark.parametrize("kind", KINDS)
def test_outside_a_compiled_step(kind: int) -> None:
    random = np.random.default_rng(2)
    weights = [random.normal(size=shape).astype(np.float32) for shape in TENSORS["small"]]
    allocation = {APPORTIONED: "erdos_renyi", BY_MAGNITUDE: "global_magnitude", BY_LAMP: "lamp"}
    sharing = share(
        Allocation(allocation[kind], overrides={"0": 0.7}),
        list("01234"),
        TENSORS["small"],
        np.array([0.9]),
    )
    found = kept_counts([ops.convert_to_tensor(each) for each in weights], sharing, 0.61, kind)
    assert ops.convert_to_numpy(found).tolist() == (
        counts.kept_counts(weights, sharing, 0.61).tolist()
    )


def test_rows_with_a_kind_each_in_a_loop() -> None:
    random = np.random.default_rng(3)
    shapes = [(6, 5), (40,), (3, 3)]
    rows = [[random.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(4)]
    sharings = [
        share(Allocation(kind), list("abc"), shapes, np.array([0.5])) for kind in ALLOCATIONS
    ]
    targets = np.array([0.5, 0.4, 0.3, 0.2], np.float32)

    def one(row: Any) -> Any:
        sharing, target, weights = row
        return ops.switch(
            sharing.kind,
            [lambda kind=kind: kept_counts(weights, sharing, target, kind) for kind in KINDS],
        )

    stacked = Sharing(
        *(ops.convert_to_tensor(np.stack(each)) for each in zip(*sharings, strict=True))
    )
    weights = [ops.convert_to_tensor(np.stack(each)) for each in zip(*rows, strict=True)]
    found = ops.convert_to_numpy(
        compiled(lambda *all_rows: ops.map(one, all_rows))(stacked, targets, weights)
    )
    for counted, row, sharing, target in zip(found, rows, sharings, targets, strict=True):
        assert counted.tolist() == counts.kept_counts(row, sharing, float(target)).tolist()


@pytest.mark.slow
def test_64_bits_of_jax_do_not_matter() -> None:
    code = (
        "import numpy as np, jax\n"
        "from trimgrid.allocation.setting import Allocation\n"
        "from trimgrid.allocation.sharing import share\n"
        "from trimgrid.shared_selection import kept_counts\n"
        "weights = [np.arange(10, dtype='float32'), np.ones(5, 'float32')]\n"
        "plan = np.array([0.5])\n"
        "for kind in ('uniform', 'global_magnitude', 'lamp'):\n"
        "    sharing = share(Allocation(kind, overrides={'a': 0.4}), 'ab', [(10,), (5,)], plan)\n"
        "    count = lambda *given: kept_counts(*given, int(sharing.kind))\n"
        "    found = jax.jit(count)(weights, sharing, np.float32(0.5))\n"
        "    print(found.dtype, found.tolist())"
    )
    variables = {**os.environ, "JAX_ENABLE_X64": "1", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "int32 [6, 2]\n" * 3, done.stderr


@pytest.mark.parametrize("kept", [0, 1, 3, 6])
def test_a_mask_of_a_given_count(kept: int) -> None:
    weights = np.array([[1, -2, 2], [0, 2, 5]], np.float32)
    expected = masks.magnitude_mask(weights, kept=kept)
    for count in (kept, ops.convert_to_tensor(np.int32(kept))):
        mask = magnitude_mask(ops.convert_to_tensor(weights), kept=count)
        np.testing.assert_array_equal(ops.convert_to_numpy(mask), expected)
    filled = np.append(weights.ravel(), np.full(3, np.nan, np.float32))
    mask = magnitude_mask(ops.convert_to_tensor(filled), size=6, kept=kept)
    np.testing.assert_array_equal(ops.convert_to_numpy(mask)[:6], expected.ravel())
