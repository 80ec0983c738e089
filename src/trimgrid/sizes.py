"""How many bytes a file has, as it is and deflated, the same on every run."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from trimgrid.errors import InputError


@dataclass(frozen=True)
class FileSize:
    """The size of one file, in bytes.

    `plain` is the file's own length, `zipped` the length of a whole zip archive that holds the
    file as its only member, deflated at zlib's default level.

    >>> FileSize(plain=1000, zipped=250).zipped
    250
    """

    plain: int
    zipped: int


def fixed_member(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """Describe a zip member by its name alone: no clock, user or platform goes into the archive.

    The date is 1980-01-01, the earliest that the zip format knows.

    >>> fixed_member("model.h5").date_time
    (1980, 1, 1, 0, 0, 0)
    """
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.compress_type = compression
    member.create_system = 3  # Unix; Python would write the platform's own number
    member.external_attr = 0o600 << 16
    return member


def zip_bytes(data: bytes, arcname: str) -> bytes:
    """Return a zip archive with `data` as its one deflated member, called `arcname`.

    The same data and name give the same bytes every time. `arcname` is a plain file name: a
    folder in it would put a path of the machine into the archive and change the size.

    Raises `InputError` for a name that is empty or holds a folder.

    >>> archive = zip_bytes(b"\\0" * 1000, "model.h5")
    >>> archive == zip_bytes(b"\\0" * 1000, "model.h5")
    True
    >>> zipfile.ZipFile(io.BytesIO(archive)).read("model.h5") == b"\\0" * 1000
    True
    """
    if not arcname or "/" in arcname or "\\" in arcname:
        raise InputError(
            "The name inside the archive must be a plain file name. "
            f"Received: arcname={arcname!r}. Give a name such as 'model.h5'."
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(fixed_member(arcname), data)
    return buffer.getvalue()


def measure_bytes(data: bytes, arcname: str) -> FileSize:
    """Measure bytes that would be stored under the name `arcname`.

    >>> size = measure_bytes(b"\\0" * 1000, "model.h5")
    >>> size.plain, size.zipped < 200
    (1000, True)
    """
    return FileSize(plain=len(data), zipped=len(zip_bytes(data, arcname)))


def measure_file(path: str | Path, arcname: str) -> FileSize:
    """Measure a file on disk; in the archive it is called `arcname`, wherever it lies.

    Raises `OSError` if the file can't be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "weights.bin")
    ...     _ = file.write_bytes(b"abc")
    ...     measure_file(file, "weights.bin") == measure_bytes(b"abc", "weights.bin")
    True
    """
    return measure_bytes(Path(path).read_bytes(), arcname)
