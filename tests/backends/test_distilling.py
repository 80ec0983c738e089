"""Training steps in which a model learns from the original, and what of it stays as ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid.data.sources import open_data
from trimgrid.distillation import Distillation
from trimgrid.engines.sequential import SequentialEngine, train
from trimgrid.errors import InputError
from trimgrid.export.files import write_keras
from trimgrid.grids.grid import AttemptConfig
from trimgrid.runs.running import run_grid
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 6), dtype="float32")
LABELS = (X.sum(axis=1) * 2).astype("int32") % 3
WEIGHTS = RANDOM.random(48, dtype="float32")
HALF = ConstantSparsity(0.5)
L2 = 0.03
STILL = keras.optimizers.SGD(1e-30)
"""With it the logged loss of an epoch is that of the weights from which it begins."""
TRAINING = Training(
    keras.losses.SparseCategoricalCrossentropy(from_logits=True), STILL, batch_size=48, seed=3
)


def build(kind: Any = keras.Model) -> Any:
    keras.utils.set_random_seed(5)
    x = keras.Input((6,), name="in")
    hidden = layers.Dense(
        12, activation="relu", kernel_regularizer=keras.regularizers.L2(L2), name="hidden"
    )(x)
    return kind(x, layers.Dense(3, name="out")(layers.Dropout(0.5, name="drop")(hidden)), name="m")


def taught(training: Training = TRAINING, *settings: float) -> Training:
    return replace(training, distillation=Distillation(*settings))


def softmax(logits: Any) -> Any:
    powers = np.exp(logits.astype("float64"))
    return powers / powers.sum(axis=-1, keepdims=True)


def divergence(teacher: Any, student: Any, temperature: float) -> Any:
    t, s = (softmax(each / temperature) for each in (teacher, student))
    return temperature**2 * (t * np.log(t / s)).sum(axis=-1)


@pytest.mark.parametrize(
    ("data", "class_weight", "weights"),
    [
        ((X, LABELS), None, np.ones(48)),
        ((X, LABELS), {1: 4.0}, np.where(LABELS == 1, 4.0, 1.0)),
        ((X, LABELS, WEIGHTS), None, WEIGHTS),
    ],
)
def test_the_loss_of_a_step(data: Any, class_weight: Any, weights: Any) -> None:
    """The student is the pruned original: no dropout here, and hardly a step."""
    model = build()
    model.layers[2].rate = 0.0
    training = replace(taught(TRAINING, 3.0, 0.7), class_weight=class_weight)
    found = train(model, data, training, HALF, validation=(X, LABELS))
    teacher, student = (each.predict(X, verbose=0) for each in (model, found.model))
    own = -np.log(softmax(student)[np.arange(48), LABELS])
    penalty = L2 * (found.model.layers[1].get_weights()[0] ** 2).sum()
    wanted = (weights * (0.3 * own + 0.7 * divergence(teacher, student, 3.0))).mean() + penalty
    assert (teacher != student).any()
    assert found.history["loss"] == [pytest.approx(wanted, rel=1e-5)]
    # Validation is of the own loss.
    assert found.history["val_loss"] == [pytest.approx(own.mean() + penalty, rel=1e-5)]


def test_regression_with_two_outputs() -> None:
    keras.utils.set_random_seed(5)
    x = keras.Input((6,))
    model = keras.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(2, name="b")(x)])
    targets = {"a": X[:, :1], "b": X[:, 1:3]}
    training = replace(
        TRAINING,
        loss={"a": "mse", "b": "mae"},
        loss_weights={"a": 0.5, "b": 2.0},
        distillation=Distillation(9.0, 0.25),
    )
    found = train(model, (X, targets), training, HALF, validation=(X, targets))
    (ta, tb), (sa, sb) = (each.predict(X, verbose=0) for each in (model, found.model))
    ya, yb = targets.values()
    first, second = ((sa - ya) ** 2).mean(), abs(sb - yb).mean()
    own = 0.5 * first + 2 * second
    learnt = 0.5 * ((sa - ta) ** 2).mean() + 2 * abs(sb - tb).mean()
    history = {key: values[0] for key, values in found.history.items()}
    assert history == pytest.approx(
        {
            "loss": 0.75 * own + 0.25 * learnt,
            "a_loss": first,
            "b_loss": second,
            "val_loss": own,
            "val_a_loss": first,
            "val_b_loss": second,
        },
        rel=1e-5,
    )


LEARNING = replace(TRAINING, optimizer=keras.optimizers.Adam(0.01), epochs=3, batch_size=10)


@pytest.mark.slow
def test_with_all_the_weight_only_the_teacher_counts() -> None:
    model = build()
    shuffled = np.roll(LABELS, 7)
    one, other = (
        train(model, (X, labels), taught(LEARNING, 2.0, 1.0), HALF) for labels in (LABELS, shuffled)
    )
    for mine, its in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    half = taught(LEARNING, 2.0, 0.5)
    one, other = (train(model, (X, labels), half, HALF) for labels in (LABELS, shuffled))
    assert (one.model.get_weights()[0] != other.model.get_weights()[0]).any()


@pytest.mark.slow
def test_the_teacher_has_no_dropout_and_the_student_has() -> None:
    """All weights are the teacher's: without dropout there would be nothing to learn."""
    model = build()
    found = train(model, (X, LABELS), taught(TRAINING, 2.0, 1.0))
    assert found.history["loss"][0] > 0.01
    model.layers[2].rate = 0.0
    still = train(model, (X, LABELS), taught(TRAINING, 2.0, 1.0))
    penalty = L2 * (model.layers[1].get_weights()[0] ** 2).sum()
    assert still.history["loss"] == [pytest.approx(penalty, rel=1e-4)]


