"""Names that terminals, Rich, spreadsheets or matplotlib would obey: text in every output."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from tests import fabricated
from trimgrid.cli import main
from trimgrid.cli.options import names_in_run
from trimgrid.report import picture_text, prediction_panels, tradeoff
from trimgrid.report.inspection import print_variables
from trimgrid.report.plots import save_predictions, save_tradeoff
from trimgrid.report.run_table import attempt_text, run_table
from trimgrid.report.table import recap_text
from trimgrid.results import AttemptInfo, write_results_json
from trimgrid.run_directory.attempt_files import add_export
from trimgrid.runs.progress import Progress
from trimgrid.runs.results import Results, load_results
from trimgrid.terminal_text import printable

# What was given, as it is shown on a terminal, and as a cell of the CSV.
LONG = "n" * 100 + "-" + "m" * 99
TABLE = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>", "<script>alert(1)</script>"),
    ('"><img src=x onerror=1>', '"><img src=x onerror=1>', '"><img src=x onerror=1>'),
    (LONG, LONG, LONG),
    ("lr 1e-3 🚀👩‍🔬❤️", "lr 1e-3 🚀👩‍🔬❤️", "lr 1e-3 🚀👩‍🔬❤️"),
    ("模型 0.5", "模型 0.5", "模型 0.5"),
    ("דליל سلام 0.5", "דליל سلام 0.5", "דליל سلام 0.5"),
    ('=HYPERLINK("http://x")', '=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
    ("+1+1", "+1+1", "'+1+1"),
    ("-2+3", "-2+3", "'-2+3"),
    ("@SUM(A1)", "@SUM(A1)", "'@SUM(A1)"),
    (' "=1', ' "=1', "' \"=1"),
    ("＝1", "＝1", "'＝1"),  # noqa: RUF001
    ("\t=1", r"\t=1", "'\t=1"),
    ("\r=1", r"\r=1", "'\r=1"),
    ("a=1, b-2", "a=1, b-2", "a=1, b-2"),
    ("$x^2$ \\frac{", "$x^2$ \\frac{", "$x^2$ \\frac{"),
    ("[red]bold[/] :rocket:", "[red]bold[/] :rocket:", "[red]bold[/] :rocket:"),
    ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ("\x9b2Jcleared\x07", r"\x9b2Jcleared\x07", "\x9b2Jcleared\x07"),
    ("two\nlines\r\nor three", r"two\nlines\r\nor three", "two\nlines\r\nor three"),
    ("back\rto\ttab", r"back\rto\ttab", "back\rto\ttab"),
    ("a\u202efdp.exe\u2066", r"a\u202efdp.exe\u2066", "a\u202efdp.exe\u2066"),
    ("lone \udcff", r"lone \udcff", r"lone \udcff"),
    ("{task.fields[loss]} %s {0}", "{task.fields[loss]} %s {0}", "{task.fields[loss]} %s {0}"),
]
NAMES = [name for name, _, _ in TABLE]
SHOWN = [shown for _, shown, _ in TABLE]
X = np.linspace(-1, 1, 9)


def info(name: str, place: int = 0, status: str = "ok") -> AttemptInfo:
    error = 0.001 * (place + 1) if status == "ok" else math.nan
    sizes = (100, 50, 50, 4000, 3000 - 70 * place, 900, 800 - 20 * place)
    prediction = X + error if status == "ok" else None
    return AttemptInfo(name, *sizes, prediction, error, status=status)


INFOS = [info(name, place) for place, name in enumerate(NAMES)]
FAILED = [info(name, 0, f"training failed: {name}") for name in NAMES]


stored = partial(fabricated.stored, error_name="loss: [b]mse[/]\x1b")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return stored(tmp_path_factory.mktemp("run"), INFOS)


def check_text(text: str) -> None:
    """Check that a terminal shows all of a text and obeys nothing but the ends of its lines."""
    for line in text.split("\n"):
        assert printable(line) == line
    text.encode("utf-8")


def check_columns(lines: Sequence[str], end: str) -> None:
    """Check that a column, of which each cell ends so, ends in the same place of all lines."""
    assert len({cell_len(line[: line.rindex(end) + len(end)]) for line in lines}) == 1


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_the_table_of_a_run(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run_table(results, results.error_name)
    check_text(text)
    lines = text.split("\n")[1 : len(NAMES) + 1]
    for line, shown in zip(lines, SHOWN, strict=True):
        assert line[2:].startswith(shown)
    check_columns(lines, "50.0 %")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    text = run_table(results, results.error_name)
    check_text(text)
    lines = text.split("\n")
    assert max(map(cell_len, lines)) <= 80
    check_columns(lines[1 : len(NAMES) + 1], "50.0 %")
    assert len({line[2:20] for line in lines[1 : len(NAMES) + 1]}) == len(NAMES)


def test_notes_below_the_table_and_exports(tmp_path: Path) -> None:
    stored(tmp_path, FAILED[:20])
    attempts = load_results(tmp_path)
    for attempt in attempts:
        entry = {"file": f"/tmp/{attempt.name.replace('/', '')}.h5", "format": "h5"}
        add_export(attempt.folder, entry)
    text = run_table(load_results(tmp_path), "loss")
    check_text(text)
    notes = text.split("\n\n", 2)[2]
    assert max(map(cell_len, notes.split("\n"))) <= 80
    for name in NAMES[:20]:
        letters = "".join(printable(name).split())
        assert f"{letters}:trainingfailed:" in "".join(notes.split())


def test_the_recap(capsys: pytest.CaptureFixture[str]) -> None:
    text = recap_text([*INFOS, *FAILED])
    check_text(text)
    lines = text.split("\n")[1 : 2 * len(NAMES) + 1]
    for line, shown in zip(lines, 2 * SHOWN, strict=True):
        assert line.startswith(f"{shown} ")
    assert len({cell_len(line) for line in lines}) == 1
    notes = text.split("\n")[2 * len(NAMES) + 2 :]
    assert max(map(cell_len, notes)) <= 80


@pytest.mark.parametrize(("name", "shown", "_"), TABLE)
def test_the_blocks_of_an_attempt(
    name: str, shown: str, _: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = attempt_text(info(name), info("original"), f"{name} loss")
    check_text(text)
    assert text.split("\n")[0] == shown
    info(name, 0, f"failed: {name}").print()
    text = capsys.readouterr().out
    check_text(text)
    assert text.split("\n")[0] == f"Model: {shown}"
    assert text.count("\n") == 10


@pytest.mark.parametrize(("name", "shown", "_"), TABLE)
def test_the_progress(name: str, shown: str, _: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(trainings=1, epochs=2, original_epochs=0, shown=False) as progress:
        progress.on_epoch([name], 1, [0.5])
        progress.say(f"Not logged: {name}")
        description = progress._bar.tasks[0].description
    assert cell_len(description) <= 40
    assert description == shown or "…" in description
    said = capsys.readouterr().err.removesuffix("\n")
    check_text(said)
    assert said == "Not logged: " + shown.replace(r"\n", "\n")


def test_the_bar_takes_names_for_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress(trainings=1, epochs=2, original_epochs=0, shown=False) as progress:
        for name, shown in zip(NAMES, SHOWN, strict=True):
            progress.on_epoch([name], 1, [0.5])
            (task,) = progress._bar.tasks
            column: Any = progress._bar.columns[0]
            assert column.render(task).plain == task.description
            assert column.render(task).spans == []
            assert len(shown) > 40 or task.description == shown


def test_the_variables_of_a_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Variable:
        shape, weights, zeros, reason = (2, 3), 6, 3, None

        def __init__(self, path: str) -> None:
            self.path = path

    print_variables([Variable(name) for name in NAMES if name != LONG])
    lines = capsys.readouterr().out.split("\n")
    for shown in SHOWN:
        assert shown == LONG or any(line.strip().startswith(shown.strip()) for line in lines)
    check_text("\n".join(lines))
    check_columns([line for line in lines if "2x3" in line], "2x3")


def test_csv_is_read_back_and_holds_no_formula(results: Results, tmp_path: Path) -> None:
    text = results.to_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == text.encode("utf-8")
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert [row[head.index("name")] for row in rows] == [cell for _, _, cell in TABLE]
    assert {len(row) for row in rows} == {len(head)}
    assert [float(row[head.index("error")]) for row in rows] == [each.error for each in INFOS]


def test_statuses_in_csv_and_numbers_below_zero(tmp_path: Path) -> None:
    infos = [info("a", 0, "=1+1"), AttemptInfo("b", 4, 4, 0, 9, 8, None, None, None, -0.5)]
    one, other = csv.DictReader(io.StringIO(stored(tmp_path, infos).to_csv(), newline=""))
    assert (one["status"], one["error"]) == ("'=1+1", "")
    assert (other["status"], other["error"]) == ("ok", "-0.5")


def test_data_keep_names_as_they_are(results: Results, tmp_path: Path) -> None:
    assert [row["name"] for row in results.to_dicts()] == NAMES
    pandas = pytest.importorskip("pandas")
    # Lone surrogates are nothing that a column of pandas holds.
    few = [info(name) for name in NAMES if name.isascii() or "\udcff" not in name]
    frame = stored(tmp_path / "few", few).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["name"].tolist() == [each.name for each in few]
    write_results_json(INFOS, tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in found] == NAMES


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_show_on_any_encoding(results: Results, encoding: str) -> None:
    for option in ([], ["--json"], ["--csv"]):
        done = subprocess.run(
            [sys.executable, "-m", "trimgrid", "show", str(results.folder), *option],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding)
        if option == ["--json"]:
            assert [row["name"] for row in json.loads(text)] == NAMES
        elif not option:
            check_text(text)
            assert r"\x1b[31mred" in text
        elif encoding == "utf-8":
            assert text == results.to_csv()


def test_csv_on_a_terminal_shows_escapes(
    results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run_main("show", str(results.folder), "--csv") == 0
    check_text(capsys.readouterr().out)


@pytest.mark.parametrize(("name", "shown", "_"), TABLE)
def test_messages(
    name: str, shown: str, _: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path, [info("original"), info(name, 1, f"training failed: {name}")])
    assert run_main("show", str(tmp_path), "--sort", "size", "--size", name) == 2
    assert run_main("best", str(tmp_path)) == 1
    assert run_main("export", "-o", f"{name}.h5", "--", str(tmp_path), f"{name}?") == 2
    captured = capsys.readouterr()
    check_text(captured.err)
    assert captured.out == ""
    assert captured.err.count("Error: ") == 3
    assert f"{shown}: training failed: " in captured.err
    assert run_main("rm", "--", str(tmp_path), name) == 0
    assert capsys.readouterr().err == f"Removed: {shown}\n"


def test_a_message_of_several_lines_stays_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.py"
    study.write_text("raise ValueError('one\\ntwo \\x07')\n", encoding="utf-8")
    assert run_main("run", str(study), "--run-dir", str(tmp_path / "run"), "--backend", "jax") == 2
    lines = capsys.readouterr().err.split("\n")
    assert lines[0] == "Error: The study file study.py raises:"
    assert lines[-3:] == ["  ValueError: one", "  two \\x07", ""]


def test_completion_offers_what_can_be_written(results: Results) -> None:
    class Context:
        params = {"run": results.folder}  # noqa: RUF012

    context: Any = Context()
    assert names_in_run(context, "") == [name for name, shown, _ in TABLE if name == shown]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved, to look into."""
    figures: list[Any] = []
    for module in (prediction_panels, tradeoff):
        save = module.save_png

        def keep(figure: Any, path: Path, save: Any = save) -> None:
            save(figure, path)
            figures.append(figure)

        monkeypatch.setattr(module, "save_png", keep)
    return figures


