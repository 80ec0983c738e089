"""What the page says of runs around their figures: what is missing, what can't be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trimgrid.choosing import has_error
from trimgrid.report.page.facts import facts, skipped_tensors, version_note
from trimgrid.report.page.first_goal import first_goal
from trimgrid.report.page.headline import original_text
from trimgrid.report.page.parts import part
from trimgrid.report.page.sensitivity import sensitivity_view
from trimgrid.stored.results import StoredResults


def run_view(run: StoredResults, name: str, sizes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what the template says of a run besides the data of `payload`."""
    original = run.find_original()
    asked = [f"{len(run.attempts) + len(run.unfinished):,} attempts were asked for"]
    if run.unfinished:
        asked.append(f"{len(run.unfinished):,} of them are not finished")
    stopped = sum(each.stopped_early for each in run)
    if stopped:
        asked.append(
            f"{stopped:,} of them stopped early by a search: others are smaller and better"
        )
    notes = [version_note(run)]
    if run.attempts and not any(map(has_error, run.attempts)):
        notes.append("No attempt has a finite error. What failed, and why, is told below.")
    if not run.attempts:
        notes.append("No attempt is finished yet: the same command goes on with the run.")
    if original is None:
        notes.append("The original is not finished, so nothing can be compared with it.")
    elif not has_error(original):
        notes.append("The original has no finite error, so that no change can be told.")
    return {
        "name": name,
        "facts": facts(run),
        "skipped": skipped_tensors(run),
        "notes": [note for note in notes if note],
        "asked": f"{', '.join(asked)}.",
        "original_text": "" if original is None else original_text(original, sizes),
        "error_name": run.error_name,
        "unfinished": run.unfinished,
        "finished": len(run),
        "wrong": [
            (each.name, each.status)
            for each in run
            if each.status != "ok" and not each.stopped_early
        ],
        "sensitivity": sensitivity_view(run),
    }


def notes_on_all(
    runs: Sequence[StoredResults], data: Mapping[str, Any], most_bytes: int
) -> list[str]:
    """Return what is to be said of all runs together.

    `most_bytes`: what a page has at most, which may be why details were left out of the `data`.
    """
    notes = [goal] if (goal := first_goal(runs).text()) else []
    if len({run.error_name for run in runs}) > 1:
        notes.append("These runs measure different errors, which can't be compared.")
    elif len({_test_digest(run) for run in runs}) > 1:
        notes.append("These runs measure their errors on different test data.")
    left_out = sum("details" not in each for each in data["attempts"])
    if left_out:
        notes.append(
            f"Details of {left_out:,} attempts are left out, first those that are on no front, to "
            f"keep the page small: {most_bytes // 1_000_000} MB where there is a way."
        )
    return notes


def _test_digest(run: StoredResults) -> str:
    """What tells the data on which errors are measured."""
    known = part(run.settings, "data")
    return json.dumps(known.get("test") or known.get("validation"))
