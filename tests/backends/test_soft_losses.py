"""The distilled loss against one in NumPy, in double precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.soft_losses import distilled_loss

RANDOM = np.random.default_rng(3)
Array = NDArray[Any]
losses = keras.losses


def softmax(logits: Array) -> Array:
    powers = np.exp(logits.astype("float64"))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits.astype("float64"))))


def divergence(teacher: Array, student: Array, temperature: float) -> Array:
    """For each row of logits."""
    t, s = (softmax(each / temperature) for each in (teacher, student))
    return np.asarray(temperature**2 * (t * np.log(t / s)).sum(axis=-1))


def binary_divergence(teacher: Array, student: Array, temperature: float) -> Array:
    """For each row of logits, each of a class against its contrary."""
    t, s = (sigmoid(each / temperature) for each in (teacher, student))
    each = t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))
    return np.asarray(temperature**2 * each.mean(axis=-1))


def found(loss: Any, temperature: float, *arrays: Any, weights: Any = None) -> float:
    """`arrays`: targets, student's and teacher's outputs, perhaps weights of examples."""
    as_given = keras.tree.map_structure(
        lambda a: a.astype("float32") if a.dtype == np.float64 else a, arrays
    )
    return float(distilled_loss(loss, weights, temperature, *as_given))


LABELS = RANDOM.integers(4, size=7)
ONE_HOT = np.eye(4)[LABELS]
TEACHER, STUDENT = RANDOM.normal(size=(2, 7, 4)) * 2
WEIGHTS = RANDOM.random(7)


class Own(keras.losses.CategoricalCrossentropy):  # type: ignore[misc]
    """One of the user's own that is one of Keras' all the same."""


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 20.0])
@pytest.mark.parametrize(
    ("loss", "targets", "logits"),
    [
        (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, True),
        (losses.SparseCategoricalCrossentropy(), LABELS[:, None], False),
        (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), ONE_HOT, True),
        (losses.CategoricalFocalCrossentropy(), ONE_HOT, False),
        (Own(from_logits=True), ONE_HOT, True),
        (partial(losses.categorical_crossentropy, from_logits=True), ONE_HOT, True),
        ("sparse_categorical_crossentropy", LABELS, False),
        ("categorical_crossentropy", ONE_HOT, False),
        ("CategoricalCrossentropy", ONE_HOT, False),
        ("crossentropy", LABELS, False),
    ],
)
def test_several_classes(loss: Any, targets: Array, logits: bool, temperature: float) -> None:
    teacher, student = (each if logits else softmax(each) for each in (TEACHER, STUDENT))
    wanted = divergence(TEACHER, STUDENT, temperature)
    assert found(loss, temperature, targets, student, teacher) == pytest.approx(
        wanted.mean(), rel=1e-5
    )
    weighted = found(loss, temperature, targets, student, teacher, WEIGHTS)
    assert weighted == pytest.approx((WEIGHTS * wanted).mean(), rel=1e-5)
    assert found(loss, temperature, targets, student, student) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "logits"),
    [
        (losses.BinaryCrossentropy(from_logits=True), True),
        (losses.BinaryCrossentropy(), False),
        (losses.BinaryFocalCrossentropy(from_logits=True), True),
        ("bce", False),
        ("binary_crossentropy", False),
    ],
)
def test_one_class_against_its_contrary(loss: Any, logits: bool) -> None:
    labels = (ONE_HOT > 0).astype("int32")
    teacher, student = (each if logits else sigmoid(each) for each in (TEACHER, STUDENT))
    wanted = binary_divergence(TEACHER, STUDENT, 3.0)
    assert found(loss, 3.0, labels, student, teacher) == pytest.approx(wanted.mean(), rel=1e-5)
    weighted = found(loss, 3.0, labels, student, teacher, WEIGHTS)
    assert weighted == pytest.approx((WEIGHTS * wanted).mean(), rel=1e-5)


def test_binary_of_a_single_output() -> None:
    teacher, student = TEACHER[:, :1], STUDENT[:, :1]
    wanted = binary_divergence(teacher, student, 2.0).mean()
    parts = LABELS % 2, sigmoid(student), sigmoid(teacher)
    for loss in ("crossentropy", "binary_crossentropy"):
        assert found(loss, 2.0, *parts) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("mse", ((TEACHER - STUDENT) ** 2).mean(axis=1)),
        (losses.MeanAbsoluteError(), abs(TEACHER - STUDENT).mean(axis=1)),
        (losses.MeanAbsoluteError(reduction="sum"), 7 * abs(TEACHER - STUDENT).mean(axis=1)),
        (lambda y_true, y_pred: (y_true - 2 * y_pred)[:, 0], (TEACHER - 2 * STUDENT)[:, 0]),
    ],
)
def test_any_other_loss_is_that_between_the_outputs(loss: Any, wanted: Array) -> None:
    for temperature in (1.0, 5.0):
        value = found(loss, temperature, ONE_HOT, STUDENT, TEACHER)
        assert value == pytest.approx(wanted.mean(), rel=1e-5)
    weighted = found(loss, 1.0, ONE_HOT, STUDENT, TEACHER, WEIGHTS)
    assert weighted == pytest.approx((WEIGHTS * wanted).mean(), rel=1e-5)


def test_reductions_of_crossentropies() -> None:
    loss = losses.CategoricalCrossentropy(from_logits=True, reduction="sum")
    wanted = divergence(TEACHER, STUDENT, 2.0).sum()
    assert found(loss, 2.0, ONE_HOT, STUDENT, TEACHER) == pytest.approx(wanted, rel=1e-5)


def test_targets_that_are_ignored() -> None:
    """Steps of sequences; the second half of the examples' weights is 0."""
    teacher, student = RANDOM.normal(size=(2, 5, 3, 4))
    labels = RANDOM.integers(4, size=(5, 3))
    labels[1:, 2] = -1
    each, kept = divergence(teacher, student, 2.0), labels >= 0
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    value = found(loss, 2.0, labels, student, teacher)
    assert value == pytest.approx(each[kept].mean(), rel=1e-5)
    weights = RANDOM.random((5, 3))
    value = found(loss, 2.0, labels, student, teacher, weights)
    assert value == pytest.approx((each * weights)[kept].sum() / kept.sum(), rel=1e-5)
    # As Keras weighs its own loss.
    as_keras = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    own = -np.log(np.take_along_axis(softmax(student), labels[..., None] % 4, -1)[..., 0])
    by_keras = as_keras(labels, student.astype("float32"), weights.astype("float32"))
    assert float(by_keras) == pytest.approx((own * weights)[kept].sum() / kept.sum(), rel=1e-5)
    nothing = found(loss, 2.0, np.full((5, 3), -1), student, teacher)
    assert nothing == 0


