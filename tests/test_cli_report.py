"""`trimgrid report`: where the page goes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fabricated import ORIGINAL, TABLE, make_run
from trimgrid.cli import main


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "b", TABLE[:2])
    return Path("runs/a")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["runs/a"], "runs/a/report.html"),
        (["runs/a/"], "runs/a/report.html"),
        (["runs/a", "-o", "x.html"], "x.html"),
        (["runs/a", "--out", "x.htm"], "x.htm"),
        (["runs/a", "runs/b"], "report.html"),
        (["runs/a", "runs/b", "-o", "runs/x.html"], "runs/x.html"),
    ],
)
def test_where_the_page_goes(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], path: str
) -> None:
    assert run_main(*arguments) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"Saved: {path}\n")
    page = Path(path).read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>")
    assert (f"The original of <bdi>{'b'}</bdi>" in page) == ("runs/b" in arguments)
    assert ORIGINAL in page
    assert [each.name for each in Path().glob("**/.*")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs/a", "-o", "x.pdf"], "A page is an .html file. Received: 'x.pdf'."),
        (["runs/a", "-o", "x"], "A page is an .html file."),
        (["runs/none"], "A run directory must exist. Received: 'runs/none'."),
        (["runs"], "A run directory has a manifest.json. Received: 'runs'"),
        (["runs/a", "runs/none"], "A run directory must exist. Received: 'runs/none'."),
        (["runs/a", "runs/a"], "Name each run directory once."),
        (["runs/a", "runs/../runs/a"], "Name each run directory once."),
        ([], "Missing argument"),
    ],
)
def test_what_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run_main(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in " ".join(told.err.split())
    assert list(Path().glob("**/*.htm*")) == []


@pytest.mark.parametrize("path", ["nowhere/x.html", "runs/a/manifest.json/x.html"])
def test_a_folder_that_can_not_be_written(
    run: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    assert run_main("runs/a", "-o", path) == 1
    assert path in capsys.readouterr().err


def test_the_page_is_written_anew(run: Path) -> None:
    page = run / "report.html"
    page.write_text("earlier")
    assert run_main("runs/a") == 0
    first = page.read_bytes()
    assert run_main("runs/a") == 0
    assert page.read_bytes() == first
