"""What is good enough where nobody says it: as the searches in a run directory asked."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.fabricated import SHRUNK, TABLE, info_of, make_run, stored
from trimgrid.cli import main
from trimgrid.report.page.writing import page_html
from trimgrid.run_directory.search_file import SearchRecord, search_path, write_search
from trimgrid.runs.results import Results, load_results
from trimgrid.sensitivity import Sensitivity

ASKED: dict[str, Any] = {"max_error": None, "max_increase": 0.2, "size": "zipped_h5_size"}
TEXT = "zipped .h5, with at most 20 % more error than the original, as the search asked."
DEFAULT = "zipped .tflite, with at most 5 % more error than the original, because "


def searched(folder: Path, *asked: dict[str, Any]) -> Path:
    """A run with these searches, of which only the settings count here."""
    for place, settings in enumerate(asked):
        record = SearchRecord(settings, Sensitivity([], 0.1, "mse"))
        write_search(search_path(folder, f"{place}"), record)
    return folder


def run_with(folder: Path, *asked: dict[str, Any]) -> Results:
    return load_results(searched(make_run(folder), *asked))


@pytest.mark.parametrize(
    ("asked", "best", "text"),
    [
        ([], "half", ""),
        ([ASKED], "most", f"Chosen: {TEXT}"),
        # Two that differ in what does not count here are of one mind.
        ([{**ASKED, "seed": 0}, {**ASKED, "seed": 1}], "most", f"Chosen: {TEXT}"),
        (
            [ASKED, {**ASKED, "max_increase": 0.3}],
            "half",
            f"Chosen: {DEFAULT}the searches here asked for different ones.",
        ),
        ([{"size": 3}], "half", f"Chosen: {DEFAULT}what the search asked for can't be read."),
        ([{**ASKED, "size": "weight"}], "half", f"Chosen: {DEFAULT}what the search asked for "),
        ([{**ASKED, "max_increase": "5 %"}], "half", f"Chosen: {DEFAULT}what the search asked "),
    ],
)
def test_the_goal_of_a_run(
    tmp_path: Path, asked: list[dict[str, Any]], best: str, text: str
) -> None:
    results = run_with(tmp_path, *asked)
    assert results.goal.text().startswith(text)
    assert bool(results.goal.text()) == bool(text)
    assert results.best().name == best
    assert results.default_size == ("zipped_h5_size" if best == "most" else "zipped_tflite_size")
    # What is said counts: more than any search.
    assert results.best(max_increase=0.05).name == "half"
    assert results.best(max_error=1.0, size="zipped_tflite_size").name == "most"


@pytest.mark.parametrize(
    ("options", "name", "told"),
    [
        ([], "most", f"Chosen: {TEXT}\n"),
        (["--max-increase", "5%"], "half", "Chosen: zipped .h5, as the search asked.\n"),
        (
            ["--size", "zipped_keras_size"],
            "most",
            "Chosen: with at most 20 % more error than the original, as the search asked.\n",
        ),
        (["--max-error", "0.105", "--size", "zipped_h5_size"], "half", ""),
    ],
)
def test_best_says_what_it_takes_from_a_search(
    tmp_path: Path,
    options: list[str],
    name: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_with(tmp_path, ASKED)
    with pytest.raises(SystemExit) as ended:
        main(["best", str(tmp_path), *options])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == name
    assert said.err == told


@pytest.mark.parametrize(
    ("asked", "mode", "tolerance", "pick"),
    [
        ([], "rise", "5", "half"),
        ([ASKED], "rise", "20", "most"),
        ([{**ASKED, "max_increase": 0.07}], "rise", "7", "half"),
        ([{**ASKED, "max_increase": None, "max_error": 0.3}], "limit", "0.3", "most"),
        ([{**ASKED, "max_increase": 0.5, "max_error": 0.105}], "limit", "0.105", "half"),
    ],
)
def test_a_page_begins_with_it(
    tmp_path: Path, asked: list[dict[str, Any]], mode: str, tolerance: str, pick: str
) -> None:
    html = page_html([run_with(tmp_path, *asked)])
    (value,) = re.findall(r'id="tolerance"[^>]* value="([^"]*)"', html)
    assert value == tolerance
    assert ('value="limit" selected' in html) == (mode == "limit")
    assert f'<p class="pick-name"><bdi>{pick}</bdi></p>' in html
    assert ("as the search asked" in html) == bool(asked)
    (first,) = re.findall(r'<option value="0">([^<]*)<', html)
    assert first == ("zipped .h5" if asked else "zipped .tflite")


def test_runs_that_differ_begin_with_the_default(tmp_path: Path) -> None:
    runs = [run_with(tmp_path / "a", ASKED), run_with(tmp_path / "b")]
    html = page_html(runs)
    assert re.findall(r'id="tolerance"[^>]* value="([^"]*)"', html) == ["5"]
    assert "because the searches here asked for different ones." in html
    alike = page_html([runs[0], run_with(tmp_path / "c", ASKED)])
    assert re.findall(r'id="tolerance"[^>]* value="([^"]*)"', alike) == ["20"]


@pytest.mark.parametrize("size", ["zipped_shrunk_tflite_size", "shrunk_h5_size"])
def test_a_search_for_a_shrunk_size(tmp_path: Path, size: str) -> None:
    infos = [info_of(each) for each in TABLE]
    for info in infos[1:]:
        info.shrunk = SHRUNK
    searched(stored(tmp_path, infos).folder, {**ASKED, "size": size})
    results = load_results(tmp_path)
    html = page_html([results])
    packed = re.search(r'id="packed-data"[^>]*>([^<]*)<', html)
    assert packed is not None
    data = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert data["sizes"][0]["key"] == size
    assert len(results.plot_tradeoff().axes[0].get_xlabel()) > 0


def test_watch_marks_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_with(tmp_path, ASKED)
    with pytest.raises(SystemExit):
        main(["watch", str(tmp_path), "--once"])
    shown = capsys.readouterr().out
    assert "> most " in shown
    assert "> the smallest with at most 20 % more error than the original" in shown


def test_watch_tells_how_far_a_search_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run_with(tmp_path)
    asked: list[list[dict[str, Any]]] = [
        [{"name": each, "params": {}} for each in ("half", "most", "late")]
    ]
    stopped = results["most"].folder / "result.json"
    told = {"status": "stopped after epoch 2: others are smaller and better"}
    stopped.write_text(json.dumps(json.loads(stopped.read_text()) | told))
    for budget, line in ((64, "2 of 64"), (None, "2 of 3")):
        record = SearchRecord(ASKED, Sensitivity([], 0.1, "mse"), asked, budget=budget)
        write_search(search_path(tmp_path, "1"), record)
        assert [each.budget for each in results.searches] == [budget]
        with pytest.raises(SystemExit):
            main(["watch", str(tmp_path), "--once"])
        shown = capsys.readouterr().out
        assert f"\nSearch    {line} have ended, 1 of them stopped early\n" in shown
