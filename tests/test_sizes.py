from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.sizes import FileSize, measure_bytes, measure_file, zip_bytes


@given(st.binary(max_size=2000))
def test_the_archive_holds_the_data_and_is_the_same_every_time(data: bytes) -> None:
    archive = zip_bytes(data, "model.h5")
    assert archive == zip_bytes(data, "model.h5")
    assert zipfile.ZipFile(io.BytesIO(archive)).read("model.h5") == data
    assert measure_bytes(data, "model.h5") == FileSize(len(data), len(archive))


def test_the_member_is_deflated_and_has_no_clock_in_it() -> None:
    (member,) = zipfile.ZipFile(io.BytesIO(zip_bytes(b"\0" * 10_000, "a.tflite"))).infolist()
    assert member.compress_type == zipfile.ZIP_DEFLATED
    assert member.date_time == (1980, 1, 1, 0, 0, 0)
    assert member.compress_size < 100


def test_where_a_file_lies_does_not_matter(tmp_path: Path) -> None:
    deep = tmp_path / "a long folder name" / "another"
    deep.mkdir(parents=True)
    for file in (tmp_path / "x.h5", deep / "a different file name.h5"):
        file.write_bytes(b"abc" * 500)
    expected = measure_bytes(b"abc" * 500, "model.h5")
    assert measure_file(tmp_path / "x.h5", "model.h5") == expected
    assert measure_file(str(deep / "a different file name.h5"), "model.h5") == expected


@pytest.mark.parametrize("arcname", ["", "/tmp/model.h5", "folder/model.h5", "C:\\model.h5"])
def test_only_a_plain_name_goes_into_the_archive(arcname: str) -> None:
    with pytest.raises(InputError, match="plain file name"):
        measure_bytes(b"abc", arcname)
