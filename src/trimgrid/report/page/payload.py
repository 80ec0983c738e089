"""All that the page's script knows of some runs, as types that JSON has."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimgrid.cells import change_cell, latency_cell, size_label
from trimgrid.choosing import MAX_INCREASE, pareto_front
from trimgrid.report.page.details import details
from trimgrid.report.page.facts import export_command
from trimgrid.report.page.first_goal import first_goal
from trimgrid.report.page.numbers import change_words, error_text
from trimgrid.report.page.predictions import read_predictions
from trimgrid.results import SIZES, AttemptInfo
from trimgrid.shrunk_info import SHRUNK_SIZES
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults


def run_names(runs: Sequence[StoredResults]) -> list[str]:
    """Return a name for each run, the end of its path that tells it from the others.

    >>> from trimgrid.run_directory.manifest import Manifest
    >>> paths = ("a/digits", "b/digits", "b/mlp")
    >>> run_names([StoredResults(Manifest(Path(path), {}, {}, ()), []) for path in paths])
    ['a/digits', 'b/digits', 'mlp']
    """
    paths = [run.folder for run in runs]
    names = [path.name for path in paths]
    for length in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        twice = {name for name in names if names.count(name) > 1}
        if not twice:
            break
        names = [
            Path(*path.parts[-length:]).as_posix() if name in twice else name
            for path, name in zip(paths, names, strict=True)
        ]
    return names


def sizes_measured(runs: Sequence[StoredResults]) -> list[str]:
    """Return the sizes that some attempt has, the one to choose by first.

    Those of zipped files without idle units come last, where some attempt lost units. First of all
    comes what a search looked for.
    """
    attempts = [each for run in runs for each in run]
    default = first_goal(runs).size
    known = [key for key in SIZES if any(getattr(each, key) is not None for each in attempts)]
    # Zipped ones first, and .tflite before .keras before .h5: in the order of how often they ship.
    known.sort(key=lambda key: (key != default, "zipped" not in key, -SIZES.index(key)))
    if not any(each.shrunk is not None and each.shrunk.units for each in attempts):
        return known
    shrunk = [key.replace("zipped_", "zipped_shrunk_") for key in known if "zipped" in key]
    if default in SHRUNK_SIZES and default not in shrunk:
        shrunk.append(default)
    known += [key for key in shrunk if any(getattr(a, key) is not None for a in attempts)]
    return sorted(known, key=lambda key: key != default)


def payload(runs: Sequence[StoredResults]) -> dict[str, Any]:
    """Return what the script of the page needs, with the details of all attempts."""
    sizes, goal = sizes_measured(runs), first_goal(runs)
    attempts: list[dict[str, Any]] = []
    told_runs = []
    for place, (run, name) in enumerate(zip(runs, run_names(runs), strict=True)):
        predictions = read_predictions(run)
        original = run.find_original()
        told_original = None
        for attempt in run:
            if attempt is original:
                told_original = len(attempts)
            told = summary(attempt, original, sizes)
            told["details"] = details(attempt, predictions)
            command = ("", "") if attempt is original else export_command(run.folder, attempt)
            attempts.append({"run": place, **told, "command": command})
        told_runs.append(
            {
                "name": name,
                "error_name": run.error_name,
                "original": told_original,
                "test": predictions.shared(),
            }
        )
    return {
        "sizes": [
            {
                "key": key,
                "label": size_label(key),
                "file": f"small.{key.split('_')[-2]}" + (" --shrink" if "shrunk_" in key else ""),
                "shrunk": "shrunk_" in key,
            }
            for key in sizes
        ],
        "max_increase": MAX_INCREASE if goal.max_increase is None else goal.max_increase,
        "max_error": goal.max_error,
        "runs": told_runs,
        "attempts": attempts,
    }


def summary(
    attempt: StoredAttempt, original: AttemptInfo | None, sizes: Sequence[str]
) -> dict[str, Any]:
    """Return an attempt's figures, and as text what the script need not put into words."""
    reference = math.nan if original is None else original.error
    spread = attempt.error_range
    failed = not math.isfinite(attempt.error)
    return {
        "name": attempt.name,
        "status": attempt.status,
        "failed": failed,
        "weights": attempt.total_weights,
        "zeros": None if failed and attempt.status != "ok" else attempt.zero_weights,
        "sizes": [getattr(attempt, key) for key in sizes],
        "error": None if failed else attempt.error,
        "range": None if spread is None else list(spread),
        "range_text": "" if spread is None else " to ".join(map(error_text, spread)),
        "repeats": attempt.repeats,
        "error_text": error_text(attempt.error),
        "change": change_cell(attempt, original if math.isfinite(reference) else None),
        "words": change_words(attempt.error, reference),
        "latency": attempt.latency_ms,
        "latency_text": latency_cell(attempt),
        "settings": _settings(attempt.config),
    }


def without_details(data: Mapping[str, Any], kept: int) -> dict[str, Any]:
    """Return the payload with the details of so many attempts only, those worth most of a look."""
    chosen = set(_worth_a_look(data)[:kept])
    attempts = [
        each if place in chosen else {key: each[key] for key in each if key != "details"}
        for place, each in enumerate(data["attempts"])
    ]
    return {**data, "attempts": attempts}


def _worth_a_look(data: Mapping[str, Any]) -> list[int]:
    """The places of the attempts: originals, fronts, then the others by rising error."""
    attempts = data["attempts"]
    errors = [math.inf if each["error"] is None else each["error"] for each in attempts]
    fronts: list[int] = []
    for run, size in itertools.product(range(len(data["runs"])), range(len(data["sizes"]))):
        mine = [
            place
            for place, each in enumerate(attempts)
            if each["run"] == run and each["error"] is not None and each["sizes"][size] is not None
        ]
        points = [(attempts[place]["sizes"][size], errors[place]) for place in mine]
        fronts += [mine[index] for index in pareto_front(points)]
    originals = [run["original"] for run in data["runs"] if run["original"] is not None]
    others = sorted(range(len(attempts)), key=lambda place: errors[place])
    return list(dict.fromkeys([*originals, *fronts, *others]))


def _settings(config: dict[str, Any]) -> list[list[str]]:
    """What an attempt has of its own, as names and values that people read."""
    told: list[list[str]] = []
    for key, value in config.items():
        if key == "original" or value is None:
            continue
        if isinstance(value, dict):
            shown = {name: each for name, each in value.items() if name != "plan"}
            head = str(shown.pop("class", shown.pop("class_name", shown.pop("name", ""))))
            inner = shown.pop("config", None)
            shown |= inner if isinstance(inner, dict) else {}
            parts = [f"{name} {_plain(each)}" for name, each in shown.items() if _told(each)]
            value = ", ".join(filter(None, [head, *parts]))
        told.append([key.replace("_", " "), _plain(value)])
    return told


def _told(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
