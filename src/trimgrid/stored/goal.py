"""What is good enough in a run where nobody says it: what its search asked for, or the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimgrid.cells import size_label
from trimgrid.choosing import MAX_INCREASE, check_size, default_size, error_limit
from trimgrid.errors import InputError
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.search_file import find_searches, read_search

DIFFERENT = "because the searches here asked for different ones"
_DAMAGED = "because what the search asked for can't be read"


@dataclass(frozen=True)
class Goal:
    """Which errors are good enough, and what counts as size, where that is not said.

    `max_error`, `max_increase`: as `trimgrid.choosing.smallest` takes them, both None for its
    default. `size`: one of `trimgrid.results.SIZES_TO_CHOOSE_BY`. `why`: what the searches in the
    run directory have to do with it, None where there are none.

    >>> Goal(None, 0.01, "zipped_h5_size", "as the search asked").text()
    'Chosen: zipped .h5, with at most 1 % more error than the original, as the search asked.'
    """

    max_error: float | None
    max_increase: float | None
    size: str
    why: str | None = None

    @property
    def limit_text(self) -> str:
        """Which errors are good enough, in words."""
        return limit_text(self.max_error, self.max_increase)

    def text(self, limit: bool = True, size: bool = True) -> str:
        """Return a sentence on what is taken of it, the limit or the size; "" without searches."""
        taken = [size_label(self.size)] * size + [self.limit_text] * limit
        return f"Chosen: {', '.join([*taken, self.why])}." if taken and self.why else ""


def goal_of(folder: Path, attempts: Sequence[AttemptInfo]) -> Goal:
    """Return the goal of a run directory: that of its searches where they agree.

    Else it is the default, for the attempts that are finished. A search that is damaged is taken
    for one that asked for something else.

    >>> goal_of(Path("runs/none"), []).text()
    ''
    """
    default = Goal(None, None, default_size(attempts))
    found = {_asked(path) for path in find_searches(folder)}
    if not found:
        return default
    goal = found.pop()
    if found or goal is None:
        return replace(default, why=DIFFERENT if found else _DAMAGED)
    return goal


def limit_text(max_error: float | None, max_increase: float | None) -> str:
    """Return which errors are good enough, in words.

    >>> limit_text(0.2, 0.05)
    'with an error of at most 0.2 and at most 5 % more error than the original'
    """
    if max_error is None and max_increase is None:
        max_increase = MAX_INCREASE
    parts = [] if max_error is None else [f"an error of at most {max_error:g}"]
    if max_increase is not None:
        parts.append(f"at most {100 * max_increase:g} % more error than the original")
    return f"with {' and '.join(parts)}"


def _asked(path: Path) -> Goal | None:
    """What a search asked for, None where that can't be read."""
    try:
        asked = read_search(path).settings
        limits = asked["max_error"], asked["max_increase"]
        error_limit(1.0, *limits)
        check_size(asked["size"])
    except (InputError, OSError, KeyError):
        return None
    return Goal(*limits, asked["size"], "as the search asked")
