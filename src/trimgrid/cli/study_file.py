"""A Python file that defines a study."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError, cause
from trimgrid.grids.grid import AttemptConfig
from trimgrid.runs.study import Study

_MOST_LINES = 3  # of what an exception says


def load_study(path: Path) -> tuple[Study, Sequence[AttemptConfig] | None]:
    """Run a file and return its `study`, or what its `get_study()` gives, and its `grid`, if any.

    Modules beside the file can be imported from it.

    Raises `InputError` for a missing file, one that defines no study or a grid that is none, and
    one that raises, with the lines of the file that led there.
    """
    if not path.is_file():
        raise InputError(f"A study file must exist. Received: {str(path)!r}. Check the path.")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        names = runpy.run_path(str(path), run_name="trimgrid_study")
        study = names["study"] if "study" in names else names.get("get_study", lambda: None)()
    except (Exception, SystemExit) as error:
        raise InputError(_shortened(error, path)) from error
    if not isinstance(study, Study):
        raise InputError(
            "A study file must define `study`, a trimgrid.Study, or `get_study()`. "
            f"Received: {path.name}, "
            + (f"whose study is {type(study).__name__}." if study is not None else "without one.")
            + " Write for example: study = trimgrid.Study(model, train, test=test, epochs=20)"
        )
    return study, _checked_grid(names.get("grid"), path)


def _checked_grid(grid: Any, path: Path) -> Sequence[AttemptConfig] | None:
    if grid is None:
        return None
    what = type(grid).__name__
    if isinstance(grid, Sequence):
        others = [each for each in grid if not isinstance(each, AttemptConfig)]
        if not others:
            return grid
        what = f"{what} with {type(others[0]).__name__}"
    raise InputError(
        "The grid of a study file must be a list of trimgrid.AttemptConfig. "
        f"Received: {path.name}, whose grid is {what}. "
        'Write for example: grid = trimgrid.expand_grid({"target_sparsity": [0.5, 0.8]})'
    )


def _shortened(error: BaseException, path: Path) -> str:
    """The traceback from the study file on, without what lies below in libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    lines = [f"  {path.name}, line {frame.lineno}: {frame.line}" for frame in own]
    if isinstance(error, SyntaxError) and error.filename and not own:
        lines = [f"  {path.name}, line {error.lineno}: {(error.text or '').strip()}"]
    said = [f"  {line}" for line in _said(error)]
    return "\n".join([f"The study file {path.name} raises:", *lines, *said])


def _said(error: BaseException) -> list[str]:
    """The type of an exception and the first lines of what it says."""
    text = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SyntaxError):
        return text.splitlines()[-1:]
    kind = text.splitlines()[0].partition(":")[0]
    lines = [line.strip() for line in cause(error).splitlines() if line.strip()]
    return [": ".join([kind, *lines[:1]]), *lines[1:_MOST_LINES]]
