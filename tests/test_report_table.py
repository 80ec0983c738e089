"""The recap: the article's columns, aligned, with what is missing and what failed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.report.table import print_attempt_infos, recap_text
from trimgrid.results import AttemptInfo

HEADER = "Attempt name              Size h5 (Comp. %)     Error (loss)"


def info(
    name: str = "half",
    h5: int | None = 37080,
    zipped: int | None = 18155,
    error: float = 1.379e-4,
    status: str = "ok",
) -> AttemptInfo:
    return AttemptInfo(name, 100, 50, 50, h5, zipped, None, None, None, error, status=status)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (info(), "half                        18155 ( 51.04%)     1.379000e-04"),
        (info(error=0.0), "half                        18155 ( 51.04%)     0.000000e+00"),
        (info(error=math.inf), "half                        18155 ( 51.04%)              inf"),
        (info(error=math.nan), "half                        18155 ( 51.04%)                -"),
        (info(h5=None), "half                        18155         -     1.379000e-04"),
        (info(zipped=None), "half                            -         -     1.379000e-04"),
        (info(h5=100, zipped=100), "half                          100 (  0.00%)     1.379000e-04"),
        (info(h5=100, zipped=0), "half                            0 (100.00%)     1.379000e-04"),
    ],
)
def test_row(row: AttemptInfo, expected: str) -> None:
    assert recap_text([row]) == f"{HEADER}\n{expected}\n"


def test_failed_attempt_is_marked_and_explained() -> None:
    failed = info("poly decay 10/90", None, None, math.nan, "the loss was NaN at step 77")
    assert recap_text([failed]) == (
        f"{HEADER}\n"
        "poly decay 10/90                -         -           failed\n"
        "\n"
        "poly decay 10/90: the loss was NaN at step 77\n"
    )


def test_attempt_with_an_error_keeps_it_where_only_a_file_failed() -> None:
    lines = recap_text([info(status="no .tflite: the converter crashed")]).splitlines()
    assert lines[1].endswith("1.379000e-04")
    assert lines[-1] == "half: no .tflite: the converter crashed"


def test_what_is_explained_fits_the_terminal() -> None:
    lines = recap_text([info(status="why " * 100)]).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[3:]).count("why") == 100


@given(st.lists(st.text("abc/ 019", min_size=1, max_size=60), max_size=12))
def test_columns_stay_aligned_whatever_the_names(names: list[str]) -> None:
    lines = recap_text([info(name) for name in names]).splitlines()
    assert len(lines) == len(names) + 1
    assert {len(line) for line in lines} == {max(20, *map(len, names), 0) + 40}
    assert [line[: -len(HEADER) + 20].rstrip() for line in lines[1:]] == [
        name.rstrip() for name in names
    ]


def test_print_is_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    infos = [info("original"), info("const sparsity 0.9", 37080, 5792)]
    print_attempt_infos(infos)
    assert capsys.readouterr().out == recap_text(infos)
