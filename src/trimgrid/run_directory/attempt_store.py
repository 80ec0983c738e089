"""What a process writes of attempts into a run directory: files, checkpoints, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trimgrid.atomic import move
from trimgrid.errors import RunError
from trimgrid.run_directory.attempt_files import (
    ATTEMPT,
    HISTORY,
    PREDICTIONS,
    RESULT,
    write_history,
    write_predictions,
)
from trimgrid.run_directory.details import DETAILS, Details, write_details
from trimgrid.run_directory.elsewhere import push
from trimgrid.run_directory.json_files import write_json
from trimgrid.run_directory.manifest import Planned
from trimgrid.run_directory.paths import CHECKPOINTS, SAMPLES, WORK, attempt_path, path_inside
from trimgrid.run_directory.tidying import made


class AttemptStore:
    """The files of attempts in a run directory, for processes that share it.

    `folder`: the run directory, which another process has made and holds: see `RunDirectory`.
    `planned`: its attempts, the original first. Every file appears whole or not at all; an attempt
    is finished when its result is in place. Processes that share a directory write different
    attempts.

    All methods raise `OSError` with the file's name where the disk is full or can't be written;
    what was there stays.

    >>> import tempfile
    >>> half = Planned("5f0c", "half", {"sparsity": 0.5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = AttemptStore(folder, [half])
    ...     store.write_attempt(half)
    ...     store.is_finished("5f0c")
    False
    """

    def __init__(self, folder: str | Path, planned: Sequence[Planned]) -> None:
        self.folder = Path(folder).absolute()
        self._planned = tuple(planned)

    @property
    def planned(self) -> list[Planned]:
        """The attempts planned so far, the original first."""
        return list(self._planned)

    @property
    def samples(self) -> Path:
        """The file for the examples that later exports need; it need not be there."""
        return self.folder / SAMPLES

    @property
    def checkpoints(self) -> Path:
        """The folder for trainings under way, made if it is missing."""
        return made(path_inside(self.folder, CHECKPOINTS))

    @property
    def work(self) -> Path:
        """The folder for files that are not finished; it goes when the run ends."""
        return made(path_inside(self.folder, WORK))

    def is_finished(self, id: str) -> bool:
        """Tell whether the result of an attempt is in place."""
        return (attempt_path(self.folder, id) / RESULT).is_file()

    def attempt_folder(self, id: str) -> Path:
        """Return the folder of an attempt, made if it is missing."""
        return made(attempt_path(self.folder, id))

    def write_attempt(self, planned: Planned) -> None:
        """Write attempt.json: what the attempt is."""
        write_json(self.attempt_folder(planned.id) / ATTEMPT, asdict(planned))

    def write_history(self, id: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write history.csv, a row for each epoch: see `attempt_files.write_history`."""
        write_history(self.attempt_folder(id) / HISTORY, columns)

    def write_predictions(self, id: str, predictions: Any) -> None:
        """Write predictions.npz: an array, or lists and dicts of arrays."""
        write_predictions(self.attempt_folder(id) / PREDICTIONS, predictions)

    def write_details(self, id: str, details: Details) -> None:
        """Write details.json: see `trimgrid.run_directory.details`."""
        write_details(self.attempt_folder(id) / DETAILS, details)

    def adopt(self, id: str, path: Path) -> None:
        """Move a file from the working folder to the files of an attempt."""
        move(path, self.attempt_folder(id) / path.name)

    def finish(self, id: str, result: Mapping[str, Any]) -> None:
        """Write result.json, which makes the attempt a finished one: see `result_dict`.

        Raises `RunError` if the attempt is finished already, and if a file that the result lists is
        not there with its size.
        """
        folder = self.attempt_folder(id)
        if self.is_finished(id):
            raise RunError(f"Attempt {id} is finished already: {str(folder / RESULT)!r} stays.")
        if result["id"] != id:
            raise RunError(f"The result of attempt {id} says that it is of {result['id']}.")
        for name, facts in result["files"].items():
            path = path_inside(folder, name)
            size = path.stat().st_size if path.is_file() else None
            if size != facts["bytes"]:
                raise RunError(
                    f"Attempt {id} can't be finished: {str(path)!r} should have {facts['bytes']} "
                    f"bytes, and {'is missing' if size is None else f'has {size}'}."
                )
        write_json(folder / RESULT, result)
        push(folder)
