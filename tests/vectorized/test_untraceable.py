"""A model that JAX can't trace: the sequential engine takes over, or an error says why."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import open_data
from trimgrid.engines.carrier import UntraceableError
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.runs.running import run_grid
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Training

X = np.random.default_rng(0).random((24, 6), dtype="float32")
Y = X[:, :1]


@keras.saving.register_keras_serializable("untraceable")
class Looks(layers.Layer):  # type: ignore[misc]
    """Looks at the values in a training step, which only an eager step has."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs."""
        if training and not isinstance(inputs, keras.KerasTensor) and float(inputs.sum()) < 0:
            return -inputs
        return inputs


def build() -> Any:
    return keras.Sequential([keras.Input((6,)), Looks(), layers.Dense(1)], name="looks")


TRAINING = Training("mse", "sgd", epochs=1, batch_size=8)


def run(**options: Any) -> Any:
    said: list[str] = []
    infos = run_grid(
        build(),
        [AttemptConfig("half", ConstantSparsity(0.5))],
        (X, Y),
        TRAINING,
        lambda model: 0.5,
        None,
        say=said.append,
        **options,
    )
    return infos, said


def test_the_engine_says_why() -> None:
    with pytest.raises(UntraceableError, match=r"TracerConversion|Concretization"):
        VectorizedEngine(build(), open_data((X, Y), TRAINING, "data"), TRAINING)


def test_asked_for() -> None:
    with pytest.raises(InputError, match=r"'looks', which fails with \w+Error: .*'sequential'"):
        run(engine="vectorized")


def test_auto_goes_to_the_sequential_engine() -> None:
    _, said = run()
    assert said[-1].startswith("Engine: sequential on jax: JAX can't trace 'looks': ")
    assert said[-1].endswith(".")
    assert not said[-1].endswith("..")
