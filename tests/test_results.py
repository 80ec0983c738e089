from __future__ import annotations

import errno
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.atomic import replacing
from trimgrid.choosing import pareto_front
from trimgrid.errors import InputError
from trimgrid.repeats import summarize
from trimgrid.results import AttemptInfo, write_results_json

ARTICLE = (4289, 4289, 0, 37272, 18155, 7232, 5781)
KEYS = [
    "name",
    "total_weights",
    "nonzero_weights",
    "zero_weights",
    "h5_size",
    "zipped_h5_size",
    "keras_size",
    "zipped_keras_size",
    "tflite_size",
    "zipped_tflite_size",
    "error",
    "errors",
    "latency_ms",
    "shrunk",
    "status",
]

points = st.lists(st.tuples(*[st.floats() | st.integers(0, 3).map(float)] * 2), max_size=25)


def info(*, error: Any = 1.379e-4, sizes: Sequence[Any] = ARTICLE, **more: Any) -> AttemptInfo:
    arguments: list[Any] = ["original", *sizes, np.zeros(3), error]
    return AttemptInfo(*arguments, **more)


def test_the_article_and_the_readable_names_read_the_same() -> None:
    original = info(keras_size=30000, zipped_keras_size=20000)
    assert original.total_weights == original.tot_num_of_weights == 4289
    assert original.nonzero_weights == original.tot_num_of_nonzero_weights == 4289
    assert original.zero_weights == original.tot_num_of_zero_weights == 0
    assert original.h5_size == original.unzippedh5_size == 37272
    assert original.zipped_h5_size == original.zippedh5_size == 18155
    assert original.tflite_size == original.unzippedlt_size == 7232
    assert original.zipped_tflite_size == original.zippedlt_size == 5781
    assert original.error == original.error_value == 1.379e-4
    assert (original.keras_size, original.zipped_keras_size) == (30000, 20000)
    assert original.y_pred is not None
    assert original.y_pred.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("plain", "zipped", "factor"),
    [
        (37272, 18155, 51.290512985),
        (100, 100, 0.0),
        (100, 110, -10.0),
        (0, 22, 0.0),
        (None, 22, 0.0),
        (100, None, 0.0),
        (None, None, 0.0),
    ],
)
def test_compression_factors(plain: int | None, zipped: int | None, factor: float) -> None:
    assert info(sizes=(1, 1, 0, plain, zipped, 1, 1)).compressionh5_factor == pytest.approx(factor)
    assert info(sizes=(1, 1, 0, 1, 1, plain, zipped)).compressionlt_factor == pytest.approx(factor)


def test_print_is_the_articles_block(capsys: pytest.CaptureFixture[str]) -> None:
    info().print()
    assert capsys.readouterr().out == (
        "Model: original\n"
        "  Total number of weights: 4289\n"
        "  Total number of non-zero weights: 4289\n"
        "  Total number of zero weights: 0\n"
        "  Unzipped h5 size: 37272 bytes\n"
        "  Zipped h5 size: 18155 bytes (compression factor: 51.29%)\n"
        "  Unzipped tflite size: 7232 bytes\n"
        "  Zipped tflite size: 5781 bytes (compression factor: 20.06%)\n"
        "  Error (loss) value: 1.379000E-04\n"
    )


def test_print_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = (10, 5, 5, None, 7, 9, None)
    info(sizes=sizes, error=math.nan, status="The loss was NaN at step 3.").print()
    assert capsys.readouterr().out.splitlines()[4:] == [
        "  Unzipped h5 size: not measured",
        "  Zipped h5 size: 7 bytes",
        "  Unzipped tflite size: 9 bytes",
        "  Zipped tflite size: not measured",
        "  Error (loss) value: not measured",
        "  Status: The loss was NaN at step 3.",
    ]


def test_to_dict_has_the_documented_keys() -> None:
    original = info(keras_size=30000, zipped_keras_size=20000).to_dict()
    sizes = [37272, 18155, 30000, 20000, 7232, 5781]
    expected: list[Any] = ["original", 4289, 4289, 0, *sizes, 1.379e-4, [], None, None, "ok"]
    assert list(original.items()) == list(zip(KEYS, expected, strict=True))


def test_to_dict_turns_numpy_numbers_into_plain_ones() -> None:
    sizes = tuple(np.int64(size) for size in ARTICLE)
    result = info(sizes=sizes, error=np.float32(0.5), keras_size=np.int32(3)).to_dict()
    assert {type(result[key]) for key in KEYS[1:7]} == {int}
    assert type(result["error"]) is float
    assert result["zipped_keras_size"] is None


@pytest.mark.parametrize("error", [math.nan, math.inf, -math.inf, np.float32(np.nan)])
def test_an_error_that_is_no_number_becomes_none(error: float) -> None:
    assert info(error=error).to_dict()["error"] is None


def test_repeats_have_a_range_and_a_number() -> None:
    repeated = info(error=0.02, errors=(0.03, 0.01, math.nan, 0.02, math.inf))
    assert repeated.error_range == (0.01, 0.03)
    assert repeated.repeats == 5


@pytest.mark.parametrize(("errors", "repeats"), [((), 1), ((math.nan, math.inf), 2)])
def test_without_finite_errors_there_is_no_range(errors: tuple[float, ...], repeats: int) -> None:
    single = info(errors=errors)
    assert single.error_range is None
    assert single.repeats == repeats


def test_print_tells_the_range_of_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    errors = (0.02, 0.0149, np.float32(0.031), math.nan, math.inf)
    info(error=0.02, errors=errors, status="2 of 5 repeats failed: no number").print()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "  Error (loss) value: 2.000000E-02 (median of 3, 1.5E-02 to 3.1E-02)",
        "  Status: 2 of 5 repeats failed: no number",
    ]


