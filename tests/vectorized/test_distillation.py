"""Attempts that learn from the original as rows of a program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.sources import ArrayData, open_data
from trimgrid.distillation import Distillation
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((300, 6), dtype="float32")
LABELS = (X.sum(axis=1) * 2).astype("int32") % 3
TRAINING = Training(
    "sparse_categorical_crossentropy",
    keras.optimizers.Adam(0.01),
    epochs=3,
    batch_size=64,
    seed=3,
    metrics=("accuracy",),
)
TAUGHT = replace(TRAINING, distillation=Distillation(4.0, 0.7))
SCHEDULES = [
    PolynomialDecay(0.1, 0.9, frequency=3),
    *(ConstantSparsity(tenth / 10, begin_step=tenth, frequency=2) for tenth in range(1, 6)),
]
TASKS = [Task(f"{i}", each, TAUGHT, id=f"{i}") for i, each in enumerate(SCHEDULES)]

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(37, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )


def engine(model: Any, **options: Any) -> VectorizedEngine:
    data = open_data((X, LABELS), TRAINING, "data")
    watched = ArrayData((X[:90], LABELS[:90]), 40)
    return VectorizedEngine(model, data, TRAINING, watched, **options)


@pytest.fixture(scope="module")
def weights(model: Any) -> list[Any]:
    """Of a trained original."""
    copy = keras.models.clone_model(model)
    copy.compile("adam", TRAINING.loss)
    copy.fit(X, LABELS, epochs=20, verbose=0)
    return list(copy.get_weights())


@pytest.fixture(scope="module")
def expected(model: Any, weights: Any, results: Any) -> Any:
    """All in one group: six attempts in blocks of two on two devices."""
    return results(engine(model, attempts=6), TASKS, weights)


def test_as_by_the_sequential_engine(model: Any, weights: Any, results: Any, expected: Any) -> None:
    data = open_data((X, LABELS), TRAINING, "data")
    one = SequentialEngine(model, data, ArrayData((X[:90], LABELS[:90]), 40))
    for wanted, found in zip(results(one, TASKS[:2], weights), expected, strict=False):
        found.check_close(wanted)


def test_whatever_is_beside_them(model: Any, weights: Any, results: Any, expected: Any) -> None:
    shared = engine(model, attempts=3, others=[TAUGHT])
    other = replace(TRAINING, distillation=Distillation(1.0, 0.2))
    tasks = [TASKS[3], Task("", SCHEDULES[0], TRAINING), TASKS[0], Task("", None, other), TASKS[4]]
    found = results(shared, tasks, weights)
    for place, task in zip((3, 0, 4), (0, 2, 4), strict=True):
        found[task].check_same(expected[place])
    results(shared, [TASKS[5]], weights)[0].check_same(expected[5])
    # Learning from another teacher, or from none, is another training.
    for place in (1, 3):
        assert found[place].history["loss"] != expected[0].history["loss"]
    wrong = [weight + 0.1 for weight in weights]
    assert results(shared, TASKS[:1], wrong)[0].history != expected[0].history


def test_rows_of_several_seeds(model: Any, weights: Any, results: Any, expected: Any) -> None:
    seeds = [replace(TAUGHT, seed=seed) for seed in (3, 4, 5)]
    tasks = [Task("", schedule, each) for schedule in SCHEDULES[:2] for each in seeds]
    found = results(engine(model, attempts=6, seeds=3), tasks, weights)
    found[0].check_same(expected[0])
    found[3].check_same(expected[1])


def test_going_on(
    model: Any, weights: Any, results: Any, expected: Any, copying: Any, monkeypatch: Any
) -> None:
    from trimgrid.engines import feeding

    monkeypatch.setattr(feeding, "_FIRST_STEPS", 1)
    monkeypatch.setattr(feeding, "_CALL_SECONDS", 0.0)
    shared = engine(model, attempts=6)
    for found, whole in zip(results(shared, TASKS, weights, None, copying), expected, strict=True):
        found.check_same(whole)
    for step in (3, 5, 12):
        again = results(shared, TASKS, weights, None, copying.at(step))
        for found, whole in zip(again, expected, strict=True):
            found.check_same(whole)


def test_the_teacher_counts_in_memory(model: Any) -> None:
    shared = engine(model, attempts=6)
    plain = shared._programs.program(TRAINING, alone=False)
    taught = shared._programs.program(TAUGHT, alone=False)
    assert plain.carrier.teacher_bytes == 0
    assert taught.carrier.teacher_bytes == sum(
        np.asarray(variable.value).nbytes for variable in model.variables
    )
    arguments = [
        each._compiled.memory_analysis().argument_size_in_bytes for each in (plain, taught)
    ]
    # Once on each device, however many rows there are.
    alike = arguments[1] - arguments[0] - taught.carrier.teacher_bytes
    assert abs(alike) < 64 * len(jax.tree.leaves(taught.carrier.teacher))


@keras.saving.register_keras_serializable("vectorized_distillation")
class Halved(keras.Model):  # type: ignore[misc]
    """A step of the model's own: the teacher gets the inputs that it makes."""

    def train_step(self, state: Any, data: Any) -> Any:
        """Train on half of the numbers."""
        x, *rest = data
        return super().train_step(state, ({**x, "a": x["a"] / 2}, *rest))


def test_several_outputs_masks_and_a_step_of_ones_own(by_both: Any) -> None:
    keras.utils.set_random_seed(5)
    a, b = keras.Input((6,), name="a"), keras.Input((4,), dtype="int32", name="b")
    steps = layers.GRU(5, return_sequences=True)(layers.Embedding(9, 3, mask_zero=True)(b))
    outputs = {"word": layers.Dense(3, name="word")(steps), "size": layers.Dense(2, name="size")(a)}
    model = Halved({"a": a, "b": b}, outputs)
    words = RANDOM.integers(9, size=(50, 4))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training = replace(
        TRAINING,
        loss={"word": loss, "size": "mse"},
        loss_weights={"word": 2.0, "size": 0.5},
        metrics=(),
        distillation=Distillation(3.0, 0.6),
    )
    inputs = {"a": X[:50], "b": words}
    targets = {"word": words % 3, "size": X[:50, :2]}
    weights = {"word": RANDOM.random((50, 4)), "size": RANDOM.random(50)}
    data = inputs, targets, weights
    ones, others = by_both(model, data, training, SCHEDULES[:3], (inputs, targets))
    for one, other in zip(ones, others, strict=True):
        other.check_close(one)
    # The masked steps do not count, in neither loss.
    targets["word"] = np.where(words == 0, 1, words % 3)
    again, _ = by_both(model, data, training, SCHEDULES[:1], (inputs, targets))
    again[0].check_same(ones[0])