@pytest.mark.parametrize(("name", "shown", "_"), TABLE)
def test_pictures(name: str, shown: str, _: str, drawn: list[Any], tmp_path: Path) -> None:
    """Warnings, such as that of a glyph that the font lacks, are errors here."""
    infos = [info(name), info(f"{name} 2", 5), info(f"{name} 3", 3, "failed")]
    save_tradeoff(infos, tmp_path / "tradeoff.png", error_name=name)
    save_predictions(infos, X, X, tmp_path / "predictions.png")
    for figure in drawn:
        assert figure.bbox.width < 1100
        texts = [text for text in figure.texts if text.get_text() != "failed"]
        named = [text for text in texts if text.get_rotation() == 0]
        for text in named:
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= figure.bbox.width + 1, text.get_text()
        whole = picture_text.drawable(shown)
        assert any(
            text.get_text() == whole or (len(whole) > 30 and "…" in text.get_text())
            for text in named
        )
        check_text("\n".join(text.get_text() for text in texts))
    for picture in ("tradeoff.png", "predictions.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_titles_of_panels_stay_over_their_panels(drawn: list[Any], tmp_path: Path) -> None:
    save_predictions(
        [info("W" * 200 + str(place), place) for place in range(7)], X, X, tmp_path / "c.png"
    )
    titles = [text for text in drawn[0].texts if text.get_text().startswith("W")]
    boxes = sorted((text.get_window_extent() for text in titles[:6]), key=lambda box: box.x0)
    assert len(boxes) == 6
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    assert [text.get_text()[-1] for text in titles] == list("0123456")
