"""The test data of a run, and each attempt's predictions on it as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError, RunError, first_line
from trimgrid.export.samples import read_samples
from trimgrid.report.page.images import MOST_IMAGES, as_images, sprite
from trimgrid.report.page.numbers import short_numbers
from trimgrid.report.page.views import View, confusion, most_telling, views
from trimgrid.run_directory.paths import SAMPLES
from trimgrid.stored.results import StoredResults

_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy")


@dataclass(eq=False)
class Predictions:
    """The test data of a run, and what its attempts predict there.

    `views` is empty where `problem` says why nothing can be compared. `values`: for each attempt,
    by its id, what each view shows of its predictions, None where they are of another shape.
    `unread`: why the predictions of an attempt can't be read. `images`: the places of the test
    examples that are shown in `picture`.
    """

    views: list[View] = field(default_factory=list)
    problem: str = ""
    note: str = ""
    values: dict[str, list[NDArray[Any] | None]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    images: NDArray[np.int64] | None = None
    picture: dict[str, Any] | None = None

    def shared(self) -> dict[str, Any]:
        """Return what all attempts of the run share, ready for JSON."""
        told = []
        for view in self.views:
            shown: dict[str, Any] = {"kind": view.kind, "name": view.name}
            if view.kind == "classes":
                shown["classes"] = view.classes
                if self.images is not None:
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
        return [
            None if values is None else self._shown(view, values)
            for view, values in zip(self.views, self.values[id], strict=True)
        ]

    def _shown(self, view: View, values: NDArray[Any]) -> Any:
        if view.kind != "classes":
            return short_numbers(values)
        shown: dict[str, Any] = {"counts": confusion(view.truth, values, view.classes)}
        if self.images is not None and values.size > self.images.max(initial=0):
            shown["images"] = values[self.images].tolist()
        return shown


def read_predictions(results: StoredResults) -> Predictions:
    """Read the test data of a run and its attempts' predictions.

    What is missing or damaged is said in `problem` and `unread`.
    """
    try:
        samples = read_samples(results.folder / SAMPLES)
    except InputError:
        return Predictions(problem="The test data can't be read in the run directory.")
    if samples.test_inputs is None:
        return Predictions(problem="The run directory holds no test data.")
    read = Predictions()
    for attempt in results:
        try:
            predictions = attempt.y_pred
        except RunError as error:
            read.unread[attempt.id] = first_line(error)
            continue
        if predictions is None:
            continue
        # The first decides how all are shown: it is the original, if that has predictions.
        read.views = read.views or views(predictions, samples, _from_logits(results))
        read.values[attempt.id] = [_of(view, predictions) for view in read.views]
    if not read.values:
        read.problem = "No predictions were kept: the error of this run is a single number."
    elif not read.views:
        read.problem = "The predictions can't be laid beside the targets of the test data."
    if samples.test_rows < samples.test_total:
        read.note = (
            f"On the first {samples.test_rows:,} of {samples.test_total:,} test examples, "
            "which the run directory holds."
        )
    _choose_images(read, samples.test_inputs)
    return read


def _choose_images(read: Predictions, inputs: Any) -> None:
    """Choose the test images on which the attempts differ most."""
    images = as_images(inputs)
    place = next((i for i, view in enumerate(read.views) if view.kind == "classes"), None)
    if images is None or place is None or read.views[place].truth.size != len(images):
        return
    answers = [each[place] for each in read.values.values()]
    known = [each for each in answers if each is not None and each.size == len(images)]
    if known:
        read.images = most_telling(read.views[place].truth, known, MOST_IMAGES)
        read.picture = sprite(images[read.images])


def _of(view: View, predictions: Any) -> NDArray[Any] | None:
    """An attempt's predictions as a view shows them, None where they are of another shape."""
    try:
        return view.of(predictions)
    except (LookupError, ValueError, TypeError):
        return None


def _from_logits(results: StoredResults) -> bool | None:
    """Whether a binary cross-entropy of the run takes logits; None where the loss is another."""
    training = results.settings.get("training", {})
    loss = training.get("loss", {}) if isinstance(training, dict) else {}
    told = loss.get("loss") if isinstance(loss, dict) else None
    if isinstance(told, str):
        return False if _letters(told) in _BINARY else None
    if isinstance(told, dict) and _letters(told.get("class_name")) in _BINARY:
        config = told.get("config", {})
        return bool(config.get("from_logits")) if isinstance(config, dict) else False
    return None


def _letters(name: object) -> str:
    return str(name).lower().replace("_", "")
