"""How an attempt's predictions are shown against the test data: curve, scatter or classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimgrid.export.samples import Samples
from trimgrid.report.page.series import thinned

Kind = Literal["curve", "scatter", "classes"]
Key = str | int | None
"""The key or place of an output; None where there is only one."""

MOST_CLASSES = 200
_MOST_POINTS = 400
_MOST_OUTPUTS = 6
_MOST_FEATURES = 64  # of a step of a series


@dataclass(frozen=True, eq=False)
class View:
    """One output of a model on the test data.

    `kind`: "curve" draws targets and predictions over `x`, "scatter" predictions over targets,
    "classes" counts them. `output` is the key of the output, and `name` tells of it. `row` is the
    shape of the predictions on an example. `x` and `truth`: a number each point, `truth` the class
    of each example for "classes"; `x_label` says what x is. `rows`: the places of the points among
    the values of the output, `column` which of the columns of a row. Of classes, `scores` says
    whether each has a prediction, of which the greatest counts; `threshold` from which prediction
    on an example is of class 1. Without both the predictions are the classes.
    """

    kind: Kind
    output: Key
    name: str
    row: tuple[int, ...]
    truth: NDArray[Any]
    x: NDArray[Any] | None = None
    x_label: str = ""
    rows: NDArray[np.int64] | None = None
    column: int | None = None
    classes: int = 0
    scores: bool = False
    threshold: float | None = None

    def of(self, predictions: Any) -> NDArray[Any]:
        """Return what of an attempt's predictions is shown: points, or the class of each example.

        An example whose predictions are not finite is of class -1.

        Raises `LookupError`, `ValueError` or `TypeError` for predictions of another shape.
        """
        values = np.asarray(_part(predictions, self.output))
        if not values.ndim or values.shape[1:] != self.row or values.dtype.kind not in "iuf":
            raise ValueError(f"{values.dtype}{values.shape}")
        if self.kind != "classes":
            if self.column is not None:
                values = values.reshape(-1, values.shape[-1])[:, self.column]
            assert self.rows is not None
            return np.ravel(values)[self.rows].astype(float)
        if self.scores:
            finite = np.isfinite(values).all(axis=-1)
            values = np.where(finite, np.argmax(values, axis=-1), -1)
        elif self.threshold is not None:
            values = np.where(np.isfinite(values), values > self.threshold, -1)
        elif not _are_classes(values):
            raise ValueError("no classes")
        return np.ravel(values)[: self.truth.size].astype(np.int64)


def views(
    predictions: Any, samples: Samples, from_logits: Mapping[Key, bool] | bool | None
) -> list[View]:
    """Return how predictions like these are shown, a view for each output; empty where they can't.

    `predictions`: those of any attempt of the run, whose shape and type decide. `from_logits`:
    whether the loss is a binary cross-entropy that takes logits, or for which outputs it is; None
    where it is no binary one.

    >>> samples = Samples(np.zeros((2, 1)), np.array([[2.0], [1.0]]), np.array([5.0, 4.0]), 2, 2)
    >>> (view,) = views(np.array([4.9, 4.1]), samples, None)
    >>> view.kind, view.x.tolist(), view.of(np.array([4.9, 4.1])).tolist()
    ('curve', [1.0, 2.0], [4.1, 4.9])
    """
    found: list[View] = []
    for output, part, truth in _outputs(predictions, samples.test_targets):
        try:
            predicted, targets = np.asarray(part), np.asarray(truth)
        except ValueError:  # lists in lists, of different lengths
            continue
        if not (predicted.ndim and targets.ndim and predicted.size and targets.size):
            continue
        if predicted.dtype.kind not in "iuf" or targets.dtype.kind not in "biuf":
            continue
        logits = from_logits.get(output) if isinstance(from_logits, Mapping) else from_logits
        classes = _classes(output, predicted, targets, logits)
        if classes is not None:
            found.append(classes)
        else:
            found += _numbers(output, predicted, targets, samples.test_inputs)
    return found[:_MOST_OUTPUTS]


def _outputs(predictions: Any, targets: Any) -> Iterator[tuple[Key, Any, Any]]:
    """Each output that has targets, with what is predicted of it and what is true."""
    predicted, true = _by_output(predictions), _by_output(targets)
    if len(predicted) == len(true) == 1 and (None in predicted or None in true):
        true = dict(zip(predicted, true.values(), strict=True))
    for key, part in predicted.items():
        if key in true:
            yield key, part, true[key]


def _by_output(part: Any) -> Mapping[Key, Any]:
    if isinstance(part, Mapping):
        return part
    return dict(enumerate(part)) if isinstance(part, list | tuple) else {None: part}


def _part(predictions: Any, output: Key) -> Any:
    return predictions if output is None else predictions[output]


def _classes(
    output: Key, predicted: NDArray[Any], targets: NDArray[Any], from_logits: bool | None
) -> View | None:
    """A view of classes, if predictions and targets are of classes."""
    if not np.isfinite(targets).all() or targets.min() < 0 or targets.max() >= MOST_CLASSES:
        return None
    labels = targets.astype(np.int64)
    if (labels != targets).any():
        return None
    row, truth = predicted.shape[1:], labels.shape[1:]
    one_hot = truth[-1:] > (1,) and labels.max() == 1 and bool((labels.sum(-1) == 1).all())

    def view(labels: NDArray[Any], classes: int, **more: Any) -> View:
        return View(
            "classes", output, _name(output), row, np.ravel(labels), classes=classes, **more
        )

    if _are_classes(predicted):
        if one_hot and _same(row, truth[:-1]):
            labels = np.argmax(labels, -1)
        if _same(row, labels.shape[1:]):
            return view(labels, 1 + int(max(labels.max(), predicted.max())))
    width = row[-1] if row else 1
    if 2 <= width <= MOST_CLASSES:
        if one_hot and truth == row:
            return view(np.argmax(labels, -1), width, scores=True)
        if labels.max() < width and _same(row[:-1], truth):
            return view(labels, width, scores=True)
    if from_logits is not None and labels.max() <= 1 and _same(row, truth):
        return view(labels, 2, threshold=0.0 if from_logits else 0.5)
    return None


def _are_classes(predicted: NDArray[Any]) -> bool:
    whole = predicted.dtype.kind in "iu"
    return whole and bool(predicted.min() >= 0 and predicted.max() < MOST_CLASSES)


def _numbers(
    output: Key, predicted: NDArray[Any], targets: NDArray[Any], inputs: Any
) -> list[View]:
    """Views of numbers, one for each column; none where the shapes do not fit each other."""
    row = predicted.shape[1:]
    # The only row is a series: a forecast of many steps.
    one_row = len(targets) == 1 and targets.size > 1
    if one_row and _same(predicted.shape, targets.shape[1:]):
        predicted = predicted.reshape(targets.shape)
    if not _same(predicted.shape[1:], targets.shape[1:]):
        return []
    columns = predicted.shape[-1] if predicted.ndim > 1 + one_row else 1
    flat = targets.reshape(-1, columns)
    size = min(predicted.size // columns, len(flat))
    x, x_label = _x(inputs, size, one_row, len(flat) == len(targets))
    kind: Kind = "scatter" if x is None else "curve"
    order = np.arange(size) if x is None else np.argsort(x, kind="stable")
    rows = order[thinned(size, _MOST_POINTS)]
    return [
        View(
            *(kind, output, _name(output, column), row, flat[rows, column or 0].astype(float)),
            x=None if x is None else x[rows],
            x_label=x_label,
            rows=rows,
            column=column,
        )
        for column in (range(min(columns, _MOST_OUTPUTS)) if columns > 1 else [None])
    ]


def _x(inputs: Any, size: int, one_row: bool, single: bool) -> tuple[NDArray[Any] | None, str]:
    """What numbers are drawn over, and its name: the one feature there is, time, or nothing.

    `single`: whether each example has a single number.
    """
    if one_row:
        return np.arange(size), "step"
    shape = inputs.shape[1:] if isinstance(inputs, np.ndarray) else None
    if shape in ((), (1,)) and single and len(inputs) >= size:
        return np.ravel(inputs)[:size].astype(float), "x"
    # Rows of several steps are windows of a series; what is predicted of them is a series, too.
    if shape is not None and len(shape) == 2 and shape[-1] <= _MOST_FEATURES:
        return np.arange(size), "example" if single else "step of an example, one after the other"
    return None, ""


def _same(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes are the same but for axes of a single value."""
    return [each for each in shape if each != 1] == [each for each in other if each != 1]


def _name(output: Key, column: int | None = None) -> str:
    parts = [f"output {output}" if isinstance(output, int) else output or ""]
    if column is not None:
        parts.append(f"column {column}")
    return ", ".join(filter(None, parts))
