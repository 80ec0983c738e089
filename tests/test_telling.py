"""When a running process tells its progress, and what: by a clock that the tests set."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trimgrid.run_directory.progress_file import RunProgress, Work, read_progress
from trimgrid.runs import telling as telling_module
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.progress import Progress
from trimgrid.runs.telling import Telling


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(folder: Path) -> RunProgress:
    found = read_progress(folder)
    assert found is not None
    return found


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[RunProgress]:
    """What is written, in turn."""
    seen: list[RunProgress] = []
    write: Any = vars(telling_module)["write_progress"]

    def noted(folder: Path, progress: RunProgress) -> None:
        seen.append(progress)
        write(folder, progress)

    monkeypatch.setattr(telling_module, "write_progress", noted)
    return seen


def test_at_most_every_half_second(tmp_path: Path, writes: list[RunProgress]) -> None:
    clock = Clock()
    with Telling(tmp_path, 100, clock) as telling:
        for epoch in range(1, 21):  # an epoch every 0.125 s
            clock.now += 0.125
            telling.on_epochs(["half"], epoch, 0.5, group_ended=False)
    assert [each.epochs for each in writes] == [0, 4, 8, 12, 16, 20, 20]
    assert [each.seconds for each in writes] == [0, 0.5, 1, 1.5, 2, 2.5, 2.5]
    assert [each.state for each in writes] == [*[Work.TRAINING] * 6, Work.FINISHED]
    assert writes[-1] == told(tmp_path)


def test_the_end_of_a_group_and_of_all_training_is_told_at_once(
    tmp_path: Path, writes: list[RunProgress]
) -> None:
    clock = Clock()
    with Telling(tmp_path, 4, clock) as telling:
        telling.on_epochs([ORIGINAL], 1, 0.5, group_ended=False)
        telling.on_epochs([ORIGINAL], 2, 0.5, group_ended=True)
        telling.on_epochs(["half", "most"], 4, 0.25, group_ended=True)
    assert [(each.state, each.epochs, each.names) for each in writes] == [
        (Work.TRAINING, 0, ()),
        (Work.TRAINING, 2, (ORIGINAL,)),
        (Work.MEASURING, 4, ()),
        (Work.FINISHED, 4, ()),
    ]


def test_nothing_to_train_is_measured(tmp_path: Path, writes: list[RunProgress]) -> None:
    with Telling(tmp_path, 0, Clock()):
        pass
    assert [each.state for each in writes] == [Work.MEASURING, Work.FINISHED]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit, GeneratorExit])
def test_an_end_before_its_time(tmp_path: Path, error: type[BaseException]) -> None:
    clock = Clock()

    def stop() -> None:
        with Telling(tmp_path, 100, clock) as telling:
            clock.now += 0.25
            telling.on_epochs(["half"], 3, 0.5, group_ended=False)
            raise error

    with pytest.raises(error):
        stop()
    progress = told(tmp_path)
    assert (progress.state, progress.epochs, progress.seconds) == (Work.STOPPED, 3, 0.25)


def test_seconds_add_up_over_processes(tmp_path: Path) -> None:
    clock = Clock()
    for number in range(3):
        began = datetime.now(UTC)
        with Telling(tmp_path, 10, clock):
            assert told(tmp_path).earlier_seconds == 2.5 * number
            assert began <= told(tmp_path).began <= told(tmp_path).told <= datetime.now(UTC)
            clock.now += 2.5
        assert told(tmp_path).seconds == 2.5 * (number + 1)
    (tmp_path / "progress.json").write_text("{", encoding="utf-8")
    with Telling(tmp_path, 10, clock):
        assert told(tmp_path).seconds == 0


def test_a_full_disk_is_not_told(tmp_path: Path) -> None:
    # Writing to this device gives the error of a full disk.
    unfinished = tmp_path / f".progress.{os.getpid()}.json"
    unfinished.symlink_to("/dev/full")
    with Telling(tmp_path, 1, Clock()) as telling:
        unfinished.symlink_to("/dev/full")
        telling.on_epochs(["half"], 1, 0.5, group_ended=True)
        unfinished.symlink_to("/dev/full")
    assert list(tmp_path.iterdir()) == []


def test_many_names_are_counted(tmp_path: Path) -> None:
    names = [f"attempt {number // 2}" for number in range(20)]  # two repeats of each
    with Telling(tmp_path, 400, Clock()) as telling:
        telling.on_epochs(names, 20, None, group_ended=True)
        progress = told(tmp_path)
    assert (progress.names, progress.attempts) == (("attempt 0", "attempt 1", "attempt 2"), 10)
    assert progress.loss is None


@pytest.mark.parametrize(
    ("epochs", "pace"),
    [
        # (names, epochs of all trainings done, at that second)
        ([(ORIGINAL, 1, 5.0), (ORIGINAL, 2, 6.0), (ORIGINAL, 9, 13.0)], None),
        ([("half", 1, 5.0)], None),  # what the first epoch took was mostly the compiler's
        ([("half", 1, 5.0), ("half", 2, 6.0)], 1.0),
        ([("half", 1, 5.0), ("half", 5, 7.0)], 0.5),
        ([("half", 15, 5.0), ("half", 16, 7.0)], 2.0),  # 14 were done before the run went on
        ([("half", 2, 5.0), ("most", 3, 9.0), ("most", 4, 10.0)], 2.5),  # with its compiling
        # Before attempts train together nothing is known of them, then the first is left out.
        ([(ORIGINAL, 1, 5.0), (ORIGINAL, 2, 6.0), ("a b c d", 6, 16.0)], None),
        ([(ORIGINAL, 1, 5.0), ("a b c d", 6, 16.0), ("a b c d", 10, 18.0)], 0.5),
        # A smaller group has a pace of its own, once it is known.
        ([("a b c d", 4, 5.0), ("a b c d", 8, 7.0), ("e f", 10, 9.0)], 0.5),
        ([("a b c d", 4, 5.0), ("a b c d", 8, 7.0), ("e f", 10, 9.0), ("e f", 12, 11.0)], 1.0),
        # What begins anew, for lack of memory, counts from there.
        ([("a b c d", 40, 5.0), ("a b c d", 44, 9.0), ("a b c d", 4, 11.0)], 1.0),
        ([("a b", 40, 5.0), ("a b", 4, 11.0), ("a b", 6, 12.0)], 0.5),
    ],
)
def test_what_an_epoch_takes(
    tmp_path: Path, epochs: list[tuple[str, int, float]], pace: float | None
) -> None:
    clock = Clock()
    start = clock.now
    with Telling(tmp_path, 1000, clock) as telling:
        for names, done, second in epochs:
            clock.now = start + second
            split = [names] if names == ORIGINAL else names.split()
            telling.on_epochs(split, done, 0.5, group_ended=True)
        assert told(tmp_path).seconds_per_epoch == pace


def test_the_bar_passes_on_what_it_is_told(tmp_path: Path, writes: list[RunProgress]) -> None:
    bar = Progress(trainings=3, epochs=2, original_epochs=1, shown=False)
    with bar.told(tmp_path), bar:
        bar.on_epoch([ORIGINAL], 1, [0.5])
        bar.on_epoch(["half", "most"], 1, [0.25, float("nan")])
        bar.on_epoch(["half", "most"], 2, [float("nan"), float("inf")])
        bar.on_epoch(["late"], 1, [0.75])
        bar.on_epoch(["late"], 2, [0.5])
    assert {each.total_epochs for each in writes} == {7}
    ends = [(each.epochs, each.names, each.loss) for each in writes if each.epochs in (1, 5, 7)]
    assert ends == [(1, (ORIGINAL,), 0.5), (5, ("half", "most"), None), *[(7, (), 0.5)] * 2]


def test_nobody_is_told_without_a_folder(tmp_path: Path, writes: list[RunProgress]) -> None:
    with Progress(trainings=1, epochs=1, original_epochs=0, shown=False) as bar:
        bar.on_epoch(["half"], 1, [0.5])
    assert writes == []
