"""How predictions are laid beside the test data: a view for each kind of output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from trimgrid.export.samples import Samples
from trimgrid.report.page.classes import Answers, confusion, most_telling
from trimgrid.report.page.views import MOST_CLASSES, View, views

RANDOM = np.random.default_rng(0)
N = 24
ROWS = RANDOM.normal(size=(N, 5))
ONE = RANDOM.permutation(N).astype(float)[:, None]
WINDOWS = RANDOM.normal(size=(N, 7, 3))
LABELS = np.arange(N) % 3
BITS = np.arange(N) % 2
NAN = np.where(np.arange(N) == 4, np.nan, 1.5)


def normal(*shape: int) -> Any:
    return RANDOM.normal(size=shape)


def whole(high: int, *shape: int) -> Any:
    return RANDOM.integers(0, high, size=shape)


def found(
    predictions: Any, targets: Any, inputs: Any = ROWS, from_logits: Any = None, rows: int = N
) -> list[View]:
    return views(predictions, Samples(inputs, inputs, targets, rows, rows), from_logits)


def shown(*arguments: Any, **options: Any) -> list[tuple[str, str, int]]:
    """Kind, name and number of points or examples of each view."""
    return [(each.kind, each.name, each.truth.size) for each in found(*arguments, **options)]


def columns(count: int, size: int = N, kind: str = "scatter") -> list[tuple[str, str, int]]:
    return [(kind, f"column {place}", size) for place in range(count)]


NUMBERS: list[tuple[str, Any, Any, Any, Any]] = [
    ("several features", normal(N, 1), normal(N, 1), ROWS, [("scatter", "", N)]),
    ("without the last axis", normal(N), normal(N, 1), ROWS, [("scatter", "", N)]),
    ("or the other one", normal(N, 1), normal(N), ROWS, [("scatter", "", N)]),
    ("one feature", normal(N, 1), normal(N, 1), ONE, [("curve", "", N)]),
    ("one feature in a row", normal(N), normal(N), ONE[:, 0], [("curve", "", N)]),
    ("windows", normal(N, 1), normal(N, 1), WINDOWS, [("curve", "", N)]),
    ("windows to windows", normal(N, 7, 1), normal(N, 7), WINDOWS, [("curve", "", 7 * N)]),
    ("forecast", normal(1, 9), normal(1, 9), WINDOWS[:1], [("curve", "", 9)]),
    ("flat forecast", normal(9), normal(1, 9), WINDOWS[:1], [("curve", "", 9)]),
    ("forecast of one feature", normal(1, 9), normal(1, 9), ONE[:1], [("curve", "", 9)]),
    (
        "forecast of two columns",
        *(normal(1, 9, 2), normal(1, 9, 2), WINDOWS[:1]),
        [("curve", "column 0", 9), ("curve", "column 1", 9)],
    ),
    ("columns", normal(N, 3), normal(N, 3), ROWS, columns(3)),
    (
        "columns over one feature",
        *(normal(N, 3), normal(N, 3), ONE),
        columns(3, kind="curve"),
    ),
    ("at most six", normal(N, 30), normal(N, 30), ROWS, columns(6)),
    ("more predictions", normal(3 * N, 3), normal(N, 3), ROWS, columns(3)),
    ("fewer", normal(7, 3), normal(N, 3), ROWS, columns(3, 7)),
    ("two dimensions of labels", whole(3, N, 2), whole(3, N, 2), ROWS, [("classes", "", 2 * N)]),
    ("fewer of one column", normal(7, 1), normal(N), ROWS, [("scatter", "", 7)]),
    ("ages", normal(N, 1), whole(90, N), ROWS, [("scatter", "", N)]),
    ("counts of columns", normal(N, 2), whole(90, N, 2), ROWS, columns(2)),
    ("3-D whole numbers", normal(N, 2, 2), whole(9, N, 2, 2), ROWS, columns(2, 2 * N)),
    ("negative labels", normal(N, 1), 2 * BITS - 1, ROWS, [("scatter", "", N)]),
    ("NaN", normal(N), NAN, ROWS, [("scatter", "", N)]),
    ("greater than any int", normal(N), np.full(N, 1e30), ROWS, [("scatter", "", N)]),
    ("float16", normal(N).astype("float16"), normal(N), ROWS, [("scatter", "", N)]),
    ("several inputs", normal(N), normal(N), [ROWS, ONE], [("scatter", "", N)]),
    (
        "a dict",
        {"a": normal(N, 1), "b": normal(N, 1)},
        {"b": normal(N, 1), "a": normal(N, 1)},
        ROWS,
        [("scatter", "a", N), ("scatter", "b", N)],
    ),
    ("a dict of one, bare targets", {"a": normal(N, 1)}, normal(N), ROWS, [("scatter", "a", N)]),
    (
        "a list",
        [normal(N, 1), normal(N, 2)],
        (normal(N, 1), normal(N, 2)),
        ROWS,
        [("scatter", "output 0", N)] + [("scatter", f"output 1, column {i}", N) for i in (0, 1)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("predictions", "targets", "inputs", "expected"),
    [each[1:] for each in NUMBERS],
    ids=[each[0] for each in NUMBERS],
)
def test_numbers(predictions: Any, targets: Any, inputs: Any, expected: Any) -> None:
    assert shown(predictions, targets, inputs) == expected


NOTHING = [
    (normal(N, 3), normal(N, 2)),
    (normal(N, 1), normal(N, 5)),
    (normal(N), normal(N, 5)),
    (normal(N, 5), normal(N)),
    (normal(2 * N, 5), normal(N)),
    (normal(N, 2, 3), normal(N, 3, 2)),
    (np.full(N, "cat"), LABELS),
    (normal(N), np.full(N, "cat")),
    (np.array([None] * N), LABELS),
    (normal(N), np.array([{}] * N)),
    (np.zeros((0, 3)), np.zeros(0)),
    (np.zeros(0), normal(N)),
    (np.float64(3.0), normal(N)),
    (normal(N), np.float64(3.0)),
    (normal(N) + 1j, normal(N)),
    (whole(500, N), normal(N, 2)),
    (None, normal(N)),
    (normal(N), None),
    ([normal(N), [normal(2), normal(3)]], [normal(2, 2), normal(N)]),
    ({"a": normal(N)}, {"b": normal(N)}),
    ({"a": normal(N)}, [normal(N), normal(N)]),
    ({}, {}),
    ([], []),
]


@pytest.mark.parametrize(("predictions", "targets"), NOTHING)
def test_what_can_not_be_laid_beside_each_other(predictions: Any, targets: Any) -> None:
    assert shown(predictions, targets) == []


def one_hot(labels: Any, classes: int = 3) -> Any:
    return np.eye(classes)[labels]


TOKENS = whole(4, N, 6)
MASKS = whole(2, N, 5, 5)
CLASSES: list[tuple[str, Any, Any, Any, Any]] = [
    ("sparse", normal(N, 3), LABELS, None, 3),
    ("sparse in a column", normal(N, 3), LABELS[:, None], None, 3),
    ("sparse floats", normal(N, 3), LABELS.astype("float32"), None, 3),
    ("one-hot", normal(N, 3), one_hot(LABELS), None, 3),
    ("one-hot of bools", normal(N, 3), one_hot(LABELS).astype(bool), None, 3),
    ("with classes that are not there", normal(N, 10), LABELS, None, 10),
    ("classes", whole(3, N), LABELS, None, 3),
    ("more classes than there are", whole(3, N) + 7, LABELS, None, None),
    ("classes in a column", whole(3, N, 1), LABELS.astype("uint8"), None, 3),
    ("classes for one-hot targets", whole(3, N), one_hot(LABELS), None, 3),
    ("probabilities", RANDOM.random((N, 1)), BITS, False, 2),
    ("flat probabilities", RANDOM.random(N), BITS[:, None], False, 2),
    ("bits that are bools", RANDOM.random(N), BITS.astype(bool), False, 2),
    ("logits", normal(N, 1), BITS[:, None], True, 2),
    ("flat logits", normal(N), BITS, True, 2),
    ("tokens", normal(N, 6, 4), TOKENS, None, 4),
    ("tokens in columns", normal(N, 6, 4), TOKENS[..., None], None, 4),
    ("one-hot tokens", normal(N, 6, 4), one_hot(TOKENS, 4), None, 4),
    ("segmentation", normal(N, 5, 5, 2), MASKS, None, 2),
    ("binary segmentation", normal(N, 5, 5, 1), MASKS, True, 2),
    ("labels of which many hold", normal(N, 4), whole(2, N, 4), True, 2),
    ("one-hot of two under a binary loss", normal(N, 2), one_hot(BITS, 2), True, 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("predictions", "targets", "from_logits", "classes"),
    [each[1:] for each in CLASSES],
    ids=[each[0] for each in CLASSES],
)
@pytest.mark.parametrize("rows", [N, N // 2])
def test_classes(
    predictions: Any, targets: Any, from_logits: bool | None, classes: int | None, rows: int
) -> None:
    """Each is compared with the class that NumPy finds, also where the samples hold fewer rows."""
    (view,) = found(predictions, targets[:rows], from_logits=from_logits)
    assert view.kind == "classes"
    if classes is not None:
        assert view.classes == classes
    held = targets[:rows]
    is_one_hot = (
        predictions.ndim == held.ndim > 1 and held.shape[-1] > 1 and classes == held.shape[-1]
    )
    if is_one_hot or (held.ndim == 2 and predictions.ndim == 1 and held.shape[1] == 3):
        held = held.argmax(-1)
    truth = held.ravel().astype(int)
    np.testing.assert_array_equal(view.truth, truth)
    if predictions.dtype.kind == "i":
        answers = predictions[:rows].ravel()
    elif from_logits is not None and not is_one_hot:
        answers = (predictions[:rows].ravel() > (0 if from_logits else 0.5)).astype(int)
    else:
        answers = predictions[:rows].argmax(-1).ravel()
    np.testing.assert_array_equal(view.of(predictions), answers)
    matrix = confusion_matrix(truth, answers, labels=range(view.classes))
    dense = np.zeros_like(matrix)
    for true, predicted, count in confusion(view.truth, view.of(predictions)):
        dense[true, predicted] = count
    np.testing.assert_array_equal(dense, matrix)


def test_bits_are_classes_only_where_the_loss_is_binary() -> None:
    assert shown(RANDOM.random(N), BITS) == [("scatter", "", N)]


def test_the_loss_of_each_output() -> None:
    bits = {"a": BITS, "b": BITS, "c": BITS}
    predictions = {key: np.full(N, 0.3) for key in bits}
    one, other, third = found(predictions, bits, from_logits={"a": True, "b": False})
    assert [one.kind, other.kind, third.kind] == ["classes", "classes", "scatter"]
    assert one.of(predictions).tolist() == [1] * N
    assert other.of(predictions).tolist() == [0] * N


def test_labels_beyond_what_is_counted() -> None:
    labels = np.arange(N) + MOST_CLASSES
    assert shown(labels, labels) == [("scatter", "", N)]
    assert shown(np.arange(N), labels) == [("scatter", "", N)]


def test_a_curve_goes_by_the_feature() -> None:
    targets, predictions = ONE[:, 0] ** 2, ONE + 0.5
    (view,) = found(predictions, targets, ONE)
    assert view.x is not None
    assert view.x_label == "x"
    np.testing.assert_array_equal(view.x, np.arange(N))
    np.testing.assert_array_equal(view.truth, np.arange(N) ** 2)
    np.testing.assert_array_equal(view.of(predictions), np.arange(N) + 0.5)


@pytest.mark.parametrize(
    ("predictions", "targets", "inputs", "label"),
    [
        (normal(1, 9), normal(1, 9), WINDOWS[:1], "step"),
        (normal(N, 1), normal(N, 1), WINDOWS, "example"),
        (normal(N, 7), normal(N, 7), WINDOWS, "example"),
        (normal(N, 7, 1), normal(N, 7, 1), WINDOWS, "step of an example, one after the other"),
    ],
)
def test_what_a_series_is_drawn_over(
    predictions: Any, targets: Any, inputs: Any, label: str
) -> None:
    view, *_ = found(predictions, targets, inputs)
    assert view.x_label == label
    assert view.x is not None
    np.testing.assert_array_equal(view.x, np.arange(view.truth.size))


def test_columns_stay_apart() -> None:
    targets = np.arange(3.0 * N).reshape(N, 3)
    predictions = np.concatenate([targets + 0.5, targets])
    for column, view in enumerate(found(predictions, targets)):
        np.testing.assert_array_equal(view.truth, targets[:, column])
        np.testing.assert_array_equal(view.of(predictions), targets[:, column] + 0.5)


def test_steps_of_two_columns() -> None:
    targets = np.arange(18.0).reshape(1, 9, 2)
    _, view = found(targets + 0.5, targets, WINDOWS[:1])
    np.testing.assert_array_equal(view.of(targets + 0.5), targets[0, :, 1] + 0.5)


def test_of_many_points_some_are_drawn() -> None:
    x = RANDOM.permutation(5000).astype(float)
    (view,) = found(x, x, x, rows=5000)
    assert view.x is not None
    assert view.truth.size == 400
    assert (view.x[0], view.x[-1]) == (0, 4999)
    np.testing.assert_array_equal(view.of(x), view.x)


OTHERS: list[tuple[Any, Any, Any]] = [
    (normal(N, 1), normal(N), normal(N, 2)),
    (normal(N, 1), normal(N), normal(N)),
    (normal(N, 1), normal(N), normal(3, 1)),
    (normal(N, 1), normal(N), np.full((N, 1), "cat")),
    (normal(N, 1), normal(N), np.float64(1.0)),
    (normal(N, 1), normal(N), None),
    (normal(N, 1), normal(N), [normal(N), normal(2)]),
    (normal(N, 1), normal(N), {"a": normal(N, 1)}),
    (normal(N, 3), LABELS, normal(N, 4)),
    (normal(N, 3), LABELS, LABELS),
    (normal(N, 3), LABELS, np.full((N, 3), "cat")),
    (LABELS, LABELS, normal(N)),
    (LABELS, LABELS, -LABELS),
    (LABELS, LABELS, LABELS + MOST_CLASSES),
    ({"a": normal(N)}, {"a": normal(N)}, normal(N)),
    ({"a": normal(N)}, {"a": normal(N)}, {"b": normal(N)}),
    ([normal(N)], [normal(N)], []),
    ([normal(N)], [normal(N)], {"a": normal(N)}),
]


@pytest.mark.parametrize(("first", "targets", "other"), OTHERS)
def test_predictions_of_another_shape(first: Any, targets: Any, other: Any) -> None:
    (view,) = found(first, targets)
    with pytest.raises((LookupError, ValueError, TypeError)):
        view.of(other)


def test_nan_is_a_point_that_is_missing() -> None:
    predictions = normal(N)
    predictions[3] = np.nan
    (view,) = found(predictions, normal(N))
    assert np.flatnonzero(np.isnan(view.of(predictions))).tolist() == [3]


def test_answers_are_counted_and_kept_where_they_are_shown() -> None:
    truth = np.array([0, 1, 2, 2])
    answers = Answers.of(truth, np.array([0, 4, -1, -1]), shown=True)
    assert (answers.counts, answers.missing, answers.highest) == ([[0, 0, 1], [1, 4, 1]], 2, 4)
    assert answers.each is not None
    assert answers.each.tolist() == [0, 4, -1, -1]
    fewer = Answers.of(truth, np.array([0, 0]), shown=False)
    assert (fewer.counts, fewer.missing, fewer.each) == ([[0, 0, 1], [1, 0, 1]], 0, None)
    none = Answers.of(np.array([], int), np.array([], int), shown=True)
    assert (none.counts, none.missing, none.highest) == ([], 0, -1)


def test_scores_that_are_not_finite_are_of_no_class() -> None:
    truth = np.array([0, 1, 2, 0])
    scores = np.eye(3)[truth]
    scores[1, 0] = np.nan
    scores[2] = np.inf
    (view,) = found(scores, truth)
    assert view.of(scores).tolist() == [0, -1, -1, 0]
    (view,) = found(np.array([[0.9], [np.nan]]), np.array([1, 0]), from_logits=False)
    assert view.of(np.array([[0.9], [np.nan]])).tolist() == [1, -1]


MOST_TELLING: list[tuple[list[list[int]], int, list[int]]] = [
    ([[0, 1, 1, 0]], 2, [0, 1]),  # one attempt: none differ, the first ones
    ([[0, 1, 1, 0], [0, 1, 0, 0]], 1, [2]),
    ([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], 2, [1, 2]),
    ([[0, 1], [1, 1, 1, 0]], 4, [0, 1]),  # as many as all have
    ([[0, 1, 1, 0], [1, 0, 0, 1]], 3, [0, 1, 2]),
]


@pytest.mark.parametrize(("predicted", "at_most", "expected"), MOST_TELLING)
def test_most_telling(predicted: list[list[int]], at_most: int, expected: list[int]) -> None:
    truth = np.array([0, 1, 1, 0])
    chosen = most_telling(truth, [np.array(each) for each in predicted], at_most)
    assert chosen.tolist() == expected