@pytest.mark.slow
def test_models_stay_as_they_are(tmp_path: Path) -> None:
    model = build()
    before = [array.copy() for array in model.get_weights()]
    found = train(model, (X, LABELS), taught(LEARNING), HALF)
    plain = train(model, (X, LABELS), LEARNING, HALF)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not {"train_step", "compute_loss"} & (vars(found.model).keys() | vars(model).keys())
    assert found.model.get_config() == plain.model.get_config()
    assert [each.path for each in found.model.trainable_variables] == [
        each.path for each in plain.model.trainable_variables
    ]
    # With the same weights the same file.
    found.model.set_weights(plain.model.get_weights())
    files = [tmp_path / f"{name}.keras" for name in ("one", "other")]
    for each, file in zip((found.model, plain.model), files, strict=True):
        write_keras(each, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    own = found.model.evaluate(X, LABELS, verbose=0)
    assert own == pytest.approx(plain.model.evaluate(X, LABELS, verbose=0))


@keras.saving.register_keras_serializable("distilling")
class OwnLoss(keras.Model):  # type: ignore[misc]
    """A loss of the model's own, which knows nothing of training or not."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        """Ten times the loss, and what is added to it."""
        return 10 * super().compute_loss(x, y, y_pred, sample_weight)


@keras.saving.register_keras_serializable("distilling")
class OwnStep(keras.Model):  # type: ignore[misc]
    """A step of the model's own, on other inputs."""

    def train_step(self, *arguments: Any) -> Any:
        """Train on half of the inputs."""
        *state, data = arguments
        x, y, *rest = data
        return super().train_step(*state, (x / 2, y, *rest))


@keras.saving.register_keras_serializable("distilling")
class Deaf(keras.Model):  # type: ignore[misc]
    """A step that computes its loss elsewhere."""

    def train_step(self, *arguments: Any) -> Any:
        """Train nothing."""
        return {"loss": ops.zeros(())}, arguments[0]


@keras.saving.register_keras_serializable("distilling")
class Hidden(keras.Model):  # type: ignore[misc]
    """A step that keeps its inputs from the loss."""

    def train_step(self, *arguments: Any) -> Any:
        """Train nothing."""
        x, y, *_ = arguments[-1]
        return {"loss": self.compute_loss(y=y, y_pred=self(x))}, arguments[0]


def test_a_loss_of_the_models_own_is_the_own_loss() -> None:
    model = build(OwnLoss)
    model.layers[2].rate = 0.0
    found = train(model, (X, LABELS), taught(TRAINING, 2.0, 0.25), HALF, validation=(X, LABELS))
    teacher, student = (each.predict(X, verbose=0) for each in (model, found.model))
    penalty = L2 * (found.model.layers[1].get_weights()[0] ** 2).sum()
    own = 10 * (penalty - np.log(softmax(student)[np.arange(48), LABELS]).mean())
    learnt = divergence(teacher, student, 2.0).mean() + penalty
    assert found.history["loss"] == [pytest.approx(0.75 * own + 0.25 * learnt, rel=1e-5)]
    assert found.history["val_loss"] == [pytest.approx(own, rel=1e-5)]


def test_the_teacher_sees_what_the_step_sees() -> None:
    model = build(OwnStep)
    model.layers[2].rate = 0.0
    found = train(model, (X, LABELS), taught(TRAINING, 2.0, 1.0), HALF)
    teacher, student = (each.predict(X / 2, verbose=0) for each in (model, found.model))
    penalty = L2 * (found.model.layers[1].get_weights()[0] ** 2).sum()
    wanted = divergence(teacher, student, 2.0).mean() + penalty
    assert found.history["loss"] == [pytest.approx(wanted, rel=1e-5)]


def test_what_can_not_be_distilled_is_found_before_training() -> None:
    def own(y_true: Any, y_pred: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

    grid = [AttemptConfig("plain", HALF), AttemptConfig("b", HALF, distillation=Distillation())]

    def run(model: Any, training: Training, attempts: Any) -> Any:
        return run_grid(model, attempts, (X, LABELS), training, lambda model: 0.5, None)

    for engine_model, training, message in (
        (build(Deaf), TRAINING, r"must call compute_loss\(x=...\).* Deaf.train_step, which does"),
        (build(Hidden), TRAINING, "Hidden.train_step, which does not"),
        (build(), replace(TRAINING, loss=own), "'own' on targets of shape"),
    ):
        with pytest.raises(InputError, match=message):
            run(engine_model, training, grid)
        run(engine_model, training, grid[:1])  # nothing is trained yet


@pytest.mark.slow
def test_a_run_learns_from_the_trained_original() -> None:
    """Beside attempts without, which come out as if it were not there."""
    grid = [
        AttemptConfig("plain", HALF),
        AttemptConfig("taught", HALF, distillation=Distillation(2.0, 0.75)),
    ]
    seen: list[Any] = []

    def evaluate(model: Any) -> tuple[Any, float]:
        seen.append(model.predict(X, verbose=0))
        return seen[-1], 0.5

    data = X, LABELS
    for _ in run_grid(build(), grid, data, LEARNING, evaluate, None, engine="sequential"):
        pass
    original = train(build(), data, LEARNING).model
    for found, training in zip(seen[1:], (LEARNING, taught(LEARNING, 2.0, 0.75)), strict=True):
        wanted = train(original, data, training, HALF).model.predict(X, verbose=0)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_going_on(results: Any, copying: Any) -> None:
    model = build()
    engine = SequentialEngine(model, open_data((X, LABELS), LEARNING, "data"))
    tasks = [Task("a", HALF, taught(LEARNING), id="a")]
    weights = [weight + 0.125 for weight in model.get_weights()]
    (whole,) = results(engine, tasks, weights)
    results(engine, tasks, weights, None, copying)[0].check_same(whole)
    for step in (3, 5):
        results(engine, tasks, weights, None, copying.at(step))[0].check_same(whole)
