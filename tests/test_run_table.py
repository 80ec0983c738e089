"""The table of a run and the lines of an attempt, as they stand in 80 columns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fabricated import SHRUNK, stored
from trimgrid.report.run_table import attempt_text, going_on_text, run_table
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import add_export
from trimgrid.run_directory.search_file import SearchRecord, search_path, write_search
from trimgrid.runs.results import load_results
from trimgrid.sensitivity import Sensitivity
from trimgrid.shrunk_info import ShrunkInfo

NAN = float("nan")
INFOS = [
    AttemptInfo("original (unpruned)", 4289, 4289, 0, 37080, 16400, 7272, 6850, None, 3.2e-4,
                keras_size=30000, zipped_keras_size=16000),
    AttemptInfo("const sparsity 0.5", 4289, 2209, 2080, 37080, 9800, 7272, 4300, None, 3.3e-4,
                keras_size=30000, zipped_keras_size=9000),
    AttemptInfo("const sparsity 0.9", 4289, 545, 3744, 37080, 4100, 7272, 1700, None, 3.4e-2,
                keras_size=30000, zipped_keras_size=3500, errors=(3.3e-2, 3.4e-2, 3.5e-2)),
    AttemptInfo("slow, and as large", 4289, 2209, 2080, 37080, 9900, 7272, 4400, None, 4e-4,
                keras_size=30000, zipped_keras_size=9900),
    AttemptInfo("diverged", 4289, 0, 4289, None, None, None, None, None, NAN,
                status="training failed: the loss became nan at step 3"),
]  # fmt: skip


def test_the_table(tmp_path: Path) -> None:
    results = stored(tmp_path, INFOS, unfinished=("late",))
    lines = run_table(results, results.error_name).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[0] for line in lines[1:6]] == ["*", "*", "*", " ", " "]
    assert lines[2].split() == [
        "*", "const", "sparsity", "0.5", "48.5", "%", "9,800", "9,000", "4,300", "3.300e-04",
        "+3.1", "%",
    ]  # fmt: skip
    assert lines[3].endswith("x106")
    assert lines[5].split() == ["diverged", "-", "-", "-", "-", "failed"]
    text = "\n".join(lines)
    assert "diverged: training failed: the loss became nan at step 3" in text
    assert "Not finished: 1 of 6" in text
    assert "median of 3 repeats" in text


def test_sizes_without_idle_units(tmp_path: Path) -> None:
    """They have a column where one is named, or a search looked for one."""
    small = replace(INFOS[2], shrunk=replace(SHRUNK, zipped_tflite_size=1500, tflite_size=6000))
    whole = replace(INFOS[1], shrunk=ShrunkInfo(total_weights=4289, nonzero_weights=2209))
    original = replace(INFOS[0], shrunk=ShrunkInfo(total_weights=4289, nonzero_weights=4289))
    results = stored(tmp_path, [original, whole, small])
    assert "tflite, shrunk" not in run_table(results, "loss")
    head, _, half, most, *_ = run_table(results, "loss", "zipped_shrunk_tflite_size").splitlines()
    assert head.split("tflite, shrunk")[0].rstrip().endswith("tflite")
    assert half.split()[-4:] == ["4,300", "3.300e-04", "+3.1", "%"]
    assert most.split()[-4:] == ["1,700", "1,500", "3.400e-02", "x106"]
    asked = {"max_error": None, "max_increase": 0.1, "size": "shrunk_tflite_size"}
    record = SearchRecord(asked, Sensitivity([], 0.1, "mse"))
    write_search(search_path(tmp_path, "1"), record)
    table = run_table(load_results(tmp_path), "loss").splitlines()
    assert "unzipped tflite, shrunk" in table[0]
    assert table[3].split()[-3] == "6,000"
    # By that size the sparse one that lost no unit is no smaller than the original.
    assert [line[0] for line in table[1:4]] == ["*", " ", "*"]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("error", ["original (unpruned)", "const sparsity 0.5", "slow, and as large",
                   "const sparsity 0.9", "diverged"]),
        ("zipped_tflite_size", ["const sparsity 0.9", "const sparsity 0.5", "slow, and as large",
                                "original (unpruned)", "diverged"]),
    ],
)  # fmt: skip
def test_sorted(tmp_path: Path, key: str, names: list[str]) -> None:
    assert [info.name for info in stored(tmp_path, INFOS).sorted_by(key)] == names


def test_an_attempt_beside_the_original() -> None:
    text = attempt_text(INFOS[1], INFOS[0], "loss: mse")
    assert text.splitlines() == [
        "const sparsity 0.5",
        "  Zeros               48.5 % of 4,289 weights",
        "  Zipped .h5           9,800 bytes, 1.67x smaller than the original",
        "  Zipped .keras        9,000 bytes, 1.78x smaller than the original",
        "  Zipped .tflite       4,300 bytes, 1.59x smaller than the original",
        "  Error            3.300e-04 (loss: mse, +3.1 %)",
    ]


def test_a_name_longer_than_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infos: list[Any] = [AttemptInfo("n" * 200, 4, 4, 0, 9, 8, None, None, None, 0.5)]
    results = stored(tmp_path, infos)
    assert "n" * 200 in run_table(results, "loss")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = run_table(results, "loss").splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[1]


def test_names_that_differ_at_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"poly decay 0/80, frequency {each}, learning_rate cosine(0.01)" for each in (10, 20)]
    names += [f"poly decay 0/80, frequency 10, learning_rate cosine({each})" for each in (1, 2)]
    infos = [AttemptInfo(name, 4, 4, 0, 9, 8, None, None, None, 0.5) for name in names]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    head, *lines = run_table(stored(tmp_path, infos), "loss").splitlines()[:5]
    assert head.split() == ["Attempt", "Zeros", "Zipped", "h5", "Error", "Change"]
    assert len(set(lines)) == 4
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("size", "error", "unit", "cells"),
    [
        (9_999_999, 0.5, "Bytes", ["9,999,999", "98", "5.000e-01"]),
        (10_000_000, 0.5, "kB", ["10,000", "0", "5.000e-01"]),
        (98_765_432, 0.5, "kB", ["98,765", "0", "5.000e-01"]),
        (98_765_432_100, -0.5, "MB", ["98,765", "0", "-5.000e-01"]),
        (10**17, 0.5, "MB", ["100,000,000,000", "0", "5.000e-01"]),
    ],
)
def test_columns_never_run_together(
    tmp_path: Path, size: int, error: float, unit: str, cells: list[str]
) -> None:
    infos = [AttemptInfo("original (unpruned)", 4, 4, 0, size, size, 99, 98, None, error)]
    lines = run_table(stored(tmp_path, infos), "loss").splitlines()
    assert lines[1].split()[3:] == ["0.0", "%", *cells]
    assert f"{unit} of the zipped files." in lines[3]
    assert size > 10**16 or max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("ratio", "shown"), [(10.9, "+990.0 %"), (11.4, "x11"), (123456, "x123456"), (2e30, "x2e+30")]
)
def test_a_large_change(tmp_path: Path, ratio: float, shown: str) -> None:
    infos = [
        AttemptInfo("original", 4, 4, 0, 9, 8, None, None, None, 1e-3),
        AttemptInfo("other", 4, 4, 0, 9, 8, None, None, None, 1e-3 * ratio),
    ]
    assert run_table(stored(tmp_path, infos), "loss").splitlines()[2].endswith(f" {shown}")


def test_the_star_where_nothing_was_converted(tmp_path: Path) -> None:
    infos = [replace(info, unzippedlt_size=None, zippedlt_size=None) for info in INFOS]
    lines = run_table(stored(tmp_path, infos), "loss").splitlines()
    assert [line[0] for line in lines[1:6]] == ["*", "*", "*", " ", " "]


def test_a_table_without_the_original(tmp_path: Path) -> None:
    results = stored(tmp_path, INFOS)
    (results["original (unpruned)"].folder / "result.json").unlink()
    lines = run_table(load_results(tmp_path), "loss").splitlines()
    assert [line[2:].split("  ")[0] for line in lines[1:3]] == [
        "const sparsity 0.5",
        "const sparsity 0.9",
    ]
    assert lines[1].endswith("3.300e-04")
    assert "Not finished: 1 of 5. Run it again to go on." in lines


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"file": "/a.h5"}, "/a.h5: diverged"),
        ({"file": "/a.h5", "format": "h5", "error": None}, "/a.h5: diverged (h5)"),
        (
            {"file": "/a.h5", "format": "h5", "quantize": "int8", "size": {"zipped": 1234},
             "error": 0.5, "max_difference": 0.25},
            "/a.h5: diverged (int8), 1,234 bytes zipped, error 5.000e-01, largest difference "
            "0.25",
        ),
        ({"file": "/a.h5", "size": {}}, "/a.h5: diverged"),
    ],
)  # fmt: skip
def test_an_export_is_shown_with_what_is_known_of_it(
    tmp_path: Path, entry: dict[str, Any], line: str
) -> None:
    results = stored(tmp_path, INFOS)
    add_export(results["diverged"].folder, entry)
    exported = run_table(load_results(tmp_path), "loss").split("Exported:\n")[1]
    assert " ".join(exported.split()) == line


def test_how_much_of_a_run_is_finished(tmp_path: Path) -> None:
    results = stored(tmp_path, INFOS, unfinished=("late", "later"))
    line = "Going on in runs/m: 5 of the 7 planned so far are finished."
    assert going_on_text(results, Path("runs/m")) == line


def test_what_the_table_is_made_of_goes_into_json(tmp_path: Path) -> None:
    rows = json.loads(json.dumps(stored(tmp_path, INFOS).to_dicts(), allow_nan=False))
    assert [row["zipped_tflite_size"] for row in rows] == [6850, 4300, 1700, 4400, None]
    assert rows[4]["error"] is None