def test_two_outputs() -> None:
    sizes = RANDOM.normal(size=(2, 7, 2))
    classes = divergence(TEACHER, STUDENT, 2.0)
    errors = ((sizes[0] - sizes[1]) ** 2).mean(axis=1)
    loss = {"class": losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    arrays = [
        {"class": LABELS, "size": np.zeros((7, 2))},
        {"size": sizes[1], "class": STUDENT},
        {"class": TEACHER, "size": sizes[0]},
    ]
    total = found(loss, 2.0, *arrays)
    assert total == pytest.approx(classes.mean() + errors.mean(), rel=1e-5)
    total = found(loss, 2.0, *arrays, weights={"class": 0.5, "size": 3.0})
    assert total == pytest.approx(0.5 * classes.mean() + 3 * errors.mean(), rel=1e-5)
    total = found({**loss, "size": None}, 2.0, *arrays, {"class": WEIGHTS, "size": WEIGHTS})
    assert total == pytest.approx((WEIGHTS * classes).mean(), rel=1e-5)
    listed = [[LABELS, np.zeros((7, 2))], [STUDENT, sizes[1]], [TEACHER, sizes[0]]]
    total = found([loss["class"], "mse"], 2.0, *listed, WEIGHTS, weights=[1.0, 2.0])
    wanted = (WEIGHTS * (classes + 2 * errors)).mean()
    assert total == pytest.approx(wanted, rel=1e-5)


def test_certain_probabilities_stay_finite() -> None:
    sure = np.eye(4)[LABELS]
    value = found("categorical_crossentropy", 1.0, ONE_HOT, np.eye(4)[(LABELS + 1) % 4], sure)
    # All of the probability lies at Keras' epsilon for the student.
    assert value == pytest.approx(-np.log(keras.config.epsilon()), rel=1e-3)
    value = found("bce", 1.0, ONE_HOT, 1 - sure, sure)
    assert value == pytest.approx(-np.log(keras.config.epsilon()), rel=2e-2)


def test_a_loss_that_can_not_be_between_outputs() -> None:
    def own(y_true: Any, y_pred: Any) -> Any:
        return losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

    with pytest.raises(InputError, match=r"'own' on targets of shape \(7,\) and outputs of shape"):
        found(own, 1.0, LABELS, STUDENT, TEACHER)
