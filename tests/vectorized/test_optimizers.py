"""Optimizers of every kind train alike in both engines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
SCHEDULE = ConstantSparsity(0.5, begin_step=3, frequency=4)

OPTIMIZERS: dict[str, Any] = {
    "momentum": optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "schedule, decay and clipping": optimizers.AdamW(
        optimizers.schedules.ExponentialDecay(0.02, 5, 0.7), weight_decay=0.1, clipnorm=0.1
    ),
    "averages": optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=6),
    "accumulation": optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "by name": "rmsprop",
}


def build(policy: str | None = None) -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="tanh", dtype=policy),
            layers.Dense(1, dtype=policy),
        ]
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(by_both: Any, name: str) -> None:
    training = Training("mse", OPTIMIZERS[name], epochs=4, batch_size=16, seed=3)
    (one,), (other,) = by_both(build(), (X, Y), training, [SCHEDULE])
    assert one.failure is None
    other.check_close(one)


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param("adam", marks=pytest.mark.slow),
        optimizers.LossScaleOptimizer(optimizers.Adam(0.01), 2.0**17),
    ],
)
def test_mixed_precision(by_both: Any, dtype_policy: Any, optimizer: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = build()
    # Targets near the end of float16: scaled gradients overflow at first, and steps are skipped.
    training = Training("mse", optimizer, epochs=4, batch_size=16, seed=3)
    (one,), (other,) = by_both(model, (X, 60000 * np.sign(Y)), training, [SCHEDULE])
    assert (other.weights[0] == 0).sum() == 36
    other.check_close(one, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_values_of_a_learning_rate_in_mixed_precision(by_both: Any, results: Any) -> None:
    """The learning rate is a variable of the optimizer inside the one that scales the loss."""
    from trimgrid.data.sources import open_data
    from trimgrid.engines.vectorized import VectorizedEngine
    from trimgrid.training import Task

    model = build("mixed_float16")
    model.dtype_policy = "mixed_float16"
    training = Training("mse", "sgd", epochs=2, batch_size=16, seed=3)
    tasks = [Task("", SCHEDULE, training.with_learning_rate(rate)) for rate in (0.02, 0.3)]
    engine = VectorizedEngine(model, open_data((X, Y), training, "data"), training, attempts=2)
    for task, found in zip(tasks, results(engine, tasks), strict=True):
        (one,), _ = by_both(model, (X, Y), task.training, [SCHEDULE])
        found.check_close(one, rtol=1e-3, atol=1e-3)
