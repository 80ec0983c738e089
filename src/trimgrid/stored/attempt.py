"""One attempt of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trimgrid.arguments import check_flag
from trimgrid.errors import InputError, RunError, first_line
from trimgrid.export.samples import read_samples
from trimgrid.forms import Form
from trimgrid.latency import SECONDS, Latency
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import (
    HISTORY,
    MODEL,
    PREDICTIONS,
    RESULT,
    add_export,
    read_history,
    read_predictions,
    sha256_of,
)
from trimgrid.run_directory.details import DETAILS, Details, read_details
from trimgrid.run_directory.elsewhere import present
from trimgrid.run_directory.json_files import DamagedFileError, read_json
from trimgrid.run_directory.manifest import Planned, read_manifest
from trimgrid.run_directory.paths import ATTEMPTS, SAMPLES, attempt_path
from trimgrid.scratch import scratch_folder
from trimgrid.storage.copies import shown
from trimgrid.stored.forms import forms_of

if TYPE_CHECKING:
    from trimgrid.export.exported import Exported

_Content = TypeVar("_Content")
# For how long a file that is exported sparsely and the dense one beside it are timed.
_EXPORT_SECONDS = 2.0


@dataclass(kw_only=True)
class StoredAttempt(AttemptInfo):
    """The measurements of an attempt, and the way to its files in the run directory.

    `id` names it in the run directory, `folder` is where its files lie, `config` is what it has of
    its own. `seeds` are those of its trainings. `exports` tells what was exported of it, `files`
    the size and SHA-256 of each of its files. A file is read when it is asked for, each time anew,
    and checked against these. `latency` is what `measure_latency` found last.

    The `status` of an attempt whose result can't be read begins with "damaged"; it has no sizes,
    no error and no files.
    """

    id: str
    folder: Path = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    seeds: tuple[int, ...] = field(default=(), repr=False)
    files: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    exports: list[dict[str, Any]] = field(default_factory=list, repr=False)
    latency: Latency | None = field(default=None, repr=False)

    # mypy knows no property in place of a field; dataclasses set it as they set a field.
    @property  # type: ignore[misc]
    def y_pred(self) -> Any:
        """The predictions on the test data: an array, or lists and dicts of arrays, or None.

        Raises `RunError` for a file that is missing, truncated or changed.
        """
        if self._y_pred is not None:
            return self._y_pred
        if PREDICTIONS not in self.files:
            return None
        return self._read(PREDICTIONS, read_predictions)

    @y_pred.setter
    def y_pred(self, predictions: Any) -> None:
        self._y_pred = predictions

    @property
    def damaged(self) -> bool:
        """Whether the result can't be read: then `status` says why."""
        return self.status.startswith("damaged: ")

    @property
    def history(self) -> dict[str, list[float]]:
        """The columns of the training's history by name; of all repeats, told apart by "seed".

        Empty where no history was stored. Raises `RunError` as `y_pred` does.
        """
        return self._read(HISTORY, read_history) if HISTORY in self.files else {}

    @property
    def details(self) -> Details | None:
        """What its weights look like and when they were pruned; None where it was not recorded.

        Raises `RunError` as `y_pred` does.
        """
        return self._read(DETAILS, read_details) if DETAILS in self.files else None

    @property
    def forms(self) -> tuple[Form, ...]:
        """The attempt dense, sparse and shrunk, side by side: see `trimgrid.forms.Form`.

        It is put together from what the run measured, what was exported and what was timed. What
        is not known of a form has its reason.

        >>> half = StoredAttempt(
        ...     *("half", 100, 50, 50, 4000, 3000, 1500, 1400, None, 0.02),
        ...     **{"id": "a1", "folder": Path("run/attempts/a1"), "config": {}},
        ... )
        >>> [form.storage for form in half.forms], half.forms[0].tflite["dynamic"].size.zipped
        (['dense', 'sparse', 'shrunk'], 1400)
        """
        return forms_of(self)

    @property
    def model_file(self) -> Path:
        """The `.keras` file of the trained model, after its content was checked.

        Raises `RunError` if there is none, and for one that is missing, truncated or changed.
        """
        return self._whole(MODEL)

    def load(self) -> Any:
        """Return the trained model, as data only: see `load_model`; of `tf_keras` if it was one.

        Raises `RunError` as `model_file` does, and `InputError` for classes that are not known.
        """
        path = self.model_file
        from trimgrid.models import load_saved  # Keras is loaded for this alone

        return load_saved(path)

    def export(
        self,
        path: str | Path,
        quantize: str | None = None,
        error: Callable[[Any, Any], float] | None = None,
        *,
        sparse: bool = False,
        shrink: bool = False,
    ) -> Exported:
        """Write the model as the file to ship, run that file, and tell how it compares.

        The ending of `path` tells the format: .tflite, .keras, .h5 or .onnx. `quantize`: "none",
        "float16", "dynamic", "int8" or "int4", as far as the format has it: see
        `trimgrid.export.formats`; by default what the tables tell of, "dynamic" for .tflite and
        "none" for the others. The file is run in its own runtime on the test data in the run
        directory, up to 1,000 rows. `error`, from targets and predictions, is by default the
        study's, unless that is a function, which no file holds.

        `sparse` leaves zeros out of a .tflite, in float32 (its default then) or float16, and tells
        the size and the time of the file with them and without, `Exported.latency`. `shrink` leaves
        units out that do nothing, `Exported.shrunk`: see `trimgrid.shrink_model`.

        What was found is added to `exports`, here and in the run directory.

        Raises `InputError` for a path or a quantization that can't be had, and `RunError` for a
        model file that is damaged, a conversion that fails, and a file that answers wrong: then
        nothing is written.
        """
        from trimgrid.export.exporting import export_model
        from trimgrid.measures.error_measures import error_measure_from_config

        # Not above: locks are for POSIX only, where results can be read anywhere.
        from trimgrid.run_directory.lock import RunLock

        check_flag("sparse", sparse)
        check_flag("shrink", shrink)
        if quantize is None:
            quantize = "dynamic" if Path(path).suffix == ".tflite" and not sparse else "none"
        run_folder = self.folder.parent.parent
        measure: Any = error
        if measure is None:
            measure = error_measure_from_config(read_manifest(run_folder).settings["error"])
        samples = read_samples(present(run_folder / SAMPLES))
        with RunLock(self.folder), scratch_folder() as scratch:
            dense = scratch / "dense.tflite" if sparse else None
            exported = export_model(
                self.model_file,
                path,
                quantize,
                samples=samples,
                error=measure,
                dense_file=dense,
                timed_seconds=_EXPORT_SECONDS,
                name=self.name,
                shrink=shrink,
            )
            entry = {**exported.to_dict(), "file": str(Path(path).absolute())}
            del entry["path"]
            add_export(self.folder, entry)
        self.exports = [each for each in self.exports if each["file"] != entry["file"]] + [entry]
        return exported

    def measure_latency(self, quantize: str = "none", seconds: float = SECONDS) -> Latency:
        """Measure how long one inference takes, beside the original, and keep it.

        Of both the .tflite that tables tell of (int8 weights) is timed and one in `quantize`, by
        default float32; of a pruned attempt also the latter with its zeros left out, and both
        without the units that do nothing, where there are any. All take turns, for about
        `seconds` in all, on one thread and on all cores, in a process of their own; what else the
        machine does meanwhile is in the times. `latency` and `latency_ms` are set, here and in the
        run directory; the original's `latency_ms` is written there, and is seen when results are
        loaded again.

        Raises `InputError` for a quantization that a .tflite can't have and a time that can't be,
        and `RunError` for a model file that is damaged, or if LiteRT can't run the files.
        """
        from trimgrid.stored.timing import time_attempt

        return time_attempt(self, quantize, seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements as `AttemptInfo.to_dict` does, `id` first and `forms` last.

        "forms" has what `Form.to_dict` gives, by the forms' names.
        """
        forms = {form.storage: form.to_dict() for form in self.forms}
        return {"id": self.id, **super().to_dict(), "forms": forms}

    def _read(self, name: str, read: Callable[[Path], _Content]) -> _Content:
        path = self._whole(name)
        try:
            return read(path)
        except Exception as error:  # NumPy and csv raise whatever the content leads to
            raise RunError(f"{shown(path)!r} can't be read: {first_line(error)}") from error

    def _whole(self, name: str) -> Path:
        """Return the path of a file whose content is as it was when the attempt was finished."""
        if name not in self.files:
            raise RunError(f"{self.name!r} has no {name}: its status is {self.status!r}.")
        path, facts = present(self.folder / name), self.files[name]
        again = "Remove the attempt from the run directory and run it again."
        if not path.is_file() or path.is_symlink():
            raise RunError(f"{shown(path)!r} of {self.name!r} is missing. {again}")
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise RunError(
                f"{shown(path)!r} of {self.name!r} should have {facts['bytes']} bytes and has "
                f"{size}: it is truncated or was changed. {again}"
            )
        if sha256_of(path) != facts["sha256"]:
            raise RunError(f"{shown(path)!r} of {self.name!r} was changed. {again}")
        return path

    @classmethod
    def read(cls, run_folder: Path, planned: Planned) -> Self | None:
        """Read a planned attempt's result, which may be damaged; None if it is not finished."""
        try:
            folder = attempt_path(run_folder, planned.id)
            result = read_json(folder / RESULT)
            _check(folder, planned, result)
            return cls.from_dict(
                result,
                id=planned.id,
                folder=folder,
                config=planned.config,
                seeds=tuple(result["seeds"]),
                files=result["files"],
                exports=result["exports"],
                latency=_latency(result),
            )
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            why = error.reason
        except InputError as error:
            why = first_line(error)
        except OSError as error:
            why = f"It can't be read: {error.strerror}."
        return cls(
            *(planned.name, 0, 0, 0, None, None, None, None, None, float("nan")),
            status=f"damaged: {RESULT}: {why}",
            id=planned.id,
            folder=run_folder / ATTEMPTS / planned.id,
            config=planned.config,
        )


def _check(folder: Path, planned: Planned, result: dict[str, Any]) -> None:
    """Check what a result has besides the measurements."""
    if (result.get("id"), result.get("name")) != (planned.id, planned.name):
        raise DamagedFileError(folder / RESULT, "It is the result of another attempt.")
    fits = (
        isinstance(result.get("seeds"), list)
        and isinstance(result.get("files"), dict)
        and all(_fits(*each) for each in result["files"].items())
        and isinstance(result.get("exports"), list)
        and all(isinstance(entry, dict) and "file" in entry for entry in result["exports"])
    )
    if not fits:
        raise DamagedFileError(
            folder / RESULT, "Its seeds, files or exports are not as they should be."
        )


def _latency(result: dict[str, Any]) -> Latency | None:
    found = result.get("latency")  # results of before it could be measured do not have it
    return None if found is None else Latency.from_dict(found)


def _fits(name: str, facts: Any) -> bool:
    return isinstance(facts, dict) and {"bytes", "sha256"} <= facts.keys() and "/" not in name
