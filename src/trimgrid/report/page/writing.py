"""The page as one file: template, style, script, chart library and data in it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimgrid import __version__
from trimgrid.atomic import replacing
from trimgrid.errors import InputError
from trimgrid.report.page.headline import pick
from trimgrid.report.page.notes import notes_on_all, run_view
from trimgrid.report.page.payload import payload, without_details
from trimgrid.storage.copies import shown
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
    then says so. It has more only where the table of very many attempts alone takes it. The same
    run directories give the same bytes in the same working folder, to which paths are told.

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
            f"Received: {', '.join(map(shown, folders)) or 'no run'}. Name each run directory once."
        )
    data = payload(runs)
    page = _render(runs, data)
    detailed = len(data["attempts"])
    while len(page.encode()) > most_bytes and detailed > 1:
        detailed = detailed // 2
        data = without_details(data, detailed)
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
        runs=[run_view(run, name, data["sizes"]) for run, name in zip(runs, names, strict=True)],
        picks=[pick(run, place, data) for place, run in enumerate(runs)],
        repeats=max((each.repeats for run in runs for each in run), default=1),
        notes=notes_on_all(runs, data, MOST_BYTES),
        timed=any(each["latency"] is not None for each in data["attempts"]),
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