def test_errors_of_repeats_become_plain_numbers_or_none() -> None:
    errors = (0.5, np.float32(0.25), math.nan, -math.inf)
    result = info(errors=errors).to_dict()["errors"]
    assert result == [0.5, 0.25, None, None]
    assert [type(error) for error in result[:2]] == [float, float]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("errors", "median", "index"),
    [
        ([0.3], 0.3, 0),
        ([0.3, 0.1, 0.2], 0.2, 2),
        ([0.4, 0.1], 0.25, 1),
        ([0.1, 0.4], 0.25, 0),
        ([0.9, 0.1, 0.4, 0.2], 0.3, 3),
        ([0.2, 0.2, 0.2], 0.2, 0),
        ([0.5, 0.2, 0.1, 0.2], 0.2, 1),
        ([math.nan, 0.3, math.inf, 0.1, 0.2], 0.2, 4),
        ([-0.5, -math.inf, 0.5], 0.0, 0),
        ([0, 1, 5], 1.0, 1),
    ],
)
def test_summarize(errors: list[float], median: float, index: int) -> None:
    found = summarize(errors)
    assert found[0] == pytest.approx(median)
    assert found[1] == index


@pytest.mark.parametrize("errors", [[math.nan], [math.inf, math.nan], (-math.inf,)])
def test_summarize_without_a_finite_error(errors: Sequence[float]) -> None:
    median, index = summarize(errors)
    assert math.isnan(median)
    assert index == 0


def test_summarize_refuses_nothing() -> None:
    with pytest.raises(InputError, match=r"Received: errors=\[\]"):
        summarize([])


@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.5]), min_size=1))
def test_summarize_is_the_median_and_a_nearest_error(errors: list[float]) -> None:
    finite = [error for error in errors if math.isfinite(error)]
    median, index = summarize(errors)
    if finite:
        assert median == statistics.median(finite)
        assert errors.index(errors[index]) == index
        chosen = errors[index]
        # The lower middle one: no more than half are below, no more than half above.
        assert sum(error < chosen for error in finite) < len(finite) / 2
        assert sum(error > chosen for error in finite) <= len(finite) / 2


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"status": "training failed: \N{SNOWMAN}", "error": math.nan},
        {"errors": (0.5, math.nan, 0.25), "keras_size": 3, "zipped_keras_size": 2},
        {"sizes": (1, 1, 0, None, None, None, None)},
        {"error": 0},
    ],
)
def test_measurements_are_read_as_they_were_written(more: Any) -> None:
    written = info(**more)
    read = AttemptInfo.from_dict(json.loads(json.dumps(written.to_dict(), allow_nan=False)))
    assert read.to_dict() == written.to_dict()
    assert repr(read) == repr(replace(written, error_value=float(written.error)))
    assert math.isnan(read.error) == math.isnan(written.error)
    assert read.y_pred is None


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [{}, True, "gone"])
def test_measurements_that_are_not_as_they_should_be_are_refused(key: str, value: Any) -> None:
    values = {**info().to_dict(), key: value}
    if value == "gone":
        del values[key]
        if key in ("latency_ms", "shrunk"):  # results of before they could be measured lack them
            assert getattr(AttemptInfo.from_dict(values), key) is None
            return
    named = "removed" if (key, value) == ("shrunk", {}) else key
    with pytest.raises(InputError, match=rf"must have '{named}' as .* Received: "):
        AttemptInfo.from_dict(values)


def test_two_infos_compare_by_their_measurements() -> None:
    assert info() == info()
    assert info() != info(error=0.5)
    assert info() != info(errors=(1.379e-4,))
    assert "y_pred" not in repr(info())


def test_results_are_written_in_order_and_replace_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    infos = [info(), info(error=math.nan, status="The loss was NaN: \N{SNOWMAN}")]
    write_results_json(infos, path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == [each.to_dict() for each in infos]
    assert text.startswith('[\n  {\n    "name": "original",\n')
    assert text.endswith("]\n")
    assert list(tmp_path.iterdir()) == [path]


def test_no_attempts_make_an_empty_list(tmp_path: Path) -> None:
    write_results_json([], tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_results_json([info()], path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_results_json([info()], tmp_path / "missing" / "results.json")


@pytest.mark.parametrize(
    ("table", "front"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(3, 1), (1, 2), (2, 2)], [1, 0]),
        ([(1, 1), (1, 1), (0, 2), (0, 2)], [2, 0]),
        ([(1, 5), (1, 3), (2, 3)], [1]),
        ([(2, 2), (1, 1)], [1]),
        ([(math.nan, 0), (1, math.nan), (2, 2)], [2]),
        ([(math.nan, math.nan)], []),
        ([(1, math.inf), (math.inf, 0)], [0, 1]),
        ([(0.0, 1), (-0.0, 1)], [0]),
    ],
)
def test_pareto_front(table: list[tuple[float, float]], front: list[int]) -> None:
    assert pareto_front(table) == front


@given(points)
def test_pareto_front_is_that_of_all_comparisons(table: list[tuple[float, float]]) -> None:
    def beaten(mine: int) -> bool:
        x, y = table[mine]
        return any(
            u <= x and v <= y and (u < x or v < y or other < mine)
            for other, (u, v) in enumerate(table)
            if other != mine
        )

    measured = [i for i, point in enumerate(table) if not any(map(math.isnan, point))]
    expected = sorted((i for i in measured if not beaten(i)), key=lambda i: table[i][0])
    assert pareto_front(table) == expected


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"No space left .*recap"), replacing(tmp_path / "recap.txt"):
        raise full
    assert list(tmp_path.iterdir()) == []
