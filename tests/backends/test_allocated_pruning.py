"""Allocations in trainings: the masks of every engine are those of the NumPy oracle."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import Results
from trimgrid import masks
from trimgrid.allocation.counts import shared_masks
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import share
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.pruning import MagnitudePruning
from trimgrid.runs.checking import Lengths, check_attempts
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
DATA = RANDOM.random((24, 6), dtype="float32"), RANDOM.random((24, 2), dtype="float32")
STILL = Training("mse", keras.optimizers.SGD(1e-30), epochs=2, batch_size=8)
OF_ALL = [
    *(Allocation(kind) for kind in ALLOCATIONS),
    Allocation("lamp", min_kept=3),
    Allocation("uniform", overrides={"out/kernel": 0.25}),
    Allocation("global_magnitude", overrides={"hidden/*": 0.5}),
]
DECAY = PolynomialDecay(0.2, 0.7, frequency=2)


def model_of(scale: float = 3.0) -> Any:
    """Kernels of (6, 12), (12, 4) and (4, 2), the last with much larger weights."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="relu", name="in"),
            layers.Dense(4, activation="relu", name="hidden"),
            layers.Dense(2, name="out"),
        ]
    )
    model.layers[-1].kernel.assign(scale * model.layers[-1].kernel)
    return model


def kernels(model: Any) -> list[Any]:
    return [np.asarray(layer.kernel) for layer in model.layers]


def expected(model: Any, allocation: Allocation, plan: Any) -> list[Any]:
    """The masks at the end of a training that does not move the weights."""
    weights = kernels(model)
    paths = [layer.kernel.path for layer in model.layers]
    sharing = share(allocation, paths, [each.shape for each in weights], plan)
    return shared_masks(weights, sharing, float(plan[-1]))


@pytest.mark.parametrize("allocation", OF_ALL, ids=str)
def test_masks_of_the_oracle_in_fit(allocation: Allocation, results: Results) -> None:
    model = model_of()
    engine = SequentialEngine(model, open_data(DATA, STILL, "training data"))
    (found,) = results(engine, [Task("one", DECAY, STILL, allocation=allocation)])
    wanted = expected(model, allocation, DECAY.plan(6))
    for weights, mask in zip(found.weights[::2], wanted, strict=True):
        np.testing.assert_array_equal(weights != 0, mask)
    assert sum(mask.sum() for mask in wanted) == masks.kept_count(128, 0.7)


# All four are in fit above.
@pytest.mark.parametrize(
    "allocation",
    [
        pytest.param(each, marks=[] if each in ("uniform", "lamp") else [pytest.mark.slow])
        for each in ALLOCATIONS
    ],
)
def test_step_0_in_a_plain_fit(allocation: str) -> None:
    model = model_of()
    wanted = expected(model, Allocation(allocation), np.array([0.5]))
    optimizer = MagnitudePruning(
        STILL.fresh_optimizer(), ConstantSparsity(0.5), allocation=allocation
    )
    model.compile(optimizer, loss="mse")
    model.fit(*DATA, batch_size=8, verbose=0)
    for weights, mask in zip(kernels(model), wanted, strict=True):
        np.testing.assert_array_equal(weights != 0, mask)


def test_the_config_comes_back() -> None:
    optimizer = MagnitudePruning(
        "sgd", ConstantSparsity(0.5), allocation="lamp", min_kept=2, overrides={"out/kernel": 0.1}
    )
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert copy.allocation == Allocation("lamp", 2, {"out/kernel": 0.1})


BAD = [
    ({"allocation": "lamb"}, "Did you mean 'lamp'"),
    (
        {"overrides": {"nowhere/*": 0.5}},
        "The paths are: .*in/kernel, .*hidden/kernel, .*out/kernel",
    ),
    ({"allocation": "lamp", "min_kept": 60}, "Possible are sparsities from 0.0 to 0.0937"),
    ({"overrides": {"in/*": 0.0, "hidden/*": 0.0}}, "Possible are sparsities from"),
    ({"min_kept": 0}, "min_kept"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_input_is_told_before_training(settings: dict[str, Any], message: str) -> None:
    grid = [AttemptConfig("first", ConstantSparsity(0.7), **settings)]
    with pytest.raises(InputError, match=message) as caught:
        check_attempts(grid, STILL, Lengths(6, 6), model_of())
    assert str(caught.value).startswith("first: ")
