"""The page as one file: template, style, script, chart library and data in it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimgrid import __version__
from trimgrid.atomic import replacing
from trimgrid.choosing import has_error
from trimgrid.errors import InputError, RunError
from trimgrid.report.page.facts import export_command, facts, skipped_tensors, version_note
from trimgrid.report.page.numbers import error_text, smaller_words
from trimgrid.report.page.payload import payload, size_label
from trimgrid.results import AttemptInfo
from trimgrid.stored.results import StoredResults

if TYPE_CHECKING:
    from jinja2 import Template

PAGE = "report.html"
"""The name of the page in a run directory."""

MOST_BYTES = 6_000_000
"""What a page has at most, so that it can be sent by mail."""

_SCRIPTS = (
    *("base.js", "choice.js", "headline.js", "charts.js", "names.js", "tradeoff.js", "table.js"),
    *("details.js", "predictions.js", "main.js"),
)


def save_page(runs: Sequence[StoredResults], path: str | Path) -> None:
    """Write the page of one run, or of several side by side, as one HTML file.

    It needs no network. Details of single attempts (curves, weights, predictions) are left out,
    beginning with those of the greatest error, where the file would have more than 6 MB; the page
    then says so. The same run directories give the same bytes.

    The file appears whole or not at all. Raises `InputError` for no runs and for the same run
    twice, `OSError` where the folder can't be written.
    """
    content = page_html(runs)
    with replacing(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8", newline="\n")


def page_html(runs: Sequence[StoredResults], most_bytes: int = MOST_BYTES) -> str:
    """Return the page of some runs: see `save_page`."""
    folders = [run.folder.resolve() for run in runs]
    if not folders or len(set(folders)) < len(folders):
        raise InputError(
            "A page shows one run, or several that differ. "
            f"Received: {', '.join(map(str, folders)) or 'no run'}. Name each run directory once."
        )
    data = payload(runs)
    page = _render(runs, data)
    detailed = len(data["attempts"])
    while len(page.encode()) > most_bytes and detailed > 1:
        detailed = detailed // 2
        data = payload(runs, detailed)
        page = _render(runs, data)
    return page


def _render(runs: Sequence[StoredResults], data: dict[str, Any]) -> str:
    names = [run["name"] for run in data["runs"]]
    page = _template().render(
        plotly=_packed_plotly(),
        packed=_packed(json.dumps(data, allow_nan=False, separators=(",", ":"))),
        data=data,
        title=" · ".join(names),
        version=__version__,
        runs=[_run_view(run, name, data["sizes"]) for run, name in zip(runs, names, strict=True)],
        picks=[_pick(run, place, data) for place, run in enumerate(runs)],
        repeats=max((each.repeats for run in runs for each in run), default=1),
        notes=_notes(runs, data),
        largest=[
            max((each["sizes"][place] or 0 for each in data["attempts"]), default=0)
            for place in range(len(data["sizes"]))
        ],
    )
    # Names of files and attempts may hold halves of surrogate pairs, which UTF-8 has not.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("trimgrid.report.page", "files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("trimgrid.report.page") / "files"
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    # Our own files, which hold nothing of a run: only they are put in as they are.
    own = {
        "style": Markup((folder / "style.css").read_text(encoding="utf-8")),
        "script": Markup(f"(() => {{\n'use strict';\n{script}\n}})();"),
    }
    return environment.get_template("page.html", globals=own)


@cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    """Text that no HTML can be found in, in about 40 % of its bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


def _run_view(run: StoredResults, name: str, sizes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the template says of a run besides the data."""
    original = run.find_original()
    asked = [f"{len(run.attempts) + len(run.unfinished):,} attempts were asked for"]
    if run.unfinished:
        asked.append(f"{len(run.unfinished):,} of them are not finished")
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
        "original_text": "" if original is None else _original_text(original, sizes),
        "error_name": run.error_name,
        "unfinished": run.unfinished,
        "finished": len(run),
        "wrong": [(each.name, each.status) for each in run if each.status != "ok"],
    }


def _original_text(original: AttemptInfo, sizes: Sequence[Mapping[str, str]]) -> str:
    size = getattr(original, sizes[0]["key"]) if sizes else None
    bytes_ = "" if size is None else f"{size:,} bytes as {sizes[0]['label']}, "
    return f"{bytes_}error {error_text(original.error)}"


def _notes(runs: Sequence[StoredResults], data: dict[str, Any]) -> list[str]:
    """What is to be said of all runs together."""
    notes = []
    if len({run.error_name for run in runs}) > 1:
        notes.append("These runs measure different errors, which can't be compared.")
    elif len({_test_digest(run) for run in runs}) > 1:
        notes.append("These runs measure their errors on different test data.")
    left_out = sum("details" not in each for each in data["attempts"])
    if left_out:
        notes.append(
            f"Details of {left_out:,} attempts are left out, first those that are on no front, to "
            f"keep the page below {MOST_BYTES // 1_000_000} MB."
        )
    return notes


def _test_digest(run: StoredResults) -> str:
    """What tells the data on which errors are measured."""
    data = run.settings.get("data")
    known = data if isinstance(data, dict) else {}
    return json.dumps(known.get("test") or known.get("validation"))


def _pick(run: StoredResults, place: int, data: dict[str, Any]) -> dict[str, str]:
    """The headline of a run as it is before a script has run: the same that the script says."""

    def none(why: str) -> dict[str, str]:
        return {"name": "", "text": why, "size": "", "command": ""}

    if not data["sizes"]:
        return none("No attempt has a size that was measured.")
    size = data["sizes"][0]["key"]
    try:
        best = run.best(size=size)
    except RunError as error:
        return none(str(error))
    original = run.find_original()
    assert original is not None  # without one `best` needs a limit
    mine = (each for each in data["attempts"] if each["run"] == place)
    told = next(each for each in mine if each["name"] == best.name)
    before, after = getattr(original, size), getattr(best, size)
    smaller = f"{smaller_words(after, before)}, " if before else ""
    return {
        "name": best.name,
        "text": f"{smaller}{told['words']}",
        "size": f"{after:,} bytes as {size_label(size)}",
        "command": export_command(run.folder, best.name),
    }
