"""What became of a shrunk model: read as written, and refused where it is damaged."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from trimgrid.errors import InputError
from trimgrid.results import SIZES, SIZES_TO_CHOOSE_BY, AttemptInfo
from trimgrid.shrunk_info import SHRUNK_SIZES, ShrunkInfo

SIZED: dict[str, Any] = dict(zip(SIZES, (800, 700, 600, 500, 400, 300), strict=True))
WHOLE = AttemptInfo("half", 100, 50, 50, 8000, 7000, 4000, 3000, None, 0.02)
SMALL = ShrunkInfo(total_weights=40, nonzero_weights=30, removed={"a": 2}, error=0.02, **SIZED)


def test_sizes_are_those_of_the_files_that_are_exported() -> None:
    info = AttemptInfo(
        *("half", 100, 50, 50, 8000, 7000, 4000, 3000, None, 0.02),
        keras_size=6000,
        zipped_keras_size=5000,
        shrunk=SMALL,
    )
    assert [getattr(info, key) for key in SHRUNK_SIZES] == [800, 700, 600, 500, 400, 300]
    info.shrunk = ShrunkInfo(total_weights=100, nonzero_weights=50, reason="None left.")
    assert [getattr(info, key) for key in SHRUNK_SIZES] == [8000, 7000, 6000, 5000, 4000, 3000]
    info.shrunk = None
    assert {getattr(info, key) for key in SHRUNK_SIZES} == {None}
    assert (*SIZES, *SHRUNK_SIZES) == SIZES_TO_CHOOSE_BY


@pytest.mark.parametrize(
    "shrunk", [SMALL, ShrunkInfo(total_weights=3, nonzero_weights=2, left={"a": "why"}, reason="x")]
)
def test_it_is_read_as_it_was_written(shrunk: ShrunkInfo) -> None:
    written = json.dumps(shrunk.to_dict(), allow_nan=False)
    read = ShrunkInfo.from_dict(json.loads(written))
    assert json.dumps(read.to_dict()) == written
    assert math.isnan(read.error) == math.isnan(shrunk.error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("total_weights", "many"),
        ("removed", [1]),
        ("removed", {"a": "two"}),
        ("left", {"a": 1}),
        ("error", "none"),
        ("zipped_h5_size", 0.5),
        ("reason", 7),
    ],
)
def test_what_is_damaged_is_refused(key: str, value: Any) -> None:
    values = {**SMALL.to_dict(), key: value}
    with pytest.raises(InputError, match=r"must have '.*' as .* Received: "):
        AttemptInfo.from_dict({**WHOLE.to_dict(), "shrunk": values})


def test_a_notebook_shows_both() -> None:
    html = AttemptInfo(
        *("half", 100, 50, 50, 8000, 7000, None, None, None, 0.02), shrunk=SMALL
    )._repr_html_()
    for text in ("Idle units left out", "Zipped .h5, shrunk", "700 bytes", "7,000 bytes"):
        assert text in html
