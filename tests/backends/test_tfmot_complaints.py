"""What users of TFMOT ask for, by the number of the issue: a test for each line of the guide."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import (
    AttemptConfig,
    BeginPruning,
    ConstantSparsity,
    InputError,
    MagnitudePruning,
    Study,
    measure_model,
    prunable_variables,
    shrink_model,
)

GUIDE = Path(__file__).parents[2] / "docs" / "coming-from-tfmot.md"
HALF = ConstantSparsity(0.5)
ANSWERED: set[int] = set()
_Test = TypeVar("_Test", bound=Callable[..., None])


def answers(*issues: int) -> Callable[[_Test], _Test]:
    """Mark a test as that of issues of tensorflow/model-optimization."""
    ANSWERED.update(issues)
    return lambda test: test


def fitted(model: Any, x: Any, y: Any, optimizer: Any = "sgd", **options: Any) -> Any:
    model.compile(MagnitudePruning(optimizer, HALF, **options), loss="mse")
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[BeginPruning()])
    return model


def sparsities(model: Any) -> dict[str, float]:
    """The sparsity of each tensor that is pruned, by its path."""
    found = prunable_variables(model.variables)
    return {each.path: each.zeros / each.weights for each in found if each.reason is None}


def rows(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=(8, *shape)).astype("float32")


@keras.saving.register_keras_serializable("complaints")
class Subclassed(keras.Model):  # type: ignore[misc]
    """A model that says in `call` what it does, around a model of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(6)])
        self.out = layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.out(self.inner(inputs))


def nested() -> Any:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(6)])
    innermost = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(innermost(inner(inputs))))


@answers(1119, 1167, 1172)
def test_a_model_of_keras_3_is_pruned() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    assert keras.__version__.startswith("3.")
    assert [*sparsities(fitted(model, rows(4), rows(2))).values()] == [0.5, 0.5]


@answers(155, 638, 965)
@pytest.mark.parametrize(("build", "tensors"), [(Subclassed, 3), (nested, 4)])
def test_subclassed_and_nested_models_are_pruned(build: Any, tensors: int) -> None:
    model = build()
    model(rows(4))
    assert [*sparsities(fitted(model, rows(4), rows(2))).values()] == [0.5] * tensors


@answers(1017, 1051, 1098)
def test_no_layer_fails_the_others() -> None:
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            layers.Rescaling(0.5),
            layers.TimeDistributed(layers.Dense(6)),
            layers.PReLU(),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.EinsumDense("abc,cd->abd", (5, 6)),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    reasons = {each.path: each.reason for each in prunable_variables(model.variables)}
    assert all(reason for path, reason in reasons.items() if "prelu" in path or "bias" in path)
    found = sparsities(fitted(model, rows(5, 4), rows(2)))
    assert len(found) == 7  # of the two-way LSTM four, of the three others one each
    assert {*found.values()} == {0.5}


@answers(570, 722, 760)
def test_the_zipped_file_is_smaller_and_has_no_state_of_an_optimizer() -> None:
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64), layers.Dense(2)])
    model.compile("adam", loss="mse")
    model.fit(rows(64), rows(2), verbose=0)
    dense = measure_model(model)
    pruned = measure_model(fitted(model, rows(64), rows(2), "adam"))
    assert pruned.h5.plain == dense.h5.plain < 1.5 * model.count_params() * 4 + 2**14
    assert pruned.h5.zipped < 0.8 * dense.h5.zipped
    assert pruned.keras.zipped < 0.8 * dense.keras.zipped


@answers(684, 973, 975)
def test_a_schedule_that_prunes_nothing_is_refused(tmp_path: Path) -> None:
    # 2 batches, and TFMOT would prune nothing in the first 99.
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8)])
    data = rows(4), rows(8)
    study = Study(model, data, test=data, loss="mse", batch_size=4, epochs=1)
    assert [*sparsities(fitted(model, *data)).values()] == [0.5]
    old = ConstantSparsity(0.5, timing="tfmot")
    for late in (old, ConstantSparsity(0.5, begin_step=3)):
        with pytest.raises(InputError, match="Planned updates: none"):
            study.run([AttemptConfig("late", late)], tmp_path, tflite=False)


@answers(987)
def test_each_tensor_may_have_its_own_sparsity() -> None:
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, name="wide"), layers.Dense(16, name="out")]
    )
    overrides = {"wide/kernel": 0.25}
    model = fitted(model, rows(8), rows(16), allocation="uniform", overrides=overrides)
    wide, out = sparsities(model).values()
    assert wide == 0.25
    assert out == 0.625


@answers(270)
def test_a_layer_that_is_used_twice_counts_its_steps_once() -> None:
    shared, one, two = layers.Dense(8, name="shared"), keras.Input((4,)), keras.Input((4,))
    model = keras.Model([one, two], layers.Dense(2)(shared(one) + shared(two)))
    late = ConstantSparsity(0.5, begin_step=3, frequency=1, end_step=3)
    model.compile(MagnitudePruning("sgd", late), loss="mse")
    seen = []
    for _ in range(3):
        model.train_on_batch([rows(4), rows(4)], rows(2))
        kernel = keras.ops.convert_to_numpy(shared.kernel)
        seen.append(float((kernel == 0).mean()))
    assert seen == [0.0, 0.0, 0.5]


@answers(541, 732)
def test_units_of_which_nothing_is_left_are_removed() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([kernel * (np.arange(8) % 2), bias + 1])
    shrunk = shrink_model(model)
    assert shrunk.model.layers[0].units == 4
    assert (shrunk.total_weights_before, shrunk.total_weights) == (58, 30)
    x = rows(4)
    np.testing.assert_allclose(
        shrunk.model.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )


@answers(409)
def test_half_precision(dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    assert [*sparsities(fitted(model, rows(4), rows(2))).values()] == [0.5, 0.5]


@answers(656)
def test_a_model_of_keras_applications() -> None:
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    optimizer = MagnitudePruning("sgd", HALF, steps=10)
    optimizer.build(model.trainable_variables)
    optimizer.begin()
    found = sparsities(model)
    assert len(found) == 36  # all convolutions but the depthwise ones, and the last layer
    assert all(sparsity == pytest.approx(0.5, abs=0.01) for sparsity in found.values())


def test_each_line_of_the_guide_has_a_test() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    table = text.split("## What its users ask for")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| #")]
    claimed = {
        int(number)
        for line in lines
        if not line.rstrip("| ").endswith("Not here yet.")
        for number in re.findall(r"#(\d+)", line.split("|")[1])
    }
    # Those of speed by test_latency.py and test_timing.py, those of files by test_exporting.py.
    elsewhere = {173, 611, 1135, 206}
    assert claimed == ANSWERED | elsewhere
