"""How a run was made, as pairs of a name and what is to be said of it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from trimgrid import __version__
from trimgrid.choosing import has_error
from trimgrid.errors import RunError
from trimgrid.report.page.parts import part
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.details import TensorSummary
from trimgrid.storage.copies import shown
from trimgrid.stored.results import StoredResults
from trimgrid.terminal_text import printable


def facts(results: StoredResults) -> list[tuple[str, str]]:
    """Return settings, versions, machine, times and the command of a run, each with its name.

    What an older version did not record, or what can't be read, is left out.
    """
    settings, about = results.settings, results.about
    training = part(settings, "training")
    versions = part(settings, "versions")
    planned = len(results) + len(results.unfinished)
    repeats = settings.get("repeats")
    several = isinstance(repeats, int) and repeats > 1
    told = {
        "Attempts": f"{len(results):,} of {planned:,} finished, the original among them",
        "Error": results.error_name,
        "Loss": _name(part(training, "loss").get("loss")),
        "Optimizer": _name(training.get("optimizer")),
        "Epochs": _epochs(training, settings.get("pretrain_epochs")),
        "Batch size": _text(training.get("batch_size")),
        "Seed": _text(training.get("seed")),
        "Repeats": f"{repeats} of each attempt, with seeds of their own" if several else "",
        "Engine": _joined(" on ", settings.get("engine"), settings.get("backend")),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Python": _joined(", NumPy ", about.get("python"), about.get("numpy")),
        "Machine": _machine(settings, about),
        "Begun": _time(about.get("created")),
        "Took": _duration(results),
        "Model": _digest(settings),
        "Command": _text(about.get("command")),
        "Run directory": shown_path(results.folder),
    }
    return [(name, text) for name, text in told.items() if text]


def version_note(results: StoredResults) -> str:
    """Return a sentence if another version of trimgrid made the run than shows it, else ""."""
    made_by = part(results.settings, "versions").get("trimgrid")
    if made_by in (None, __version__):
        return ""
    return (
        f"This run was made by trimgrid {made_by}, this page by {__version__}: "
        "what that version did not record is not here."
    )


def skipped_tensors(results: StoredResults) -> list[TensorSummary]:
    """Return the tensors that were not pruned, with the reasons; empty where it is not known."""
    for attempt in results:
        try:
            known = attempt.details
        except RunError:
            continue
        if known is not None and known.tensors:
            return [each for each in known.tensors if each.reason is not None]
    return []


def shown_path(folder: Path) -> str:
    """Return a path as short as it is from the current folder.

    >>> shown_path(Path.cwd() / "runs" / "digits")
    'runs/digits'
    """
    here = Path.cwd()
    return folder.relative_to(here).as_posix() if folder.is_relative_to(here) else shown(folder)


def _epochs(training: Mapping[str, Any], original: Any) -> str:
    if not _text(training.get("epochs")):
        return ""
    own = f"{training['epochs']} of each attempt"
    return f"{own}, {original} of the original" if original else own


def _machine(settings: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    cores = about.get("cores")
    platform = _text(settings.get("platform")).upper()
    count = f"{cores} {'core' if cores == 1 else 'cores'}" if cores else ""
    return _joined(", ", about.get("machine"), count, platform)


def _time(created: Any) -> str:
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return _text(created)


def _duration(results: StoredResults) -> str:
    """How long processes worked on the run, all together."""
    progress = results.progress
    if progress is None or not progress.seconds > 0:
        return ""
    if progress.seconds < 59.95:
        return f"{progress.seconds:.1f} s"
    minutes, seconds = divmod(round(progress.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _name(value: Any) -> str:
    """The name of what was set: of an object its class and its plain settings."""
    if _is_object(value):
        config = part(value, "config")
        shown = ", ".join(
            f"{key}={_name(each)}"
            for key, each in config.items()
            if key != "name" and (isinstance(each, int | float | str) or _is_object(each))
        )
        return f"{value['class_name']}({shown})" if shown else str(value["class_name"])
    if isinstance(value, Mapping):
        named = value.get("function")
        outputs = part(value, "outputs") or value
        parts = (f"{key}: {_name(each) or 'none'}" for key, each in outputs.items())
        return str(named) if named else ", ".join(parts)
    if isinstance(value, list):
        return ", ".join(_name(each) or "none" for each in value)
    return _text(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_name" in value


def _digest(settings: Mapping[str, Any]) -> str:
    digest = part(settings, "model").get("digest")
    return f"digest {digest}" if digest else ""


def _joined(between: str, *parts: Any) -> str:
    return between.join(filter(None, map(_text, parts)))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def export_command(folder: Path, attempt: AttemptInfo) -> tuple[str, str]:
    """Return the command that exports an attempt, before and after the name of the file.

    Both are "" where it has no model to export.

    There is none for names that hold what a terminal would obey, either: a copy of it would not be
    what is seen.

    >>> half = AttemptInfo("lamp 90 %", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> export_command(Path.cwd() / "runs" / "digits", half)
    ("trimgrid export runs/digits 'lamp 90 %' -o ", '')
    """
    words = [shown_path(folder), attempt.name]
    if not has_error(attempt) or any(printable(word) != word for word in words):
        return "", ""
    if attempt.name.startswith("-"):
        return "trimgrid export -o ", f" -- {shlex.join(words)}"
    return f"trimgrid export {shlex.join(words)} -o ", ""
