"""The results of a run, read from its run directory without a framework, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.errors import InputError
from trimgrid.report.run_html import run_html
from trimgrid.run_directory.elsewhere import local_folder, push
from trimgrid.run_directory.manifest import MANIFEST, read_manifest
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.results import StoredResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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

    A notebook shows them as a table. The plots return the figure of the `ax` that is given, or a
    new one, which a notebook shows; pyplot is not touched.
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
        push(path)
        return path

    def plot_tradeoff(self, ax: Axes | None = None, size: str | None = None) -> Figure:
        """Draw size in kB (1,000 bytes) against error, and return the figure.

        Steps join the Pareto front, a star is the original, bars are the ranges of repeats. The
        error's axis is logarithmic if all errors are above 0. Of more than 30 attempts only the
        original and the front are named, where there is room. `size` is one of
        `trimgrid.results.SIZES_TO_CHOOSE_BY`, None for `default_size`.

        Raises `InputError` for an unknown size, and where no attempt is finished.

        >>> from trimgrid.run_directory.manifest import Manifest, Planned
        >>> sizes = (100, 100, 0, 4000, 3000, 1500, 1400)
        >>> place = {"id": "a1", "folder": Path("run/attempts/a1"), "config": {}}
        >>> original = StoredAttempt("original", *sizes, None, 0.02, **place)
        >>> run = Manifest(Path("run"), {}, {}, (Planned("a1", "original", {}),))
        >>> figure = Results(run, [original]).plot_tradeoff()
        >>> figure.axes[0].get_xlabel()
        'zipped .tflite size (kB)'
        """
        from trimgrid.report.plot_tradeoff import plot_tradeoff

        return plot_tradeoff(self, size, ax)

    def plot_curves(self, metric: str = "loss", ax: Axes | None = None) -> Figure:
        """Draw a metric over the epochs of each training, and return the figure.

        Lines are the metric on the validation data, dotted ones that on the training data; of
        repeats the median, in a band of their range. The axis is logarithmic if all values are
        above 0. Of more than 12 attempts the original and the Pareto front have a color. The
        figure tells which attempts have no history.

        Raises `InputError` for an unknown metric and where there is nothing to draw, `RunError` for
        a history that is damaged.

        >>> from trimgrid.run_directory.manifest import Manifest
        >>> results = Results(Manifest(Path("run"), {}, {}, ()), [])
        >>> results.plot_curves()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        trimgrid.errors.InputError: There must be ... Received: none. Resume the run.
        """
        from trimgrid.report.plot_curves import plot_curves

        return plot_curves(self, metric, ax)

    def plot_sparsity(self, by: str = "step", ax: Axes | None = None) -> Figure:
        """Draw how sparse the attempts are, and return the figure.

        `by="step"`: the planned sparsity over the training steps. `by="tensor"`: the share of
        zeros of each pruned tensor in each attempt, as a heat map. The figure tells of which
        attempts it was not recorded.

        Raises `InputError` for another `by` and where there is nothing to draw, `RunError` for
        details that are damaged.

        >>> from trimgrid.run_directory.manifest import Manifest
        >>> results = Results(Manifest(Path("run"), {}, {}, ()), [])
        >>> results.plot_sparsity(by="layer")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        trimgrid.errors.InputError: Sparsity is drawn ... Give by='step' or by='tensor'.
        """
        from trimgrid.report.plot_sparsity import plot_sparsity

        return plot_sparsity(self, by, ax)

    def plot_sensitivity(self, ax: Axes | None = None) -> Figure:
        """Draw the error of each tensor of the original pruned alone, and return the figure.

        A heat map: see `trimgrid.Study.sensitivity`, which must have been found for this run.

        Raises `InputError` where it was not.

        >>> from trimgrid.run_directory.manifest import Manifest
        >>> Results(Manifest(Path("run"), {}, {}, ()), []).plot_sensitivity()
        Traceback (most recent call last):
        ...
        trimgrid.errors.InputError: Sensitivity is drawn once it was found. Received: 'run' \
without it. Find it with study.sensitivity(run_dir=...).
        """
        found = self.sensitivity
        if found is None:
            raise InputError(
                f"Sensitivity is drawn once it was found. Received: {shown(self.folder)!r} without "
                "it. Find it with study.sensitivity(run_dir=...)."
            )
        from trimgrid.report.plot_sensitivity import plot_sensitivity

        return plot_sensitivity(found, ax)

    def _repr_html_(self) -> str:
        return run_html(self)


def load_results(folder: str | Path) -> Results:
    """Read the results of a run from its run directory, finished or not, also while it runs.

    `folder`: a path, or the URL of a run directory elsewhere, such as "s3://bucket/run". Of that a
    copy in the user's cache folder is made what the storage has, and is read; a model or
    predictions are fetched when they are asked for.

    An attempt whose result is damaged says so in its `status`; the others are as they should be.
    No framework is loaded, and nothing is written to the run directory.

    Raises `InputError` for a folder that is missing or no run directory, a manifest that is
    damaged, one that a newer trimgrid has written, and a URL that can't be reached.

    >>> load_results("runs/none")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A run directory must exist. Received: 'runs/none'. Check the path.
    """
    manifest = read_manifest(local_folder(folder))
    read = [StoredAttempt.read(manifest.folder, planned) for planned in manifest.planned]
    return Results(manifest, [each for each in read if each is not None])


def find_results(folder: str | Path) -> Results | None:
    """Return the results of a run that is there already, None where there is no run.

    Raises `InputError` as `load_results` does.

    >>> find_results("runs/none")
    """
    folder = local_folder(folder)
    return load_results(folder) if (folder / MANIFEST).exists() else None


def recorded_backend(folder: str | Path) -> str | None:
    """Return the backend of Keras that a run was begun on, None where there is no run.

    >>> recorded_backend("runs/none")
    """
    folder = local_folder(folder)
    if not (folder / MANIFEST).exists():
        return None
    return str(read_manifest(folder).settings.get("backend", "")) or None
