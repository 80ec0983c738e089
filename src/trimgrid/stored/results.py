"""The results of a run: which attempts there are, the front, the best, as tables of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self, overload

from trimgrid.choosing import front, smallest
from trimgrid.csv_text import csv_text
from trimgrid.errors import InputError, RunError
from trimgrid.optional import optional_modules
from trimgrid.results import COUNTS, SIZES, SIZES_TO_CHOOSE_BY
from trimgrid.run_directory.manifest import Manifest, unknown_attempt
from trimgrid.run_directory.progress_file import RunProgress, read_progress
from trimgrid.run_directory.search_file import SearchRecord, find_searches, read_search
from trimgrid.run_directory.sensitivity_file import read_sensitivity
from trimgrid.sensitivity import Sensitivity
from trimgrid.shrunk_info import SHRUNK_SIZES
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.goal import Goal, goal_of
from trimgrid.stored.shrunk_figures import shrunk_figures


class StoredResults(Sequence[StoredAttempt]):
    """The finished attempts of a run in the order planned, the original first.

    `results[0]` and `results["half"]` give one of them, a slice gives a list. `folder` is the run
    directory, `settings` is what all attempts share, `about` when, where and how the run began.

    >>> from trimgrid.run_directory.manifest import Planned
    >>> planned = Planned("5f0c", "original", {})
    >>> run = Manifest(Path("run"), {"epochs": 20}, {}, (planned, Planned("a1", "half", {})))
    >>> original = StoredAttempt(
    ...     *("original", 100, 100, 0, 4000, 3000, 1500, 1400, None, 0.02),
    ...     id="5f0c",
    ...     folder=Path("run/attempts/5f0c"),
    ...     config={},
    ... )
    >>> results = StoredResults(run, [original])
    >>> results["original"].error, results.unfinished, results.settings["epochs"]
    (0.02, ['half'], 20)
    """

    def __init__(self, manifest: Manifest, finished: Sequence[StoredAttempt]) -> None:
        self._manifest = manifest
        self.folder = manifest.folder
        self.settings = manifest.settings
        self.about = manifest.about
        self._planned = manifest.planned
        self._finished = list(finished)
        self._by_name = {each.name: each for each in finished}

    def __len__(self) -> int:
        return len(self._finished)

    @overload
    def __getitem__(self, key: int | str) -> StoredAttempt: ...

    @overload
    def __getitem__(self, key: slice) -> list[StoredAttempt]: ...

    def __getitem__(self, key: int | str | slice) -> StoredAttempt | list[StoredAttempt]:
        """Return an attempt by its place or name, or a list by a slice.

        Raises `IndexError`, and `InputError` for a name that no finished attempt has.
        """
        if not isinstance(key, str):
            return self._finished[key]
        if key in self._by_name:
            return self._by_name[key]
        if key in self.unfinished:
            raise InputError(
                "An attempt has results when it is finished. "
                f"Received: {key!r}, which is not. Resume the run."
            )
        raise unknown_attempt(key, [each.name for each in self._planned])

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a finished attempt of this name, or this attempt."""
        return key in self._by_name if isinstance(key, str) else key in self._finished

    def __repr__(self) -> str:
        return (
            f"<Results of {shown(self.folder)!r}: {len(self)} finished, "
            f"{len(self.unfinished)} unfinished>"
        )

    @property
    def original(self) -> StoredAttempt:
        """The model that was not pruned. Raises `RunError` if it is not finished."""
        found = self.find_original()
        if found is None:
            raise RunError(
                f"The original is not finished in {shown(self.folder)!r}. Resume the run."
            )
        return found

    def find_original(self) -> StoredAttempt | None:
        """Return the model that was not pruned, None if it is not finished."""
        return self._by_name.get(self._planned[0].name) if self._planned else None

    @property
    def attempts(self) -> list[StoredAttempt]:
        """All finished attempts but the original."""
        original = self.find_original()
        return [each for each in self._finished if each is not original]

    @property
    def error_name(self) -> str:
        """What the error is, such as "loss: mse"."""
        return str(self.settings.get("error_name", "error"))

    def sorted_by(self, key: str) -> Self:
        """Return the same results by rising "error" or size; what was not measured comes last.

        Raises `InputError` for another key.
        """
        if key not in ("error", *SIZES_TO_CHOOSE_BY):
            raise InputError(
                "Results are sorted by error or a size: "
                f"{', '.join(SIZES_TO_CHOOSE_BY)}. Received: {key!r}."
            )

        def rank(attempt: StoredAttempt) -> tuple[bool, float]:
            value = getattr(attempt, key)
            missing = value is None or math.isnan(value)
            return missing, 0.0 if missing else value

        return type(self)(self._manifest, sorted(self._finished, key=rank))

    @property
    def unfinished(self) -> list[str]:
        """The names of the attempts that are planned and have no result."""
        return [each.name for each in self._planned if each.name not in self._by_name]

    @property
    def progress(self) -> RunProgress | None:
        """How far the process is, or was, that last worked on this run; read each time anew.

        None for a run of a trimgrid that did not tell, and for a file that is damaged.
        """
        return read_progress(self.folder)

    @property
    def sensitivity(self) -> Sensitivity | None:
        """How sensitive the original's tensors are; None where it was not found.

        See `trimgrid.Study.sensitivity`. Raises `InputError` for a file that is damaged.
        """
        return read_sensitivity(self.folder)

    @property
    def searches(self) -> list[SearchRecord]:
        """What was searched for in the run directory, as far as that can be read; each time anew.

        See `trimgrid.Study.search`.
        """
        found = []
        for path in find_searches(self.folder):
            with suppress(InputError, OSError):
                found.append(read_search(path))
        return found

    @property
    def default_size(self) -> str:
        """What counts as size where none is named: that of `goal`.

        It is "zipped_tflite_size", or "zipped_keras_size" if nothing was converted to .tflite, or
        what a search in the run directory looked for.
        """
        return self.goal.size

    @cached_property
    def goal(self) -> Goal:
        """What is good enough and what counts as size where that is not said.

        What the search in the run directory asked for; without one, or where several asked for
        different things, at most 5 % more error than the original. As it was when first asked for.
        """
        return goal_of(self.folder, self._finished)

    def pareto(self, size: str | None = None) -> list[StoredAttempt]:
        """Return those that no other beats in both size and error, the smallest first.

        `size` is one of `trimgrid.results.SIZES_TO_CHOOSE_BY`, None for `default_size`. The
        original counts. What has no finite error, or no such size, is left out.

        Raises `InputError` for an unknown size.
        """
        return front(self._finished, self.default_size if size is None else size)

    def best(
        self,
        max_error: float | None = None,
        max_increase: float | None = None,
        size: str | None = None,
    ) -> StoredAttempt:
        """Return the smallest attempt that is good enough; the original is none.

        Its error is at most `max_error`, and at most the original's plus the fraction
        `max_increase` of it; without any limit those of `goal` count. `size` is one of
        `trimgrid.results.SIZES_TO_CHOOSE_BY`, None for `default_size`; of those of shrunk files,
        such as "zipped_shrunk_tflite_size", an attempt without idle units has that of its whole
        file, and the error is the attempt's, which shrinking does not change but for rounding. Of
        attempts of the same size the one with the lower error is taken, then the earlier one.

        Raises `InputError` for limits that are no finite numbers and an unknown size, and
        `RunError` with the reason if no attempt will do.
        """
        if max_error is None and max_increase is None:
            max_error, max_increase = self.goal.max_error, self.goal.max_increase
        return smallest(
            self.attempts,
            self.find_original(),
            max_error=max_error,
            max_increase=max_increase,
            size=self.default_size if size is None else size,
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return what was measured of each as types that JSON has: see `StoredAttempt.to_dict`."""
        return [each.to_dict() for each in self._finished]

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a table as CSV, and write it to `path` if one is given.

        The columns are the keys of `to_dicts`, with "error_min", "error_median" and "error_max" in
        place of "errors": empty without repeats, as is all that was not measured. In place of
        "shrunk" stand "shrunk_weights", "shrunk_error" and the sizes of the files without idle
        units; where no unit left these are those of the whole model. A name or status
        that a spreadsheet would take for a formula (it begins with =, +, - or @, perhaps after
        spaces and quotes, or with a tab or an end of a line) has an apostrophe before it;
        `to_dicts` and `to_pandas` have it as it is.

        Raises `OSError` if the file can't be written; what was there stays.
        """
        return csv_text(_COLUMNS, ([row[key] for key in _COLUMNS] for row in self._rows()), path)

    def to_pandas(self) -> Any:
        """Return the table of `to_csv` as a `pandas.DataFrame`, texts as they are.

        Counts and sizes are of pandas' type "Int64", which has missing values.

        Raises `InputError` if pandas is not installed.
        """
        (pandas,) = optional_modules("A table for pandas", "pandas", "pandas", "pandas")
        floats = (*_ERRORS, "latency_ms", "shrunk_error")
        whole = (*COUNTS, *SIZES, "shrunk_weights", *SHRUNK_SIZES)
        types = {**dict.fromkeys(whole, "Int64"), **dict.fromkeys(floats, "float64")}
        return pandas.DataFrame(self._rows(), columns=_COLUMNS).astype(types)

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for each in self._finished:
            low, high = each.error_range or (None, None)
            ends = {
                "error_min": low,
                "error_median": None if low is None else each.error,
                "error_max": high,
            }
            rows.append({**each.to_dict(), **ends, **shrunk_figures(each)})
        return rows


_ERRORS = ("error", "error_min", "error_median", "error_max")
_COLUMNS = [
    *("id", "name", *COUNTS, *SIZES, *_ERRORS, "latency_ms"),
    *("shrunk_weights", "shrunk_error", *SHRUNK_SIZES, "status"),
]
