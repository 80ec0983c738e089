"""What `trimgrid watch` shows of a run, line by line, at 80 columns."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.fabricated import stored
from tests.test_run_table import INFOS
from trimgrid.errors import InputError
from trimgrid.report.run_state import RunState
from trimgrid.report.watching import Watched, render
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.holder import Holder
from trimgrid.run_directory.progress_file import RunProgress, Work

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOLDER = Holder(4711, "box", (NOW - timedelta(hours=1)).isoformat())
PROGRESS = RunProgress(
    state=Work.TRAINING,
    began=NOW - timedelta(minutes=50),
    told=NOW - timedelta(seconds=10),
    epochs=1250,
    total_epochs=5000,
    names=("half", "most", "late"),
    attempts=11,
    loss=3.2e-3,
    seconds_per_epoch=0.1,
    seconds=3590.0,
    earlier_seconds=600.0,
)


def lines_of(
    watched: Watched, width: int = 80, height: int | None = None, **more: Any
) -> list[str]:
    """The lines on a terminal of this width without colours, the folder's left out."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, no_color=True)
    console.print(render(watched, width=width, height=height, **more))
    text = file.getvalue()
    for style in ("\x1b[1m", "\x1b[2m", "\x1b[1;2m", "\x1b[0m"):  # bold and dim are no colours
        text = text.replace(style, "")
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    return [line.rstrip() for line in lines[1:]]


def watched_of(
    folder: Path,
    infos: list[AttemptInfo] = INFOS,
    unfinished: tuple[str, ...] = ("late",),
    **changes: Any,
) -> Watched:
    results = stored(folder, infos, unfinished)
    return replace(Watched(results, HOLDER, PROGRESS, RunState.TRAINING, NOW), **changes)


def test_a_run_that_trains(tmp_path: Path) -> None:
    bar, *lines = lines_of(watched_of(tmp_path))[1:]
    assert bar == f"Epochs    {'━' * 13}╸{' ' * 40} 1,250 of 5,000"
    assert lines == [
        "Time      1:00:00 of work, about 0:06:05 left, trained by 12:06:05",
        "Trains    11 attempts (loss 3.20e-03): half, most, late, ...",
        "Attempts  5 of 6 finished, 1 failed",
        "Original  zipped tflite 6,850 bytes, error 3.200e-04 (loss: mse)",
        "",
        "  Front                 Zeros  Zipped tflite      Error  Change",
        "  const sparsity 0.9   87.3 %          1,700  3.400e-02    x106",
        "> const sparsity 0.5   48.5 %          4,300  3.300e-04  +3.1 %",
        "  original (unpruned)   0.0 %          6,850  3.200e-04",
        "> the smallest with at most 5 % more error than the original",
        "",
        "diverged: training failed: the loss became nan at step 3",
    ]


@pytest.mark.parametrize(
    ("state", "changes", "line"),
    [
        ("starting", {"progress": None}, "Starting: process 4711 on box has told nothing yet."),
        ("training", {}, "Training since 11:10:00, process 4711 on box."),
        (
            "training",
            {"progress": replace(PROGRESS, began=NOW - timedelta(days=2))},
            "Training since 2026-02-27 12:00, process 4711 on box.",
        ),
        ("training", {"holder": None}, "Training since 11:10:00, its process."),
        (
            "measuring",
            {"progress": replace(PROGRESS, state=Work.MEASURING)},
            "Measuring the last ones, all is trained; process 4711 on box.",
        ),
        (
            "silent",
            {"now": NOW + timedelta(hours=3)},
            "No word from process 4711 on box, last at 11:59:50; it may be gone.",
        ),
        (
            "silent",
            {"progress": None},
            "No word from process 4711 on box; it may be gone.",
        ),
        ("finished", {"progress": None, "holder": None}, "Finished."),
        ("finished", {"holder": None}, "Finished at 11:59:50."),
        ("stopped", {"holder": None}, "Stopped at 11:59:50."),
        ("stopped", {"progress": None, "holder": None}, "Stopped."),
        ("gone", {}, "Stopped: process 4711 on box is gone, killed or crashed."),
        ("gone", {"holder": None}, "Stopped: its process is gone, killed or crashed."),
    ],
)
def test_the_line_of_the_state(
    tmp_path: Path, state: str, changes: dict[str, Any], line: str
) -> None:
    assert lines_of(watched_of(tmp_path, state=RunState(state), **changes))[0] == line


