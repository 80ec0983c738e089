"""Attempts that were finished before anybody asked for their shrunk models: measured from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trimgrid.errors import RunError, first_line
from trimgrid.models import copy_model
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import MODEL, set_shrunk
from trimgrid.run_directory.lock import RunLock
from trimgrid.runs.checking import Say
from trimgrid.runs.shrinking import Shrinker
from trimgrid.stored.attempt import StoredAttempt


def lacks_shrunk(info: AttemptInfo | None) -> bool:
    """Tell whether a result is that of a finished attempt whose shrunk model was not measured.

    >>> lacks_shrunk(None)
    False
    """
    return isinstance(info, StoredAttempt) and info.shrunk is None and MODEL in info.files


def with_shrunk(
    infos: Iterable[AttemptInfo], model: Any, shrinker: Shrinker, folder: Path, say: Say
) -> Iterator[AttemptInfo]:
    """Yield the results; those that lack it with their shrunk model, which is kept in the run
    directory.

    `model`: one of the run's structure. `folder` takes the files. `say` gets a line on a model
    file that can't be read.

    Raises `OSError`, which names the file, for a full disk.
    """
    copy = None
    for info in infos:
        if lacks_shrunk(info):
            assert isinstance(info, StoredAttempt)
            copy = copy_model(model) if copy is None else copy
            try:
                path = info.model_file
                copy.load_weights(path)
            except RunError as error:
                say(f"Not shrunk: {error}")
            except Exception as error:  # a damaged file fails in zipfile, h5py or Keras
                say(f"Not shrunk: {info.name!r}: {type(error).__name__}: {first_line(error)}")
            else:
                info.shrunk = shrinker.start(copy.get_weights(), folder).result()
                with RunLock(info.folder):
                    set_shrunk(info.folder, info.shrunk.to_dict())
        yield info
