"""How an attempt's predictions are shown against the test data: curve, scatter or classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimgrid.export.samples import Samples
from trimgrid.report.page.series import thinned

Kind = Literal["curve", "scatter", "classes"]
_MOST_POINTS = 400
_MOST_CLASSES = 200
_MOST_OUTPUTS = 6


@dataclass(frozen=True, eq=False)
class View:
    """One output of a model on the test data.

    `kind`: "curve" draws targets and predictions over `x`, "scatter" predictions over targets,
    "classes" counts them. `output` is the key or place of the output, None where there is only one,
    and `name` tells of it. `x` and `truth`: a
    number each point, `truth` the class of each example for "classes"; `x_label` says what x is.
    `rows`: the places of the points among the values of the output, `column` which of the columns
    of a row. `threshold`: from which prediction on an example is of class 1; None where there is a
    prediction for each class, or where classes are predicted.
    """

    kind: Kind
    output: str | int | None
    name: str
    truth: NDArray[Any]
    x: NDArray[Any] | None = None
    x_label: str = ""
    rows: NDArray[np.int64] | None = None
    column: int | None = None
    classes: int = 0
    threshold: float | None = None

    def of(self, predictions: Any) -> NDArray[Any]:
        """Return what of an attempt's predictions is shown: points, or the class of each example.

        Raises `LookupError`, `ValueError` or `TypeError` for predictions of another shape.
        """
        values = np.asarray(predictions if self.output is None else predictions[self.output])
        if self.kind != "classes":
            if self.column is not None:
                values = values.reshape(-1, values.shape[-1])[:, self.column]
            assert self.rows is not None
            return np.ravel(values)[self.rows].astype(float)
        if self.threshold is not None:
            values = (np.ravel(values) > self.threshold).astype(np.int64)
        elif values.dtype.kind == "f":
            values = np.argmax(np.nan_to_num(values, nan=-np.inf), axis=-1)
        return np.ravel(values)[: self.truth.size].astype(np.int64)


def views(predictions: Any, samples: Samples, from_logits: bool | None) -> list[View]:
    """Return how predictions like these are shown, a view for each output; empty where they can't.

    `predictions`: those of any attempt of the run, whose shape and type decide. `from_logits`:
    whether the loss is a binary cross-entropy that takes logits; None where it is no binary one.

    >>> samples = Samples(np.zeros((2, 1)), np.array([[2.0], [1.0]]), np.array([5.0, 4.0]), 2, 2)
    >>> (view,) = views(np.array([4.9, 4.1]), samples, None)
    >>> view.kind, view.x.tolist(), view.of(np.array([4.9, 4.1])).tolist()
    ('curve', [1.0, 2.0], [4.1, 4.9])
    """
    found: list[View] = []
    for output, predicted, targets in _outputs(predictions, samples.test_targets):
        found += _views_of(output, np.asarray(predicted), np.asarray(targets), samples, from_logits)
    return found[:_MOST_OUTPUTS]


def _outputs(predictions: Any, targets: Any) -> Iterator[tuple[str | int | None, Any, Any]]:
    if isinstance(predictions, Mapping) and isinstance(targets, Mapping):
        for key in predictions:
            if key in targets:
                yield key, predictions[key], targets[key]
    elif isinstance(predictions, list | tuple) and isinstance(targets, list | tuple):
        for place, pair in enumerate(zip(predictions, targets, strict=False)):
            yield place, *pair
    elif not isinstance(predictions, Mapping | list | tuple | None) and not isinstance(
        targets, Mapping | list | tuple | None
    ):
        yield None, predictions, targets


def _views_of(
    output: str | int | None,
    predicted: NDArray[Any],
    targets: NDArray[Any],
    samples: Samples,
    from_logits: bool | None,
) -> list[View]:
    if predicted.dtype.kind not in "iuf" or targets.dtype.kind not in "biuf" or not targets.size:
        return []
    classes = _classes(output, predicted, targets, from_logits)
    if classes is not None:
        return [classes]
    if predicted.ndim >= 2 and predicted.shape == (*targets.shape[:1], *predicted.shape[1:]):
        columns = predicted.shape[-1]
    else:
        columns = 1
    row_count = min(len(predicted), len(targets)) if targets.ndim else 1
    one_row = targets.ndim > 1 and targets.shape[0] == 1 and targets.size > 1
    if one_row or columns == 1:
        return _numbers(output, np.ravel(predicted), np.ravel(targets), samples, one_row, None)
    if predicted.shape[1:] != targets.shape[1:]:
        return []
    flat = targets[:row_count].reshape(-1, columns)
    return [
        view
        for column in range(min(columns, _MOST_OUTPUTS))
        for view in _numbers(
            output,
            predicted.reshape(-1, columns)[:, column],
            flat[:, column],
            samples,
            False,
            column,
        )
    ]


def _classes(
    output: str | int | None,
    predicted: NDArray[Any],
    targets: NDArray[Any],
    from_logits: bool | None,
) -> View | None:
    """A view of classes, if predictions and targets are of classes."""
    if not np.isfinite(targets).all():
        return None
    whole = bool((targets == np.round(targets)).all()) and float(targets.min()) >= 0
    if not whole:
        return None
    flat, highest = np.ravel(targets).astype(np.int64), int(targets.max())
    if predicted.dtype.kind in "iu" and highest < _MOST_CLASSES:
        classes = 1 + max(highest, int(predicted.max(initial=0)))
        if int(predicted.min(initial=0)) >= 0 and classes <= _MOST_CLASSES:
            return View("classes", output, _name(output), flat[: predicted.size], classes=classes)
        return None
    width = predicted.shape[-1] if predicted.ndim > 1 else 1
    if 2 <= width <= _MOST_CLASSES:
        one_hot = targets.shape[1:] == predicted.shape[1:] and (targets.sum(-1) == 1).all()
        if one_hot and highest == 1:
            return View(
                "classes", output, _name(output), np.ravel(np.argmax(targets, -1)), classes=width
            )
        positions = predicted.shape[1:-1]
        sparse = targets.shape[1:] in (positions, (*positions, 1)) and highest < width
        return View("classes", output, _name(output), flat, classes=width) if sparse else None
    if highest <= 1 and width == 1 and from_logits is not None:
        threshold = 0.0 if from_logits else 0.5
        return View(
            "classes", output, _name(output), flat[: predicted.size], classes=2, threshold=threshold
        )
    return None


def _numbers(
    output: str | int | None,
    predicted: NDArray[Any],
    targets: NDArray[Any],
    samples: Samples,
    one_row: bool,
    column: int | None,
) -> list[View]:
    """A view of numbers: over the one feature there is, over time, or against the targets."""
    size = min(predicted.size, targets.size)
    name = _name(output, column)
    inputs = samples.test_inputs
    single = inputs if isinstance(inputs, np.ndarray) else None
    # Rows of several steps are windows of a series; what is predicted of them is a series, too.
    series = one_row or (single is not None and single.ndim == 3 and single.shape[-1] <= 64)
    if (
        single is not None
        and single.shape[1:] in ((), (1,))
        and len(single) >= size
        and not one_row
    ):
        x = np.ravel(single)[:size].astype(float)
        order = np.argsort(x, kind="stable")
        rows = order[thinned(size, _MOST_POINTS)]
        return [
            View("curve", output, name, targets[rows].astype(float), x[rows], "x", rows, column)
        ]
    if series:
        rows = thinned(size, _MOST_POINTS)
        label = "step" if one_row else "example"
        return [View("curve", output, name, targets[rows].astype(float), rows, label, rows, column)]
    rows = thinned(size, _MOST_POINTS)
    return [View("scatter", output, name, targets[rows].astype(float), None, "", rows, column)]


def _name(output: str | int | None, column: int | None = None) -> str:
    parts = [f"output {output}" if isinstance(output, int) else output or ""]
    if column is not None:
        parts.append(f"column {column}")
    return ", ".join(filter(None, parts))


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> list[list[int]]:
    """Return how often each class was predicted as each: [class, predicted, count], if not never.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    """
    size = min(truth.size, predicted.size)
    inside = np.clip(predicted[:size], 0, classes - 1)
    pairs, counts = np.unique(truth[:size] * classes + inside, return_counts=True)
    return [
        [int(pair) // classes, int(pair) % classes, int(count)]
        for pair, count in zip(pairs, counts, strict=True)
    ]


def most_telling(
    truth: NDArray[Any], predicted: Sequence[NDArray[Any]], at_most: int
) -> NDArray[np.int64]:
    """Return the examples on which attempts differ most in being right, then the first ones.

    >>> truth = np.array([0, 1, 1])
    >>> most_telling(truth, [np.array([0, 1, 0]), np.array([0, 1, 1])], 2).tolist()
    [0, 2]
    """
    size = min([truth.size, *(each.size for each in predicted)])
    wrong = sum((each[:size] != truth[:size]).astype(float) for each in predicted)
    share = np.asarray(wrong) / max(1, len(predicted)) * np.ones(size)
    order = np.lexsort((np.arange(size), -np.minimum(share, 1 - share)))
    return np.sort(order[:at_most]).astype(np.int64)
