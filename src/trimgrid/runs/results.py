"""The results of a run, read from its run directory without a framework, and shown."""

from __future__ import annotations

from pathlib import Path

from trimgrid.run_directory.manifest import MANIFEST, read_manifest
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults

__all__ = [
    "Results",
    "StoredAttempt",
    "find_results",
    "load_results",
    "recorded_backend",
]


class Results(StoredResults):
    """The finished attempts of a run in the order planned, the original first.

    `results[0]` and `results["half"]` give one of them, a slice gives a list. `folder` is the run
    directory, `settings` is what all attempts share, `about` when, where and how the run began.
    """

    def report(self, path: str | Path | None = None, *others: StoredResults) -> Path:
        """Write the page of the run, with others beside it if they are given; return its path.

        It is one HTML file that needs no network: trade-off, table, curves, weights, predictions,
        and how the run was made. `path` is by default "report.html" in the run directory.

        Raises `InputError` for the same run twice, `OSError` where the folder can't be written.
        """
        from trimgrid.report.page.writing import PAGE, save_page

        path = self.folder / PAGE if path is None else Path(path)
        save_page([self, *others], path)
        return path


def load_results(folder: str | Path) -> Results:
    """Read the results of a run from its run directory, finished or not, also while it runs.

    An attempt whose result is damaged says so in its `status`; the others are as they should be.
    No framework is loaded, and nothing is written.

    Raises `InputError` for a folder that is missing or no run directory, a manifest that is
    damaged, and one that a newer trimgrid has written.

    >>> load_results("runs/none")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A run directory must exist. Received: 'runs/none'. Check the path.
    """
    manifest = read_manifest(folder)
    read = [StoredAttempt.read(manifest.folder, planned) for planned in manifest.planned]
    return Results(manifest, [each for each in read if each is not None])


def find_results(folder: str | Path) -> Results | None:
    """Return the results of a run that is there already, None where there is no run.

    Raises `InputError` as `load_results` does.

    >>> find_results("runs/none")
    """
    return load_results(folder) if Path(folder, MANIFEST).exists() else None


def recorded_backend(folder: str | Path) -> str | None:
    """Return the backend of Keras that a run was begun on, None where there is no run.

    >>> recorded_backend("runs/none")
    """
    if not Path(folder, MANIFEST).exists():
        return None
    return str(read_manifest(folder).settings.get("backend", "")) or None