def test_times_are_those_of_the_watcher(tmp_path: Path) -> None:
    now = datetime.fromisoformat("2026-03-01T21:00:00+09:00")
    lines = lines_of(watched_of(tmp_path, now=now))
    assert lines[0] == "Training since 20:10:00, process 4711 on box."
    assert lines[2].endswith("trained by 21:06:05")


@pytest.mark.parametrize(
    ("state", "unfinished", "told"),
    [
        ("stopped", ("late",), ["To go on, run it again.", "Begun by  trimgrid run study.py"]),
        ("gone", ("late",), ["To go on, run it again.", "Begun by  trimgrid run study.py"]),
        ("gone", (), []),
        ("finished", (), []),
        (
            "finished",
            ("late",),
            ["Others are planned: run their grid to finish them.",
             "Begun by  trimgrid run study.py"],
        ),
        ("training", ("late",), []),
        ("silent", ("late",), []),
    ],
)  # fmt: skip
def test_how_to_go_on(
    tmp_path: Path, state: str, unfinished: tuple[str, ...], told: list[str]
) -> None:
    watched = watched_of(tmp_path, unfinished=unfinished, state=RunState(state))
    watched.results.about["command"] = "trimgrid run study.py"
    lines = lines_of(watched)[1:]
    assert [line for line in lines if "run" in line.replace("unpruned", "")] == told


@pytest.mark.parametrize("state", ["stopped", "gone", "finished", "silent", "measuring"])
def test_only_a_run_that_trains_has_an_end(tmp_path: Path, state: str) -> None:
    lines = lines_of(watched_of(tmp_path, state=RunState(state)))
    (time,) = [line for line in lines if line.startswith("Time")]
    assert "left" not in time or state == "measuring"
    assert not [line for line in lines if line.startswith("Trains")]
    # Work goes on from when it was told last, unless nobody works.
    assert time.startswith(
        f"Time      {'1:00:00' if state in ('silent', 'measuring') else '0:59:50'}"
    )


def test_nothing_is_told_of_an_earlier_process(tmp_path: Path) -> None:
    lines = lines_of(watched_of(tmp_path, state=RunState.STARTING))
    assert not [line for line in lines if line.startswith(("Epochs", "Time", "Trains"))]


@pytest.mark.parametrize(
    ("infos", "text"),
    [
        ([], "Nothing is finished yet."),
        (INFOS[4:], "None has an error and zipped keras yet."),
    ],
)
def test_a_run_without_a_front(tmp_path: Path, infos: list[AttemptInfo], text: str) -> None:
    lines = lines_of(watched_of(tmp_path, infos, ("late", "later")))
    count = f"Attempts  {len(infos)} of {len(infos) + 2} finished"
    assert count in lines or f"{count}, 1 failed" in lines
    assert text in lines


def test_before_anything_is_planned(tmp_path: Path) -> None:
    lines = lines_of(watched_of(tmp_path, [], (), progress=None, state=RunState.STARTING))
    assert lines[1:] == ["Attempts  0 of 0 finished", "", "Nothing is finished yet."]


def test_another_size(tmp_path: Path) -> None:
    watched = watched_of(tmp_path)
    lines = lines_of(watched, size="h5_size")
    assert "Original  h5 37,080 bytes, error 3.200e-04 (loss: mse)" in lines
    (head,) = [line for line in lines if "Front" in line]
    assert head.split() == ["Front", "Zeros", "H5", "Error"]
    with pytest.raises(InputError, match="size must be one of"):
        render(watched, size="weight")


def many(count: int) -> list[AttemptInfo]:
    """An original and attempts, each smaller and worse than the one before."""
    return [
        AttemptInfo(f"attempt {n}", 100, 100 - n, n, 9000, 8000 - n, None, None, None, 1 + n / 100,
                    keras_size=9000, zipped_keras_size=8000 - n)
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("height", "first", "last", "more"),
    [
        (None, 99, 0, None),
        (23, 11, 0, 88),  # the best, attempt 5, is among them
        (14, 6, 4, 97),
        (3, 5, 5, 99),  # one row there is however small the terminal
        (110, 99, 0, None),
        (109, 97, 0, 2),
        (112, 99, 0, None),
    ],
)
def test_as_many_rows_as_there_is_room_for(
    tmp_path: Path, height: int | None, first: int, last: int, more: int | None
) -> None:
    lines = lines_of(watched_of(tmp_path, many(100)), height=height)
    rows = [line[2:].split("  ")[0] for line in lines if line[2:].startswith("attempt ")]
    assert rows == [f"attempt {number}" for number in range(first, last - 1, -1)]
    assert len([line for line in lines if line.startswith("> attempt 5 ")]) == 1
    assert [line for line in lines if line.startswith("  and ")] == (
        [f"  and {more} more"] if more else []
    )
    assert len(rows) + (more or 0) == 100
    if height is not None and height > 3:
        assert len(lines) + 1 <= height  # the folder's line is left out


