"""The pick of a run as it is before a script has run: in the words that the script has, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trimgrid.choosing import error_limit, has_error
from trimgrid.errors import RunError
from trimgrid.report.page.numbers import error_text, smaller_words
from trimgrid.results import AttemptInfo
from trimgrid.stored.results import StoredResults


def pick(run: StoredResults, place: int, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the smallest attempt within the tolerance: "name", "text", "size" and "command".

    Where there is none the text says why, and the others are empty. `place`: of the run in `data`,
    which is `payload`'s.
    """
    if not data["sizes"]:
        return _none("No attempt has a size that was measured.")
    size, label = data["sizes"][0]["key"], data["sizes"][0]["label"]
    original = run.find_original()
    limits = {"max_error": data["max_error"], "max_increase": None}
    if limits["max_error"] is None:
        limits["max_increase"] = data["max_increase"]
    try:
        best = run.best(**limits, size=size)
    except RunError:
        return _none(_why_none(run, original, label, limits))
    mine = (each for each in data["attempts"] if each["run"] == place)
    told = next(each for each in mine if each["name"] == best.name)
    before = None if original is None else getattr(original, size)
    after = getattr(best, size)
    smaller = f"{smaller_words(after, before)}, " if before else ""
    return {
        "name": best.name,
        "text": f"{smaller}{told['words']}",
        "size": f"{after:,} bytes as {label}",
        "command": data["sizes"][0]["file"].join(told["command"]) if any(told["command"]) else "",
    }


def original_text(original: AttemptInfo, sizes: Sequence[Mapping[str, str]]) -> str:
    """Return size and error of an original.

    >>> original = AttemptInfo("original", 9, 9, 0, 4000, 3000, None, None, None, 0.02)
    >>> original_text(original, [{"key": "zipped_h5_size", "label": "zipped .h5"}])
    '3,000 bytes as zipped .h5, error 0.02'
    """
    size = getattr(original, sizes[0]["key"]) if sizes else None
    bytes_ = "" if size is None else f"{size:,} bytes as {sizes[0]['label']}, "
    return f"{bytes_}error {error_text(original.error)}"


def _none(why: str) -> dict[str, str]:
    return {"name": "", "text": why, "size": "", "command": ""}


def _why_none(
    run: StoredResults,
    original: AttemptInfo | None,
    label: str,
    limits: Mapping[str, float | None],
) -> str:
    error = math.nan if original is None else original.error
    if limits["max_error"] is None and not math.isfinite(error):
        return "The original's error is not known: say what the error may be at most."
    if not run.attempts:
        return "No attempt is finished."
    known = [each for each in run.attempts if has_error(each)]
    if not known:
        return "No attempt has a finite error."
    least = min(known, key=lambda each: each.error)
    if least.error > error_limit(error, limits["max_error"], limits["max_increase"]):
        told = error_text(least.error)
        return f"No attempt is that good. The least error is {told}, of {least.name}."
    return f"Of none that is good enough the {label} was measured."
