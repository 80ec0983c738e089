"""What workers share: the same values after the file, in memory that is the file's."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.executors.shared_file import read_shared, write_shared


def through_a_file(value: Any) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder, "shared")
        write_shared(value, path)
        before = path.read_bytes()
        found = read_shared(path)
        assert path.read_bytes() == before
        return found


@given(
    arrays_of.arrays(
        arrays_of.scalar_dtypes() | arrays_of.unicode_string_dtypes(),
        arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4),
    )
)
def test_arrays_are_the_same(array: NDArray[Any]) -> None:
    for each in (array, array.T, array[..., ::-1] if array.ndim else array):
        found, again = through_a_file([each, each])
        assert found is again
        assert found.dtype.newbyteorder("=") == each.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, each)
        assert found.flags.writeable


def test_other_values() -> None:
    value = {
        "text": "abc",
        "bfloat16": np.ones((2, 3), ml_dtypes.bfloat16),
        "objects": np.array([None, "a", 3], object),
        "read-only": np.broadcast_to(np.ones(3), (4, 3)),
        "records": np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]),
    }
    found = through_a_file(value)
    assert list(found) == list(value)
    assert found["text"] == "abc"
    for key in list(value)[1:]:
        np.testing.assert_array_equal(found[key], value[key])
        assert found[key].dtype == np.asarray(value[key]).dtype


def test_the_file_has_one_copy(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random(100_000)
    write_shared({"a": array, "part": array[:10], "again": array}, tmp_path / "shared")
    assert array.nbytes <= (tmp_path / "shared").stat().st_size < array.nbytes + 2000


def test_what_stays_is_named_and_no_file_made(tmp_path: Path) -> None:
    class Unwilling:
        def __reduce__(self) -> str:
            raise ValueError("never")

    with pytest.raises(InputError, match=r"Received: model\[0\]\['x'\], never\. Give"):
        write_shared([{"x": Unwilling()}], tmp_path / "shared", "model")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match=r"No such file or directory: .*nowhere"):
        write_shared(1, Path("nowhere", "shared"))
