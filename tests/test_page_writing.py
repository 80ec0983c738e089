"""The page as a file: whole, alone, the same bytes; and what it says where a run lacks things."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fabricated import HOSTILE, ORIGINAL, TABLE, Made, make_run
from trimgrid.errors import InputError
from trimgrid.report.page.payload import payload
from trimgrid.report.page.writing import MOST_BYTES, page_html, save_page
from trimgrid.runs.results import Results, load_results

NAN = float("nan")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 1))
Y = X[:, 0] ** 2
FAILED = "training failed: the loss became nan"
LINKS = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction"}


class Page(HTMLParser):
    """What a browser sees of a page: tags with their attributes, texts, scripts by their ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.packed: dict[str, str] = {}
        self._script: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, tuple(attrs)))
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.texts.append(data)
        else:
            self.packed[self._script] = self.packed.get(self._script, "") + data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def data(self) -> Any:
        return json.loads(gzip.decompress(base64.b64decode(self.packed["packed-data"])))


def page_of(*folders: Path) -> Page:
    return Page(page_html([load_results(folder) for folder in folders]))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", predictions={ORIGINAL: Y, "half": Y + 0.1}, test=(X, Y))


def test_the_data_of_a_page(run: Path) -> None:
    page = page_of(run)
    assert page.data() == json.loads(json.dumps(payload([load_results(run)])))
    assert "plotly.js" in gzip.decompress(base64.b64decode(page.packed["packed-plotly"])).decode()
    for name in (each.name for each in TABLE):
        assert name in page.text
    assert "2.00x" not in page.text
    assert "1.67x smaller, error 4.0 % higher" in page.text
    assert "trimgrid export" in page.text


