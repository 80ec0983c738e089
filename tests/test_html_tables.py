"""Tables for notebooks: what is in them, and that no name can be more than a text."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.fabricated import stored
from trimgrid.html_table import table_html
from trimgrid.results import AttemptInfo

NAN = math.nan
ORIGINAL = AttemptInfo("original", 4289, 4289, 0, 37080, 16400, 7272, 6850, None, 4e-4)
HALF = AttemptInfo("half", 4289, 2209, 2080, 37080, 9800, 7272, 4300, None, 4.1e-4)
MOST = AttemptInfo("most", 4289, 545, 3744, 37080, 4100, 7272, 1700, None, 3.4e-2)
FAILED = AttemptInfo(
    "failed", 4289, 0, 4289, None, None, None, None, None, NAN, status="training failed: <nan>"
)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=1>',
    "n" * 200,
    "🚀 & 😀",
    "\u202eevil\u202c",
    "שלום 50",
    "</bdi></td></table><b>",
    "'; drop &lt;",
]


class Reader(HTMLParser):
    """Reads the cells of a table, and counts the tags."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.styles: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.inside: str | None = None
        self.notes = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
            self.styles.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.styles[-1].append(dict(attrs)["style"] or "")
        if tag in ("td", "th", "caption", "div"):
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.inside:
            self.notes += data


def test_an_attempt() -> None:
    info = replace(HALF, errors=(4e-4, 4.1e-4, NAN, 5e-4), keras_size=30000)
    read = Reader(info._repr_html_())
    assert read.notes.strip() == "half"
    assert read.rows == [
        ["Weights", "4,289"],
        ["Non-zero", "2,209"],
        ["Zeros", "48.5 %"],
        [".h5", "37,080 bytes"],
        ["Zipped .h5", "9,800 bytes"],
        [".keras", "30,000 bytes"],
        [".tflite", "7,272 bytes"],
        ["Zipped .tflite", "4,300 bytes"],
        ["Error", "4.100e-04 (median of 3, 4.0e-04 to 5.0e-04)"],
        ["Status", "ok"],
    ]
    assert all("right" in styles[1] for styles in read.styles[:-1])
    failed = Reader(FAILED._repr_html_())
    assert failed.rows[2:] == [
        ["Zeros", "-"],
        ["Error", "failed"],
        ["Status", "training failed: <nan>"],
    ]


def test_a_run(tmp_path: Path) -> None:
    html = stored(tmp_path, [ORIGINAL, HALF, MOST, FAILED], ("late", "later"))._repr_html_()
    read = Reader(html)
    ok = "training failed: <nan>"
    assert read.rows == [
        ["", "Attempt", "Weights", "Zeros", "Zipped h5", "tflite", "Error", "Change", "Status"],
        ["*", "original", "4,289", "0.0 %", "16,400", "6,850", "4.000e-04", "", "ok"],
        ["*", "half", "4,289", "48.5 %", "9,800", "4,300", "4.100e-04", "+2.5 %", "ok"],
        ["*", "most", "4,289", "87.3 %", "4,100", "1,700", "3.400e-02", "x85", "ok"],
        ["", "failed", "4,289", "-", "-", "-", "failed", "", ok],
    ]
    left = [["left" in style for style in styles] for styles in read.styles]
    assert left == [[column in (1, 8) for column in range(9)]] * 5
    [bold] = [line for line in html.splitlines() if "<strong>" in line]
    assert "<bdi>half</bdi>" in bold
    assert "Bold: the smallest with at most 5 % more error than the original." in read.notes
    assert "Not finished: 2 of 6." in read.notes
    assert not {"color", "background", "bgcolor"} & set(html.replace(":", " ").split())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_a_text(tmp_path: Path, name: str) -> None:
    results = stored(tmp_path, [ORIGINAL, replace(HALF, name=name, status=name)])
    read = Reader(results._repr_html_())
    assert read.rows[2][1] == read.rows[2][-1] == name
    one = Reader(results[1]._repr_html_())
    assert (one.notes.strip(), one.rows[-1][1]) == (name.strip(), name)
    tags = {"table", "thead", "tbody", "tr", "th", "td", "bdi", "div", "strong"}
    assert read.tags == tags
    assert one.tags == tags - {"thead", "div", "strong"} | {"caption"}
    assert read.attributes == one.attributes == {"scope", "style"}


@pytest.mark.parametrize(
    ("infos", "rows", "notes"),
    [
        ([], 1, "Not finished: 1 of 1."),
        ([FAILED], 2, "Not finished: 1 of 2."),
        ([FAILED, replace(FAILED, name="other")], 3, "Not finished: 1 of 3."),
        ([replace(ORIGINAL, error_value=NAN), HALF], 3, "Not finished: 1 of 3."),
        ([ORIGINAL, replace(HALF, error_value=math.inf)], 3, "Not finished: 1 of 3."),
    ],
)
def test_without_a_best(tmp_path: Path, infos: list[AttemptInfo], rows: int, notes: str) -> None:
    html = stored(tmp_path, infos, ("late",))._repr_html_()
    read = Reader(html)
    assert len(read.rows) == rows
    assert notes in read.notes
    assert "Bold" not in html
    assert "<strong>" not in html


def test_a_long_run_is_cut_and_keeps_the_best(tmp_path: Path) -> None:
    worse = [replace(MOST, name=f"worse {k}", error_value=1.0 + k) for k in range(248)]
    read = Reader(stored(tmp_path, [ORIGINAL, *worse, MOST, HALF])._repr_html_())
    assert len(read.rows) == 1 + 200
    assert [row[1] for row in (read.rows[1], *read.rows[-2:])] == ["original", "most", "half"]
    assert [row[1] for row in read.rows[2:199]] == [f"worse {k}" for k in range(197)]
    assert "and 51 more" in read.notes


def test_notes_are_texts() -> None:
    html = table_html([("<a>", "right")], [("<b>",)], ["<i>"], strong=[0])
    read = Reader(html)
    assert (read.rows, read.notes) == ([["<a>"], ["<b>"]], "<i>")
    assert "strong" in read.tags
