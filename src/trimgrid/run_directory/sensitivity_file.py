"""How sensitive the tensors of a run's model are, in a file of the run directory."""

from __future__ import annotations

from pathlib import Path

from trimgrid.errors import InputError
from trimgrid.run_directory.json_files import DamagedFileError, read_json, write_json
from trimgrid.sensitivity import Sensitivity

SENSITIVITY = "sensitivity.json"


def write_sensitivity(folder: Path, found: Sensitivity) -> None:
    """Write the file; it appears whole or not at all.

    Raises `OSError`.

    >>> import tempfile
    >>> from trimgrid.sensitivity import SensitivityPoint
    >>> found = Sensitivity([SensitivityPoint("a", 2, 0.5, 0.2)], 0.1, "loss: mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_sensitivity(Path(folder), found)
    ...     list(read_sensitivity(Path(folder))) == list(found)
    True
    """
    write_json(folder / SENSITIVITY, found.to_dict())


def read_sensitivity(folder: Path) -> Sensitivity | None:
    """Return what the file holds, None where there is none.

    Raises `DamagedFileError` for one that is damaged.
    """
    path = folder / SENSITIVITY
    if not path.is_file():
        return None
    try:
        return Sensitivity.from_dict(read_json(path))
    except DamagedFileError:
        raise
    except InputError as error:
        raise DamagedFileError(path, str(error)) from error
