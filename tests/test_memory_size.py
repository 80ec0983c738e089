"""Amounts of memory as people write them."""

from __future__ import annotations

import pytest

from trimgrid.errors import InputError
from trimgrid.memory_size import parse_memory_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("1kB", 1000),
        ("500MB", 500_000_000),
        ("500mb", 500_000_000),
        (" 4 GB ", 4_000_000_000),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2 * 1024**3),
        ("0.5 KiB", 512),
        ("1TiB", 1024**4),
        ("2.7B", 2),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_memory_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "4", "GB", "4G", "4 gigabytes", "-1GB", "0MB", "0.4B", "1e3MB", "1,5GB", "nanGB", "infGB",
     "٣GB", "1GB\n2GB", "1\u00a0GB", "9" * 400 + "GB"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"a number above 0 and a unit.*for example 4GB"):
        parse_memory_size(text)
