"""Masks beside TFMOT's: the same but where magnitudes are equal, and there as documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from numpy.typing import NDArray

from trimgrid.masks import kept_count, magnitude_mask
from trimgrid.selection import magnitude_mask as compiled_mask
from trimgrid.structures.kinds import Blocks, NofM
from trimgrid.structures.scores import group_mask

Weights = NDArray[np.float32]
SPARSITIES = (0.0, 0.001, 0.1, 0.25, 1 / 3, 0.5, 0.625, 0.75, 0.9, 0.95, 0.99, 0.9999)


class Holder(tf_keras.layers.Layer, tfmot.sparsity.keras.PrunableLayer):  # type: ignore[misc]
    """A layer with one tensor of any shape, which TFMOT prunes."""

    def __init__(self, values: Weights) -> None:
        super().__init__()
        self.held = self.add_weight(
            "held", shape=values.shape, initializer=tf_keras.initializers.Constant(values)
        )

    def get_prunable_weights(self) -> list[Any]:
        return [self.held]

    def call(self, inputs: Any) -> Any:
        return inputs


def mask_of_tfmot(values: Weights, sparsity: float, **options: Any) -> NDArray[np.bool_]:
    """The mask that TFMOT chooses for a tensor in front of a training's first batch."""
    schedule = tfmot.sparsity.keras.ConstantSparsity(sparsity, begin_step=0, frequency=1)
    wrapper = tfmot.sparsity.keras.prune_low_magnitude(
        Holder(values), pruning_schedule=schedule, **options
    )
    rows = tf.zeros((1, 1))
    wrapper.build(rows.shape)
    wrapper.pruning_step.assign(0)  # as UpdatePruningStep does before a training
    wrapper(rows, training=True)
    ((_, mask, _),) = wrapper.pruning_vars
    found: NDArray[np.bool_] = mask.numpy() != 0
    return found


def ours(values: Weights, sparsity: float) -> NDArray[np.bool_]:
    """Our mask, by NumPy and by the compiled search, which agree."""
    mask = magnitude_mask(values, sparsity)
    tensor = keras.ops.convert_to_tensor(values)
    compiled = keras.ops.convert_to_numpy(compiled_mask(tensor, sparsity))
    np.testing.assert_array_equal(mask, compiled)
    return mask


def check_same(values: Weights, sparsity: float, mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(mask_of_tfmot(values, sparsity), mask)


def normal(*shape: int) -> Weights:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize(
    "shape", [(1,), (2,), (3,), (5,), (7, 1), (10, 10), (4, 3, 2, 5), (33, 31), (1, 4289)], ids=str
)
def test_distinct_weights(shape: tuple[int, ...], sparsity: float) -> None:
    values = normal(*shape)
    assert len(np.unique(np.abs(values))) == values.size
    check_same(values, sparsity, ours(values, sparsity))


@pytest.mark.parametrize("sparsity", [0.1, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("structure", [Blocks(1, 4), Blocks(2, 2, "max"), Blocks(4, 1)], ids=str)
def test_blocks(structure: Blocks, sparsity: float) -> None:
    values = normal(16, 24)
    found = mask_of_tfmot(
        values,
        sparsity,
        block_size=(structure.height, structure.width),
        block_pooling_type={"mean": "AVG", "max": "MAX"}[structure.pooling],
    )
    np.testing.assert_array_equal(found, group_mask(structure, values, sparsity))


@pytest.mark.parametrize("shape", [(16, 24), (3, 3, 8, 6)], ids=str)
@pytest.mark.parametrize("zeros", [1, 2])
def test_zeros_in_each_m(zeros: int, shape: tuple[int, ...]) -> None:
    """TFMOT's pattern is there at once; ours when the schedule has come to its sparsity."""
    values = normal(*shape)
    found = mask_of_tfmot(values, 0.1, sparsity_m_by_n=(zeros, 4))
    structure = NofM(4 - zeros, 4)
    np.testing.assert_array_equal(found, group_mask(structure, values, structure.highest))
    assert group_mask(structure, values, 0.1).sum() == kept_count(values.size, 0.1)


def test_a_huge_tensor() -> None:
    # Of two million random floats some are equal: a permutation of numbers has no ties.
    values = np.random.default_rng(0).permutation(2_000_000).astype(np.float32) - 1e6 + 0.25
    check_same(values, 0.9, ours(values, 0.9))


@pytest.mark.parametrize(
    ("values", "sparsity", "kept"),
    [
        (np.linspace(1, 100, 100), 0.9999, 1),
        (np.linspace(1, 100, 100), 0.5, 50),
        (np.arange(1, 11), 0.200000018, 8),
        (np.arange(1, 6), 0.5, 2),  # half to even
        (np.array([3e38, -3.1e38, 3.2e38, 1.0]), 0.5, 2),
        (np.array([np.inf, 1.0, -2.0, 0.5]), 0.5, 2),
    ],
)
def test_counts(values: NDArray[Any], sparsity: float, kept: int) -> None:
    values = values.astype(np.float32)
    mask = ours(values, sparsity)
    assert mask.sum() == kept
    check_same(values, sparsity, mask)


def test_below_the_normal_floats() -> None:
    # TensorFlow takes such magnitudes for zero, so that to TFMOT they are ties.
    values = np.array([1e-45, 1e-44, 1e-40, 1e-39], np.float32)
    assert mask_of_tfmot(values, 0.5).all()
    assert ours(values, 0.5).tolist() == [False, False, True, True]


TIED: dict[str, Callable[[], Weights]] = {
    "all equal": lambda: np.full((6, 4), 0.5, np.float32),
    "all zero": lambda: np.zeros((6, 4), np.float32),
    "signs": lambda: np.tile(np.array([1, -1, 0.0, -0.0], np.float32), 6),
    "few values": lambda: np.round(normal(40, 10) * 3).astype(np.float32),
    "half pruned": lambda: normal(20, 20) * (np.arange(400).reshape(20, 20) % 2),
    "quantized": lambda: (np.round(normal(64, 32) * 127) / 127).astype(np.float32),
}


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("kind", TIED)
def test_ties(kind: str, sparsity: float) -> None:
    """TFMOT keeps all that equal the smallest weight kept; ours are so many of them as it says."""
    values = TIED[kind]().astype(np.float32)
    theirs, mask = mask_of_tfmot(values, sparsity), ours(values, sparsity)
    assert mask.sum() == kept_count(values.size, sparsity)
    threshold = np.abs(values)[mask].min()
    np.testing.assert_array_equal(theirs, np.abs(values) >= threshold)
    assert theirs[mask].all()
    assert (np.abs(values)[theirs & ~mask] == threshold).all()


def test_the_sparsity_may_grow() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 101)).astype(np.float32)
    kept = []
    for sparsity in (0.0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5):
        mask = ours(values, sparsity)
        check_same(values, sparsity, mask)
        values = values * mask
        kept.append(np.count_nonzero(values))
    assert kept == [100, 90, 90, 70, 70, 50, 50]


@pytest.mark.parametrize("wrong", ["one weight", "one sparsity"])
def test_a_wrong_expectation_is_found(wrong: str) -> None:
    values = normal(10, 10)
    mask = ours(values, 0.5)
    check_same(values, 0.5, mask)
    if wrong == "one weight":
        mask[3, 3] = not mask[3, 3]
    with pytest.raises(AssertionError):
        check_same(values, 0.5 if wrong == "one weight" else 0.51, mask)
