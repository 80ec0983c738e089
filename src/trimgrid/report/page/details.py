"""What the page shows of a single attempt when it is chosen."""

from __future__ import annotations

from typing import Any

from trimgrid.errors import RunError, first_line
from trimgrid.report.forms_text import forms_table
from trimgrid.report.latency_text import latency_table
from trimgrid.report.page.numbers import short_numbers
from trimgrid.report.page.predictions import Predictions
from trimgrid.report.page.series import curves
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.forms import more_than_dense

_MOST_TENSORS = 200


def details(attempt: StoredAttempt, predictions: Predictions) -> dict[str, Any]:
    """Return what the page shows of an attempt, ready for JSON.

    A part that is missing or damaged is a sentence that says so, under "problems".
    """
    problems: dict[str, str] = {}
    told: dict[str, Any] = {"problems": problems}
    if attempt.damaged:
        problems |= dict.fromkeys(("curves", "weights", "predictions"), "Its result is damaged.")
        return told
    if more_than_dense(attempt):
        told["forms"] = forms_table(attempt.forms)
    if attempt.latency is not None:
        told["latency"] = latency_table(attempt.latency)
    try:
        told["curves"] = curves(attempt.history)
        if not told["curves"]["epoch"]:
            problems["curves"] = "It was not trained in this run."
    except RunError as error:
        problems["curves"] = first_line(error)
    try:
        known = attempt.details
    except RunError as error:
        known = None
        problems["weights"] = first_line(error)
    if known is not None:
        told["steps"] = known.steps
        told["updates"] = [[step, *short_numbers([share])] for step, share in known.updates]
        told["tensors"] = [
            [each.path, list(each.shape), each.weights, each.zeros, each.reason]
            for each in known.tensors[:_MOST_TENSORS]
        ]
        told["more_tensors"] = max(0, len(known.tensors) - _MOST_TENSORS)
        if known.histogram is not None:
            told["histogram"] = {
                "limit": short_numbers([known.histogram.limit])[0],
                "counts": known.histogram.counts,
            }
    elif "weights" not in problems:
        problems["weights"] = "It was run by a version that did not record this."
    shown = predictions.of(attempt.id)
    if shown is not None:
        told["predictions"] = shown
    elif not predictions.problem:
        problems["predictions"] = predictions.unread.get(
            attempt.id, "There are no predictions of this attempt."
        )
    return told