def test_a_page_loads_nothing(run: Path) -> None:
    page = page_of(run)
    for tag, attributes in page.tags:
        for name, value in attributes:
            if name in LINKS:
                assert (value or "").startswith(("#", "data:")), (tag, name, value)
    assert not {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "base", "img"}
    for code in (page.packed["style"], page.packed["script"]):
        assert not re.search(r"https?://|@import|url\(['\"]?(?!\$\{uri\})", code)
        assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|import)\s*\(", code)


def test_the_same_bytes_twice(run: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for path in pages:
        save_page([load_results(run)], path)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert len(pages[0].read_bytes()) <= MOST_BYTES


MORE_HOSTILE = [
    *HOSTILE,
    *("</script><script>", "<!--", "]]>", "a\x00b\x1b[31m", "lone \udcff", "&lt;b>"),
]
HARMLESS = [f"attempt {place}" for place in range(len(MORE_HOSTILE))]


def hostile_run(folder: Path, names: list[str]) -> Path:
    made = [Made(name, 500 + place, 0.1 + place / 100) for place, name in enumerate(names)]
    failed = [Made(f"{name}, failed", None, NAN, f"training failed: {name}") for name in names]
    training = {
        "loss": {"loss": names[0]},
        "optimizer": {"class_name": names[1], "config": {"x": names[-1]}},
    }
    more = {
        "error_name": names[0],
        "training": training,
        "versions": {"trimgrid": names[0], names[1]: names[2]},
        "backend": names[3],
    }
    return make_run(
        folder, [*made, *failed], unfinished=[f"{name}, unfinished" for name in names], more=more
    )


def shape_of(page: Page) -> list[Any]:
    """Tags and attributes, without the widths of bars."""
    return [
        (tag, [(name, None if tag == "i" else value) for name, value in attributes])
        for tag, attributes in page.tags
    ]


def test_names_are_text(tmp_path: Path) -> None:
    hostile = page_of(hostile_run(tmp_path / "a", MORE_HOSTILE))
    harmless = page_of(hostile_run(tmp_path / "b", HARMLESS))
    assert shape_of(hostile) == shape_of(harmless)
    assert [hostile.packed[key] == harmless.packed[key] for key in ("style", "script")] == [
        True
    ] * 2
    assert [each["name"] for each in hostile.data()["attempts"]][
        : len(MORE_HOSTILE)
    ] == MORE_HOSTILE
    for name in HOSTILE:
        assert " ".join(name.split()) in hostile.text


def test_the_folder_has_a_hostile_name(tmp_path: Path) -> None:
    names = ["<b>bold</b>", 'a"b', "lone \udcff"]
    runs = [hostile_run(tmp_path / name, HARMLESS) for name in names]
    others = [hostile_run(tmp_path / name, HARMLESS) for name in "xyz"]
    page = page_of(*runs)
    assert shape_of(page) == shape_of(page_of(*others))
    assert names[0] in page.text
    save_page([load_results(each) for each in runs], tmp_path / "page.html")
    assert r"lone \udcff" in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_that_would_be_too_large(tmp_path: Path) -> None:
    made = [*TABLE, *(Made(f"other {place}", 2000 + place, 0.3) for place in range(60))]
    predictions = {each.name: RANDOM.normal(size=40) for each in made}
    run = load_results(make_run(tmp_path, made, predictions=predictions, test=(X, Y)))
    whole = page_html([run])
    small = page_html([run], len(whole.encode()) - 3000)
    assert len(small.encode()) <= len(whole.encode()) - 3000
    attempts = Page(small).data()["attempts"]
    assert len(attempts) == len(made)
    detailed = [each["name"] for each in attempts if "details" in each]
    left_out = len(made) - len(detailed)
    assert left_out > 0
    assert {ORIGINAL, "half", "most"} <= set(detailed)
    note = f"Details of {left_out} attempts are left out"
    assert note in Page(small).text
    assert "are left out" not in Page(whole).text


def test_a_page_can_not_be_smaller_than_its_table(run: Path) -> None:
    page = Page(page_html([load_results(run)], 1000))
    assert [each["name"] for each in page.data()["attempts"] if "details" in each] == [ORIGINAL]


LACKING: list[tuple[str, list[Made], dict[str, Any], list[str]]] = [
    (
        "nothing is finished",
        [],
        {"unfinished": ["half", "most"]},
        ["No attempt is finished yet", "The original is not finished", "half , most"],
    ),
    ("nothing was planned", [], {}, ["No attempt is finished yet", "0 attempts were asked for"]),
    ("only the original", TABLE[:1], {"unfinished": ["half"]}, ["1 of 2 are not finished", "half"]),
    (
        "only failed attempts",
        [TABLE[0], Made("half", None, NAN, FAILED), Made("most", None, NAN, FAILED)],
        {},
        ["No attempt has a finite error", "2 attempts are not ok", FAILED],
    ),
    (
        "all failed",
        [Made(each.name, None, NAN, FAILED) for each in TABLE],
        {},
        ["The original has no finite error", "No attempt has a size that was measured."],
    ),
    (
        "errors that are not finite",
        [*TABLE, Made("nan", 10, NAN), Made("infinite", 10, float("inf"))],
        {},
        ["1.67x smaller", "infinite"],
    ),
    (
        "an original without an error",
        [Made(ORIGINAL, 1000, NAN), *TABLE[1:]],
        {},
        ["The original has no finite error", "The original's error is not known"],
    ),
    (
        "nothing was measured",
        [Made(each.name, None, each.error) for each in TABLE],
        {},
        ["No attempt has a size that was measured."],
    ),
    ("no details", TABLE, {"detailed": False}, ["1.67x smaller"]),
    (
        "another version",
        TABLE,
        {"more": {"versions": {"trimgrid": "9.9"}}, "detailed": False},
        ["This run was made by trimgrid 9.9", "1.67x smaller"],
    ),
    (
        "odd settings",
        TABLE,
        {"more": {"training": [], "versions": 3, "data": []}},
        ["1.67x smaller"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "options", "texts"), [each[1:] for each in LACKING], ids=[each[0] for each in LACKING]
)
def test_what_a_run_lacks_is_said(
    tmp_path: Path, made: list[Made], options: Any, texts: list[str]
) -> None:
    page = page_of(make_run(tmp_path, made, **options))
    for text in texts:
        assert text in page.text
    assert [each["name"] for each in page.data()["attempts"]] == [each.name for each in made]
    assert "Run directory" in page.text


def test_an_original_that_is_not_finished(run: Path) -> None:
    (run / "attempts" / "0" / "result.json").unlink()
    page = page_of(run)
    assert "The original is not finished, so nothing can be compared with it." in page.text
    assert "The original's error is not known" in page.text
    assert "3 of 4 finished" in page.text


def test_an_original_that_is_damaged(run: Path) -> None:
    (run / "attempts" / "0" / "result.json").write_text("")
    page = page_of(run)
    assert "The original has no finite error, so that no change can be told." in page.text
    assert "damaged: result.json: It is empty." in page.text
    assert page.data()["runs"][0]["original"] == 0


def test_files_that_are_damaged(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "result.json"):
            path.write_bytes(b"damaged")
    page = page_of(run)
    assert "1.67x smaller" in page.text
    data = page.data()
    assert "can't be read" in data["runs"][0]["test"]["problem"]
    for each in data["attempts"]:
        assert set(each["details"]["problems"]) >= {"curves", "weights"}


def test_two_runs(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "b" / "run", TABLE[:2])
    page = page_of(run, other)
    assert [each["name"] for each in page.data()["runs"]] == [f"{tmp_path.name}/run", "b/run"]
    assert [each["original"] for each in page.data()["runs"]] == [0, 4]
    assert "These runs measure" not in page.text


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"error_name": "loss: mae"}, "These runs measure different errors"),
        ({"data": {"test": {"digest": "x"}}}, "These runs measure their errors on different test"),
        ({"data": None}, "These runs measure their errors on different test data."),
    ],
)
def test_runs_that_can_not_be_compared(
    run: Path, tmp_path: Path, more: dict[str, Any], note: str
) -> None:
    assert note in page_of(run, make_run(tmp_path / "other", more=more)).text


def test_no_run_and_the_same_run_twice(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("was here")
    (tmp_path / "link").symlink_to(run)
    results = load_results(run)
    for runs in ([], [results, results], [results, load_results(tmp_path / "link")]):
        with pytest.raises(InputError, match=r"A page shows one run.*Name each run directory once"):
            save_page(runs, path)
    assert path.read_text() == "was here"


def test_a_folder_that_is_missing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        save_page([load_results(run)], tmp_path / "nowhere" / "page.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OSError, match=r"folder\.html"):
        save_page([load_results(run)], tmp_path / "folder.html")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.html", "run"]


def test_report_returns_the_path(run: Path, tmp_path: Path) -> None:
    results: Results = load_results(run)
    assert results.report() == run / "report.html"
    named = results.report(str(tmp_path / "a.html"), load_results(make_run(tmp_path / "other")))
    assert named == tmp_path / "a.html"
    assert len(Page(named.read_text("utf-8")).data()["runs"]) == 2
    before = named.read_bytes()
    with pytest.raises(InputError, match="Name each run directory once"):
        results.report(named, results)
    assert named.read_bytes() == before
    assert [each.name for each in load_results(run)] == [each.name for each in TABLE]