def test_the_last_failures(tmp_path: Path) -> None:
    infos = [
        *INFOS[:4],
        *(replace(INFOS[4], name=f"bad {n}", status=f"reason {n} " + "x" * 99) for n in range(5)),
    ]
    lines = lines_of(watched_of(tmp_path, infos), height=23)
    assert [line[:15] for line in lines[-4:]] == [
        "bad 2: reason 2", "bad 3: reason 3", "bad 4: reason 4", "and 2 more that",
    ]  # fmt: skip
    assert lines[-2].endswith("…")
    assert "Attempts  9 of 10 finished, 5 failed" in lines


def test_no_mark_where_none_is_good_enough(tmp_path: Path) -> None:
    bad = [INFOS[0], replace(INFOS[2], error_value=0.5)]
    lines = lines_of(watched_of(tmp_path, bad))
    assert not [line for line in lines if line.startswith(">")]
    # The smallest that is good enough is beaten by the original.
    same = replace(INFOS[1], zippedlt_size=6850, error_value=3.25e-4)
    lines = lines_of(watched_of(tmp_path / "same", [INFOS[0], same]))
    assert not [line for line in lines if line.startswith(">")]


ODD = [
    ("[red]attempt[/red]", "[red]attempt[/red]"),
    ("[link=http://x]", "[link=http://x]"),
    ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
    ("two\nlines\ttab", r"two\nlines\ttab"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    (":smile:", ":smile:"),
    ("Größe 大きい", "Größe 大きい"),
]


@pytest.mark.parametrize(("name", "shown"), ODD)
def test_what_a_terminal_would_obey_is_shown(tmp_path: Path, name: str, shown: str) -> None:
    odd = replace(INFOS[2], name=name)
    failed = replace(INFOS[4], name=f"{name}2", status=name)
    watched = watched_of(
        tmp_path,
        [INFOS[0], odd, failed],
        holder=replace(HOLDER, host=name),
        progress=replace(PROGRESS, names=(name,), attempts=1),
    )
    lines = lines_of(watched)
    assert lines[0].endswith(f"on {shown}.")
    assert f"Trains    1 attempt (loss 3.20e-03): {shown}" in lines
    assert [line for line in lines if line.startswith(f"  {shown} ")]
    status = shown.replace(r"\n", " ").replace(r"\t", " ")  # a sentence may have lines
    assert lines[-1] in (f"{shown}2: {status}", f"{_cut(shown + '2')}: {status}")
    watched.results.about["command"] = name
    assert f"Begun by  {shown}" in lines_of(replace(watched, state=RunState.GONE))


def _cut(text: str) -> str:
    return f"{text[:10]}…{text[-15:]}"


@pytest.mark.parametrize("name", ["n" * 200, "poly decay 0/80, frequency 100, " * 4, "大" * 100])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_long_names_lose_their_middle(tmp_path: Path, name: str, width: int) -> None:
    infos = [
        INFOS[0],
        replace(INFOS[1], name=f"{name}1", zippedlt_size=4001, error_value=3.29e-4),
        replace(INFOS[1], name=f"{name}2", zippedlt_size=4002, error_value=3.28e-4),
    ]
    lines = lines_of(watched_of(tmp_path, infos), width=width)
    for end in "12":
        (row,) = [line for line in lines if f" 4,00{end} " in line]
        shown = row[2:].split("  48.5 %")[0].rstrip()
        assert shown.endswith(end)
        assert shown.partition("…")[0] == name[: len(shown.partition("…")[0])]
        assert row.endswith(("+2.8 %", "+2.5 %"))  # and it takes all the line
        assert width - 2 <= cell_len(row) <= width
