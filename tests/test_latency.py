"""Times of files: the statistics, what is said of them, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fabricated import TABLE, info_of, latency_of, make_run
from trimgrid.errors import InputError
from trimgrid.latency import (
    Latency,
    Spread,
    TimedFile,
    spread_of_ratios,
    spread_of_times,
    with_times,
)
from trimgrid.report.latency_text import latency_text, latency_verdicts
from trimgrid.report.page.details import details
from trimgrid.report.page.predictions import read_predictions
from trimgrid.report.page.writing import page_html
from trimgrid.report.run_table import attempt_text, run_table
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import set_latency
from trimgrid.runs.results import load_results
from trimgrid.sizes import FileSize


def test_quartiles_are_those_of_numpy() -> None:
    times = np.random.default_rng(0).gamma(2, size=101)
    expected = np.quantile(times, [0.5, 0.25, 0.75])
    found = spread_of_times(times)
    np.testing.assert_allclose([found.median, found.low, found.high], expected)


def test_what_slows_both_down_in_a_round_cancels_out() -> None:
    load = np.random.default_rng(1).uniform(1, 10, size=40)
    found = spread_of_ratios(2 * load, load)
    assert (found.median, found.low, found.high) == (2, 2, 2)
    assert spread_of_times(2 * load).high > 1.5 * spread_of_times(2 * load).low


def test_the_interval_holds_the_true_median_in_95_of_100_cases() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        found = spread_of_ratios(1.2 * random.lognormal(0, 0.3, 30), np.ones(30))
        hits += found.low <= 1.2 <= found.high
    assert 940 <= hits <= 990


@pytest.mark.parametrize(
    ("count", "place"), [(1, 1), (5, 1), (6, 1), (9, 2), (15, 4), (100, 40), (10_000, 4902)]
)
def test_the_ranks_are_those_of_tables(count: int, place: int) -> None:
    """As tables of the sign test have them: P(B <= place - 1) is at most 2.5 %."""
    found = spread_of_ratios(np.arange(1, count + 1), np.ones(count))
    assert (found.low, found.high) == (place, count + 1 - place)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_the_interval_is_around_the_median(ratios: list[float]) -> None:
    found = spread_of_ratios(ratios, np.ones(len(ratios)))
    assert min(ratios) <= found.low <= found.median <= found.high <= max(ratios)


@pytest.mark.parametrize(
    ("ratio", "faster"),
    [
        (Spread(0.5, 0.4, 0.6), True),
        (Spread(0.94, 0.93, 0.95), True),
        (Spread(0.97, 0.96, 0.98), None),  # certain, but nothing to ship a file for
        (Spread(0.5, 0.4, 1.1), None),  # may be chance
        (Spread(1.0, 0.99, 1.01), None),
        (Spread(1.03, 1.02, 1.04), None),
        (Spread(1.7, 1.6, 1.8), False),
        (Spread(1.7, 0.9, 2.8), None),
    ],
)
def test_faster_slower_or_neither(ratio: Spread, faster: bool | None) -> None:
    assert TimedFile("half", "none", "dense", ratios={1: ratio}).faster(1) is faster


def test_each_is_compared_with_the_first_of_its_quantization() -> None:
    files = [
        TimedFile("original", "none", "dense"),
        TimedFile("half", "none", "sparse", reason="no"),
        TimedFile("half", "none", "dense"),
        TimedFile("original", "dynamic", "dense"),
        TimedFile("half", "dynamic", "dense"),
    ]
    timed = with_times(files, {1: [[2.0], [1.0], [8.0], [16.0]]})
    assert [file.ratios[1].median if file.ratios else None for file in timed] == [
        None, None, 0.5, None, 2.0,
    ]  # fmt: skip
    assert timed[1] == files[1]


def test_it_says_plainly_that_zeros_do_not_make_it_faster() -> None:
    slow = latency_of({"dense": 1.0, "sparse": 1.5})
    assert latency_verdicts(slow) == [
        "float32, dense: on 1 thread no faster than the original (1.00 of its time, 1.00 to 1.00); "
        "on 2 threads no faster than the original (1.00 of its time, 1.00 to 1.00).",
        "float32, sparse: on 1 thread slower than the original (1.50 of its time, 1.50 to 1.50); "
        "on 2 threads slower than the original (1.50 of its time, 1.50 to 1.50).",
        NO_FASTER,
        "Fastest on 1 thread: original, float32, 1.00 ms.",
        "Fastest on 2 threads: original, float32, 1.00 ms.",
    ]


NO_FASTER = "Zeros do not make it faster here: they pay off in the size of the file only."
ONLY_SPARSE = "Zeros make it faster only where they are left out of the file."


@pytest.mark.parametrize(
    ("rounds", "model", "said"),
    [
        (
            {"dense": 1.0, "shrunk": 0.5},
            "half",
            [
                "float32, shrunk: on 1 thread faster than the original (0.50 of its time, 0.50 to "
                "0.50).",
                NO_FASTER,
                "Fastest on 1 thread: half, float32, shrunk, 0.500 ms.",
            ],
        ),
        (
            {"dense": 1.0, "sparse": 0.5},
            "half",
            [
                "float32, sparse: on 1 thread faster than the original (0.50 of its time, 0.50 to "
                "0.50).",
                ONLY_SPARSE,
                "Fastest on 1 thread: half, float32, sparse, 0.500 ms.",
            ],
        ),
        (
            {"dense": 0.5},
            "half",
            [
                "float32, dense: on 1 thread faster than the original (0.50 of its time, 0.50 to "
                "0.50).",
                "Fastest on 1 thread: half, float32, 0.500 ms.",
            ],
        ),
        (
            {"sparse": 0.5},
            "original",
            [
                "float32, sparse: on 1 thread faster than the dense file (0.50 of its time, 0.50 "
                "to 0.50).",
                ONLY_SPARSE,
                "Fastest on 1 thread: original, float32, sparse, 0.500 ms.",
            ],
        ),
    ],
)
def test_what_is_said_of_each_outcome(rounds: Any, model: str, said: list[str]) -> None:
    assert latency_verdicts(latency_of(rounds, model, threads=(1,)))[-len(said) :] == said


def test_it_depends_on_the_number_of_threads() -> None:
    files = latency_of({"dense": 1.0, "sparse": 1.0}).files
    bare = [replace(file, milliseconds={}, ratios={}) for file in files]
    times = {1: [[1.0] * 9, [1.0] * 9, [1.5] * 9], 2: [[1.0] * 9, [1.0] * 9, [0.5] * 9]}
    measured = Latency(with_times(bare, times), (1, 2), 9, "LiteRT", "A machine")
    said = f"{ONLY_SPARSE.removesuffix('.')}, and not on every number of threads."
    assert said in latency_verdicts(measured)


def test_a_file_without_a_dense_one_above_it_has_its_name() -> None:
    files = [TimedFile("half", "none", each) for each in ("shrunk", "shrunk, sparse")]
    timed = with_times(files, {1: [[1.0] * 9, [2.0] * 9]})
    lines = latency_text(Latency(timed, (1,), 9, "LiteRT", "A machine")).splitlines()
    assert [line.split("  -")[0].rstrip() for line in lines if "shrunk" in line][:2] == [
        "  half, shrunk",
        "    shrunk, sparse",
    ]


def test_what_is_not_certain_is_not_said() -> None:
    """Half the time, but from so few and so different rounds that it may be chance."""
    unclear = latency_of({"dense": np.tile([0.2, 0.2, 2.0, 2.0], 5)}, threads=(1,))
    (first, *rest) = latency_verdicts(unclear)
    assert "on 1 thread not measurably faster than the original" in first
    assert rest == ["Fastest on 1 thread: original, float32, 1.00 ms."]


def test_without_an_original_the_dense_file_is_compared_with() -> None:
    missing = TimedFile("original", "none", "dense", reason="It is not finished")
    files = [missing, *latency_of({"dense": 1.0, "sparse": 1.5}, threads=(1,)).files[1:]]
    files = [replace(file, milliseconds={}, ratios={}) for file in files]
    timed = Latency(with_times(files, {1: [[2.0] * 9, [3.0] * 9]}), (1,), 9, "LiteRT", "A machine")
    first = latency_verdicts(timed)[0]
    assert first.startswith("float32, sparse: on 1 thread slower than the dense file (1.50 of")
    assert "float32, dense: not timed. It is not finished." in latency_text(timed)


@pytest.mark.parametrize("count", [10**7, 10**9, 10**12])
def test_columns_of_large_files_stay_apart(count: int) -> None:
    measured = latency_of({"dense": np.tile([0.001, 0.1, 0.2, 90.0], 5)}, model="half" * 20)
    files = tuple(replace(file, size=FileSize(count, count)) for file in measured.files)
    text = latency_text(replace(measured, files=files))
    assert max(map(len, text.splitlines())) <= 80
    assert f" {count:,} {count:,} " in text


def test_the_table_has_80_columns_and_all_reasons() -> None:
    measured = latency_of({"dense": 0.00123, "sparse": 12.3}, model="a very long name " * 4)
    reason = "the file is wrong in a way that takes a long sentence to tell, and some more words"
    files = (*measured.files, TimedFile("half\x1b[2J", "dynamic", "dense", reason=reason))
    text = latency_text(Latency(files, (1, 2), 20, "LiteRT 2.3.0", "A processor"))
    assert max(map(len, text.splitlines())) <= 80
    assert "0.00123 ±0 %" in text
    assert "\x1b" not in text
    assert "int8 weights, dense: not timed. the file is wrong" in " ".join(text.split())


@pytest.mark.parametrize(
    "wrong",
    [
        *({}, [], {"files": 3}, {"files": [{"model": "half"}]}, {"files": [], "threads": ["x"]}),
        *({"rounds": float("inf")}, {"threads": [1]}),
    ],
    ids=str,
)
def test_only_what_was_measured_is_read(wrong: Any) -> None:
    if isinstance(wrong, dict) and wrong.keys() & {"rounds", "threads"} and "files" not in wrong:
        wrong = {**latency_of({"dense": 1.0}).to_dict(), **wrong}
    with pytest.raises(InputError, match="A latency must be what was measured by trimgrid"):
        Latency.from_dict(wrong)


@pytest.mark.parametrize("median", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_is_a_number_above_0(median: float) -> None:
    told = latency_of({"dense": 1.0}).to_dict()
    told["files"][1]["milliseconds"]["1"] = {"median": median, "low": median, "high": median}
    with pytest.raises(InputError, match="A latency must be what was measured by trimgrid"):
        Latency.from_dict(told)
    with pytest.raises(InputError, match="A latency must be a number of milliseconds above 0"):
        AttemptInfo.from_dict({**info_of(TABLE[1]).to_dict(), "latency_ms": median})


def test_it_is_kept_and_shown(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    before = load_results(folder)
    assert before["half"].latency is None
    assert before["half"].to_dict()["latency_ms"] is None
    assert " ms" not in run_table(before, "loss")
    measured = latency_of({"dense": 1.0, "sparse": 1.5})
    set_latency(before["half"].folder, 0.25, measured.to_dict())
    set_latency(before[0].folder, 0.5, None)

    results = load_results(folder)
    half = results["half"]
    assert (half.latency, half.latency_ms) == (measured, 0.25)
    assert (results[0].latency, results[0].latency_ms) == (None, 0.5)
    assert json.loads(json.dumps(half.to_dict()))["latency_ms"] == 0.25
    assert results.to_csv().splitlines()[0].split(",").count("latency_ms") == 1
    head, original, row, other, *_ = run_table(results, "loss").splitlines()
    assert [line.split()[-1] for line in (head, original, row, other)] == [
        "ms",
        "0.500",
        "0.250",
        "-",
    ]
    assert "0.250 ms (.tflite, 1 thread)" in attempt_text(half, results[0], "loss")
    assert "0.250 ms" in half._repr_html_()
    told = details(half, read_predictions(results))["latency"]
    assert told["head"] == ["File", "Bytes", "zipped", "1 thread", "2 threads"]
    assert [row[0] for row in told["rows"]] == [
        "original, float32", "half, float32", "half, float32, sparse",
    ]  # fmt: skip
    assert told["rows"][2][1:] == ["4,000", "900", "1.50 ±0 %", "1.50 ±0 %"]
    assert told["words"] == latency_verdicts(measured)
    assert "latency" not in details(results["most"], read_predictions(results))
    assert '<button type="button" data-key="latency"' in page_html([results])
    assert 'data-key="latency"' not in page_html([load_results(make_run(tmp_path / "other"))])


def test_a_damaged_latency_is_told_of(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    set_latency(load_results(folder)["half"].folder, 0.25, {"files": 3})
    assert load_results(folder)["half"].status.startswith("damaged: result.json: A latency must be")
    with pytest.raises(InputError, match=r"must be finished\. Received: .*, which has no result"):
        set_latency(tmp_path, 0.25, None)
