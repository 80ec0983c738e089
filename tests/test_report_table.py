"""The recap: the article's columns, aligned, with what is missing and what failed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.grids.grid import article_grid
from trimgrid.report.table import print_attempt_infos, recap_text
from trimgrid.results import AttemptInfo

HEADER = "Attempt name              Size h5 (Comp. %)     Error (loss)"


def info(
    name: str = "half",
    h5: int | None = 37080,
    zipped: int | None = 18155,
    error: float = 1.379e-4,
    status: str = "ok",
    errors: tuple[float, ...] = (),
) -> AttemptInfo:
    sizes = (100, 50, 50, h5, zipped, None, None)
    return AttemptInfo(name, *sizes, None, error, status=status, errors=errors)


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


def test_repeats_have_a_column_with_the_range() -> None:
    infos = [
        info("original (unpruned)", errors=(1.379e-4, 1.2e-4, 2e-4)),
        info("one was enough"),
        info("all failed", None, None, math.nan, "training failed: x", (math.nan,)),
        info("below zero", error=-0.01, errors=(-0.015, -0.01, math.inf)),
    ]
    assert recap_text(infos).splitlines()[:5] == [
        "Attempt name              Size h5 (Comp. %)   Error (median)     Range of repeats",
        "original (unpruned)         18155 ( 51.04%)     1.379000e-04   1.2e-04 to 2.0e-04",
        "one was enough              18155 ( 51.04%)     1.379000e-04                    -",
        "all failed                      -         -           failed                    -",
        "below zero                  18155 ( 51.04%)    -1.000000e-02 -1.5e-02 to -1.0e-02",
    ]


def test_repeats_of_the_articles_grid_fit_the_terminal() -> None:
    names = ["original (unpruned)", *(attempt.name for attempt in article_grid())]
    infos = [info(name, errors=(1e-4, 2e-3)) for name in names]
    assert {len(line) for line in recap_text(infos).splitlines()} == {80}


def test_many_notes_are_cut_short() -> None:
    infos = [info(f"attempt {k}", status=f"failed at step {k}") for k in range(1000)]
    lines = recap_text(infos).splitlines()
    assert lines[1001:1003] == ["", "attempt 0: failed at step 0"]
    assert lines[-3:] == [
        "attempt 19: failed at step 19",
        "",
        "980 more have a status that is not ok.",
    ]
    assert len(lines) == 1 + 1000 + 2 * 20 + 2


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
