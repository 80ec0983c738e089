"""The test data of a run, and each attempt's predictions on it as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import RunError, first_line
from trimgrid.export.samples import read_samples
from trimgrid.report.page.classes import Answers, most_telling
from trimgrid.report.page.images import MOST_IMAGES, as_images, sprite
from trimgrid.report.page.numbers import short_numbers
from trimgrid.report.page.parts import part
from trimgrid.report.page.views import Key, View, views
from trimgrid.run_directory.elsewhere import present
from trimgrid.run_directory.paths import SAMPLES
from trimgrid.stored.results import StoredResults

# "crossentropy" is the binary one where there is a single prediction; `views` asks only there.
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy", "bce", "crossentropy", "ce")


@dataclass(eq=False)
class Predictions:
    """The test data of a run, and what its attempts predict there.

    `views` is empty where `problem` says why nothing can be compared. `values`: for each attempt,
    by its id, what each view shows of its predictions, None where they are of another shape.
    `unread`: why the predictions of an attempt can't be read. `images`: the places of the test
    examples that are shown in `picture`, with the answers of the view number `pictured`.
    """

    views: list[View] = field(default_factory=list)
    problem: str = ""
    note: str = ""
    values: dict[str, list[Answers | NDArray[Any] | None]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    images: NDArray[np.int64] | None = None
    picture: dict[str, Any] | None = None
    pictured: int | None = None

    def shared(self) -> dict[str, Any]:
        """Return what all attempts of the run share, ready for JSON."""
        told = []
        for place, view in enumerate(self.views):
            shown: dict[str, Any] = {"kind": view.kind, "name": view.name}
            if view.kind == "classes":
                shown["classes"] = view.classes
                if self.images is not None and place == self.pictured:
                    shown["images"] = view.truth[self.images].tolist()
            else:
                shown["truth"] = short_numbers(view.truth)
                if view.x is not None:
                    shown |= {"x": short_numbers(view.x), "x_label": view.x_label}
            told.append(shown)
        return {
            "views": told,
            "problem": self.problem,
            "note": self.note,
            "picture": self.picture,
            "examples": None if self.images is None else self.images.tolist(),
        }

    def of(self, id: str) -> list[Any] | None:
        """Return what the views show of an attempt, ready for JSON; None without predictions."""
        if id not in self.values:
            return None
        return [self._shown(place, values) for place, values in enumerate(self.values[id])]

    def _shown(self, place: int, values: Answers | NDArray[Any] | None) -> Any:
        if values is None:
            return None
        if not isinstance(values, Answers):
            return short_numbers(values)
        shown: dict[str, Any] = {"counts": values.counts, "missing": values.missing}
        if self.images is not None and place == self.pictured and values.each is not None:
            shown["images"] = values.each[self.images].tolist()
        return shown


def read_predictions(results: StoredResults) -> Predictions:
    """Read the test data of a run and its attempts' predictions.

    What is missing or damaged is said in `problem` and `unread`.
    """
    try:
        samples = read_samples(present(results.folder / SAMPLES))
        left_out = int(samples.test_total) - samples.test_rows
    except Exception:  # NumPy and zipfile raise whatever the content leads to
        return Predictions(problem="The test data can't be read in the run directory.")
    if samples.test_inputs is None:
        return Predictions(problem="The run directory holds no test data.")
    read = Predictions()
    images = as_images(samples.test_inputs)
    from_logits = _from_logits(part(part(results.settings, "training"), "loss").get("loss"))
    for attempt in results:
        try:
            predictions = attempt.y_pred
        except RunError as error:
            read.unread[attempt.id] = first_line(error)
            continue
        if predictions is None:
            continue
        # The first that fit the targets decide how all are shown: the original's, if it has some.
        read.views = read.views or views(predictions, samples, from_logits)
        if read.pictured is None and images is not None:
            read.pictured = _pictured(read.views, len(images))
        read.values[attempt.id] = [
            _of(view, predictions, place == read.pictured) for place, view in enumerate(read.views)
        ]
    for id, values in read.values.items():
        read.values[id] = values or [None] * len(read.views)
    _count_classes(read)
    if not read.values:
        read.problem = "No predictions were kept: the error of this run is a single number."
    elif not read.views:
        read.problem = "The predictions can't be laid beside the targets of the test data."
    if left_out > 0:
        read.note = (
            f"On the first {samples.test_rows:,} of {samples.test_total:,} test examples, "
            "which the run directory holds."
        )
    if images is not None:
        _choose_images(read, images)
    return read


def _pictured(views: list[View], examples: int) -> int | None:
    """The first view of classes that has one class for each example."""
    fitting = (
        place
        for place, view in enumerate(views)
        if view.kind == "classes" and view.truth.size == examples
    )
    return next(fitting, None)


def _choose_images(read: Predictions, images: NDArray[Any]) -> None:
    """Choose the test images on which the attempts differ most."""
    if read.pictured is None:
        return
    answers = [values[read.pictured] for values in read.values.values()]
    known = [
        each.each
        for each in answers
        if isinstance(each, Answers) and each.each is not None and not each.missing
    ]
    complete = [each for each in known if each.size == len(images)]
    if complete:
        read.images = most_telling(read.views[read.pictured].truth, complete, MOST_IMAGES)
        read.picture = sprite(images[read.images])


def _of(view: View, predictions: Any, pictured: bool) -> Answers | NDArray[Any] | None:
    """An attempt's predictions as a view shows them, None where they are of another shape."""
    try:
        values = view.of(predictions)
    except (LookupError, ValueError, TypeError):
        return None
    # Of classes only what is shown is kept: the masks of many images may be large.
    shown = pictured and values.size == view.truth.size
    return Answers.of(view.truth, values, shown) if view.kind == "classes" else values


def _count_classes(read: Predictions) -> None:
    """Make room for each class that any attempt predicts, also where the first knows fewer."""
    for place, view in enumerate(read.views):
        answers = (values[place] for values in read.values.values())
        highest = [each.highest for each in answers if isinstance(each, Answers)]
        if view.kind == "classes":
            read.views[place] = replace(view, classes=max([view.classes - 1, *highest]) + 1)


def _from_logits(loss: Any) -> Mapping[Key, bool] | bool | None:
    """Whether a loss is a binary cross-entropy that takes logits; None where it is another.

    Of losses that are given for outputs it is said for those that have such a one.
    """
    if isinstance(loss, str):
        return False if _letters(loss) in _BINARY else None
    if isinstance(loss, dict) and "class_name" in loss:
        if _letters(loss["class_name"]) not in _BINARY:
            return None
        return bool(part(loss, "config").get("from_logits"))
    if not isinstance(loss, dict | list):
        return None
    by_output = part(loss, "outputs").items() if isinstance(loss, dict) else enumerate(loss)
    told = {key: _from_logits(each) for key, each in by_output}
    return {key: each for key, each in told.items() if isinstance(each, bool)}


def _letters(name: object) -> str:
    return str(name).lower().replace("_", "")
