"""One file with what all workers of a machine share: they map its arrays, and hold no copies."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path
from typing import Any

from trimgrid.errors import naming
from trimgrid.executors.travel import pickled

_ALIGNED = 64  # bytes, as NumPy and XLA want arrays to begin
_LENGTH = 8  # bytes at the end that say how long the pickle before them is


def write_shared(value: object, path: Path, name: str = "shared") -> None:
    """Write a value to a file: the memory of its arrays first, then all else, pickled.

    Raises `InputError` for what can't be pickled, before the file is made, and `OSError`, which
    names the file.
    """
    arrays: list[pickle.PickleBuffer] = []
    content = pickled(value, name, arrays.append)
    with naming(path), path.open("xb") as file:
        places = []
        for array in arrays:
            file.write(bytes(-file.tell() % _ALIGNED))
            with array.raw() as memory:
                places.append((file.tell(), memory.nbytes))
                file.write(memory)
        end = pickle.dumps((content, places), protocol=5)
        file.write(end)
        file.write(len(end).to_bytes(_LENGTH, "little"))


def read_shared(path: Path) -> Any:
    """Read what `write_shared` wrote. Its arrays are pages of the file until they are written to.

    Then the process gets its own copy of the page: the file stays as it is.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_shared({"x": np.arange(3)}, Path(folder, "shared"))
    ...     read_shared(Path(folder, "shared"))
    {'x': array([0, 1, 2])}
    """
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    length = int.from_bytes(memory[-_LENGTH:], "little")
    content, places = pickle.loads(memory[-_LENGTH - length : -_LENGTH])
    return pickle.loads(content, buffers=[memory[at : at + size] for at, size in places])
