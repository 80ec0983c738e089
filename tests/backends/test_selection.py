"""The masks of a compiled step are those of the NumPy oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import ops

from trimgrid import masks
from trimgrid.selection import kept_count, kth_smallest, magnitude_mask

SPARSITIES = [0.0, 0.1, 0.25, 0.33, 0.5, 0.6, 0.9, 0.99, 0.9999]


def compiled(function: Any) -> Any:
    """Compile as the step of the backend is."""
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


MASK = compiled(magnitude_mask)  # one program for each shape, not one for each call
KTH_SMALLEST = compiled(kth_smallest)


def in_graph(weights: np.ndarray[Any, Any], sparsity: float) -> np.ndarray[Any, Any]:
    target = ops.convert_to_tensor(np.float32(sparsity))
    return np.asarray(ops.convert_to_numpy(MASK(ops.convert_to_tensor(weights), target)))


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (7, 3), (3, 3, 2, 4), (33, 65)])
def test_random_weights(shape: tuple[int, ...], sparsity: float) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype("float32")
    np.testing.assert_array_equal(
        in_graph(weights, sparsity), masks.magnitude_mask(weights, sparsity)
    )


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "weights",
    [
        np.ones(100),
        np.zeros(100),
        np.arange(100) % 5 - 2,
        np.where(np.arange(100) % 3, 0.0, np.arange(100)),
        np.array([np.nan, 1.0, -np.inf, 0.0, -0.0, 1e-45, np.inf, np.nan, -2.0, 3.0]),
        np.full((10, 10), 1e-40),
    ],
    ids=["equal", "zeros", "few values", "mostly zeros", "special values", "denormal"],
)
def test_ties_and_special_values(weights: np.ndarray[Any, Any], sparsity: float) -> None:
    weights = weights.astype("float32")
    np.testing.assert_array_equal(
        in_graph(weights, sparsity), masks.magnitude_mask(weights, sparsity)
    )


@given(
    arrays.arrays("float32", st.sampled_from([1, 2, 7, 40]), elements=st.floats(width=32)),
    st.floats(0, 0.9999, exclude_max=True),
)
def test_any_weights(weights: np.ndarray[Any, Any], sparsity: float) -> None:
    np.testing.assert_array_equal(
        in_graph(weights, sparsity), masks.magnitude_mask(weights, sparsity)
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype: str) -> None:
    weights = np.random.default_rng(1).standard_normal(301).astype("float32")
    half = ops.cast(ops.convert_to_tensor(weights), dtype)
    expected = masks.magnitude_mask(ops.convert_to_numpy(ops.cast(half, "float32")), 0.7)
    np.testing.assert_array_equal(ops.convert_to_numpy(magnitude_mask(half, 0.7)), expected)


def test_a_large_tensor() -> None:
    weights = np.random.default_rng(2).standard_normal((1024, 513)).astype("float32")
    weights[:, ::7] = 0.25
    np.testing.assert_array_equal(in_graph(weights, 0.15), masks.magnitude_mask(weights, 0.15))


def test_the_sparsity_may_be_a_tensor() -> None:
    weights = ops.convert_to_tensor(np.arange(10, dtype="float32"))
    found = MASK(weights, ops.convert_to_tensor(np.float32(0.3)))
    assert ops.convert_to_numpy(found).tolist() == [False] * 3 + [True] * 7


@given(st.integers(1, 2**24), st.floats(0, 1, exclude_max=True, width=32))
def test_kept_count(size: int, sparsity: float) -> None:
    assert int(kept_count(size, sparsity)) == masks.kept_count(size, sparsity)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=20, max_size=20), st.integers(1, 20))
def test_kth_smallest(keys: list[int], rank: int) -> None:
    numbers = ops.convert_to_tensor(np.array(keys, "int32"))
    found = KTH_SMALLEST(numbers, ops.convert_to_tensor(np.int32(rank)))
    assert int(found) == sorted(keys)[rank - 1]


@pytest.mark.slow
def test_64_bits_of_jax_do_not_matter() -> None:
    code = (
        "import numpy as np, jax\n"
        "from trimgrid.selection import magnitude_mask\n"
        "weights = np.arange(10, dtype='float32') // 2\n"
        "print(jax.jit(magnitude_mask)(weights, 0.5).astype(int).tolist())"
    )
    variables = {**os.environ, "JAX_ENABLE_X64": "1", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]\n", done.stderr
