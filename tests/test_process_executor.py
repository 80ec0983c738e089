"""Units in worker processes: what is told, what is lost, what is kept, and how all of them end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.executor_units import open_deadly, open_noisily, open_worker
from trimgrid.errors import InputError, RunError
from trimgrid.executors.processes import ProcessExecutor
from trimgrid.executors.work import Again, Do, Done, Event, Failed, Tell, Told, Unit, Work


def events(
    logs: Path,
    *acts: tuple[Any, ...],
    workers: int = 2,
    shared: Any = None,
    open_with: Callable[[Any], Do] = open_worker,
    first: tuple[Any, ...] | None = None,
    **settings: Any,
) -> Generator[Event, None, None]:
    units = [Unit(f"u{place}", act) for place, act in enumerate(acts)]
    before = None if first is None else Unit("first", first)
    return ProcessExecutor(workers, seconds_to_save=5).run(
        Work(open_with, shared, **settings), units, logs, before
    )


def told(found: Sequence[Event]) -> list[Any]:
    return [each.message for each in found if isinstance(each, Told)]


def ends(found: Sequence[Event]) -> dict[str, Event]:
    """How each unit ended, after all that it told, and once."""
    ended: dict[str, Event] = {}
    for each in found:
        assert each.unit.id not in ended
        if isinstance(each, Done | Failed):
            ended[each.unit.id] = each
    return ended


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def soon(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    yield
    assert not [each for each in psutil.Process().children() if "faulthandler" in each.cmdline()]


def test_what_units_tell_comes_before_their_end(tmp_path: Path) -> None:
    acts = [("echo", place, {"array": np.arange(place * 200_000)}) for place in range(5)]
    found = list(events(tmp_path, *acts))
    assert {key: type(end) for key, end in ends(found).items()} == dict.fromkeys(
        ("u0", "u1", "u2", "u3", "u4"), Done
    )
    for unit, act in ((f"u{place}", act) for place, act in enumerate(acts)):
        mine = [each.message for each in found if isinstance(each, Told) and each.unit.id == unit]
        assert mine[0] == act[1]
        np.testing.assert_array_equal(mine[1]["array"], act[2]["array"])
    assert not list(tmp_path.iterdir())


def test_no_units() -> None:
    assert list(events(Path("nowhere"))) == []
    assert not Path("nowhere").exists()


def test_two_at_a_time(tmp_path: Path) -> None:
    """The first waits for what comes when the other is over: they run side by side."""
    mark = tmp_path / "mark"
    found = []
    for each in events(tmp_path / "logs", ("wait_for", str(mark)), ("echo", "hello")):
        found.append(each)
        if isinstance(each, Done) and each.unit.id == "u1":
            mark.touch()
    assert {key: type(end) for key, end in ends(found).items()} == {"u0": Done, "u1": Done}


def test_workers_without_a_unit_end_while_others_work(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    acts = ("surroundings", "NONE"), ("wait_for", str(mark))
    pids = []
    for each in events(tmp_path / "logs", *acts):
        if isinstance(each, Told) and each.unit.id == "u0":
            pids.append(each.message[2])
        elif isinstance(each, Done) and each.unit.id == "u0":
            assert soon(lambda: gone(pids[0]))
            mark.touch()


def test_a_unit_that_raises_fails_and_its_worker_goes_on(tmp_path: Path) -> None:
    found = list(
        events(tmp_path, ("fail", "no such layer\nin the model"), ("surroundings", "A"), workers=1)
    )
    failed, done = ends(found).values()
    assert isinstance(failed, Failed)
    assert failed.reason == "StrangeError: no such layer."
    assert failed.log.startswith("before it failed\nTraceback (most recent call last)")
    assert failed.log.endswith("StrangeError: no such layer\nin the model\n")
    assert failed.log == (tmp_path / "u0.log").read_text()
    assert isinstance(done, Done)
    assert [path.name for path in tmp_path.iterdir()] == ["u0.log"]
    assert not [each for each in found if isinstance(each, Again)]


@pytest.mark.parametrize(
    ("how", "words"), [("exit", "ended with exit code 3"), ("SIGKILL", "was killed by SIGKILL")]
)
def test_a_unit_whose_worker_dies_begins_again(tmp_path: Path, how: str, words: str) -> None:
    once, always = tmp_path / "once", tmp_path / "always"
    once.mkdir()
    always.mkdir()
    acts = [("die", how, str(once), 1), ("die", how, str(always), 9), ("echo", "hello")]
    found = list(events(tmp_path / "logs", *acts))
    again = [each for each in found if isinstance(each, Again)]
    assert {(each.unit.id, each.why) for each in again} == {
        ("u0", f"its worker {words}"),
        ("u1", f"its worker {words}"),
    }
    ended = ends(found)
    assert [type(ended[key]) for key in ("u0", "u1", "u2")] == [Done, Failed, Done]
    failed = ended["u1"]
    assert isinstance(failed, Failed)
    assert failed.reason == f"its worker {words}, twice"
    assert failed.log == "about to die\n" * 2
    assert sorted(told(found), key=str) == [0, 0, 1, 1, "hello"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["u1.log"]


def test_native_crashes_leave_a_trace(tmp_path: Path) -> None:
    found = list(events(tmp_path, ("die", "SIGSEGV", str(tmp_path), 9), workers=1))
    (failed,) = ends(found).values()
    assert isinstance(failed, Failed)
    assert failed.reason == "its worker was killed by SIGSEGV, twice"
    assert "executor_units.py" in failed.log


def test_what_a_dead_worker_forked_is_ended(tmp_path: Path) -> None:
    """It would hold the connection, on which nobody writes any more."""
    found = list(events(tmp_path, ("fork_and_die",), ("echo", 1), workers=1))
    assert [type(end) for end in ends(found).values()] == [Failed, Done]
    *forked, _ = told(found)
    assert len(forked) == 2
    assert soon(lambda: all(map(gone, forked)))


def test_a_worker_that_dies_in_the_middle_of_a_message(tmp_path: Path) -> None:
    found = []
    for each in events(tmp_path, ("die_in_the_middle",), ("echo", 1), workers=1):
        found.append(each)
        if isinstance(each, Told) and each.unit.id == "u0":
            time.sleep(0.6)  # meanwhile nobody reads
    assert [type(end) for end in ends(found).values()] == [Failed, Done]
    assert told(found) == ["a long one comes"] * 2 + [1]


def test_opening_that_raises_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"can't be opened: StrangeError: no model\. See .*u[01]\.log$"
    ):
        list(events(tmp_path, ("echo", 1), ("echo", 2), shared="model", open_with=open_noisily))
    (log,) = tmp_path.iterdir()
    assert log.read_text().startswith("opening\nTraceback")
    assert log.read_text().endswith("StrangeError: no model\nand more\n")


def test_opening_that_dies_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    acts = [("echo", place) for place in range(4)]
    shared = (str(marks), 1)
    found = list(events(tmp_path, *acts, workers=1, shared=shared, open_with=open_deadly))
    assert isinstance(found[0], Again)
    assert told(found) == [0, 1, 2, 3]


def test_opening_that_always_dies_ends_the_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    acts = [("echo", place) for place in range(100)]
    shared = (str(marks), 1000)
    with pytest.raises(RunError, match=r"before they are ready: one was killed by SIGKILL, twice"):
        list(events(tmp_path / "logs", *acts, shared=shared, open_with=open_deadly))
    assert len(list(marks.iterdir())) <= 4
    (log,) = (tmp_path / "logs").iterdir()
    assert log.read_text() == "no memory" * 2


@pytest.mark.parametrize("place", ["shared", "unit"])
def test_what_cannot_travel(tmp_path: Path, place: str) -> None:
    generator = (each for each in "ab")
    message = r"Received: {}, cannot pickle 'generator' object\. Give arrays, or a function"
    if place == "shared":
        found = events(tmp_path, ("echo", 1), shared={"model": 1, "data": [2, generator]})
        where = r"work\.shared\['data'\]\[1\]"
    else:
        found = events(tmp_path, ("echo", 1), ("echo", generator))
        where = r"unit u1\[1\]"
    with pytest.raises(InputError, match=message.format(where)):
        next(found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["shared", "unit"])
def test_what_a_worker_cannot_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "only_here.py").write_text("class Layer: pass\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        layer = __import__("only_here").Layer()
    acts = [("echo", layer if place == "unit" else 1)]
    with pytest.raises(InputError, match=r"importable there\. Received: No module named 'only_her"):
        list(events(tmp_path / "logs", *acts, shared=layer if place == "shared" else None))


def test_where_the_driver_looks_for_modules_workers_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_script.py").write_text("class Layer: units = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    layer = __import__("beside_the_script").Layer()
    (message, *_) = told(list(events(tmp_path / "logs", ("echo", layer))))
    assert message.units == 3
    assert type(message) is type(layer)


def test_functions_travel_by_value(tmp_path: Path) -> None:
    outside = 10

    def open_here(shared: int) -> Do:
        def do(number: int, tell: Tell) -> None:
            tell(shared + number + outside)

        return do

    units = [Unit("u", 1)]
    assert told(list(ProcessExecutor(1).run(Work(open_here, 100), units, tmp_path))) == [111]


def test_environment_and_cores_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.sched_getaffinity(0))
    acts = [("surroundings", "TRIMGRID_TEST")] * 3
    environment = {"TRIMGRID_TEST": "set"}
    found = told(list(events(tmp_path, *acts, workers=2, environment=environment)))
    assert {value for value, *_ in found} == {"set"}
    shares = {tuple(cores) for _, cores, *_ in found}
    assert {len(share) for share in shares} == {max(1, len(before) // 2)}
    assert len({core for share in shares for core in share}) == min(len(before), 2 * len(shares))
    assert all(pid == session for *_, pid, session in found)
    assert "TRIMGRID_TEST" not in os.environ
    assert sorted(os.sched_getaffinity(0)) == before


def test_workers_map_one_file(tmp_path: Path) -> None:
    """Writable arrays, of which each worker changes its own."""
    array = np.ones(500_000)
    found = told(list(events(tmp_path, *[("sum_and_change",)] * 2, shared={"array": array})))
    assert [total for total, *_ in found] == [array.size] * 2
    assert len({file for _, file, _ in found}) == 1
    assert "/trimgrid-" in found[0][1]
    assert {rest for *_, rest in found} == {0}
    assert array.sum() == array.size
    assert not Path(found[0][1]).parent.exists()


@pytest.mark.parametrize("ended_too", [False, True])
def test_closing_lets_workers_save(tmp_path: Path, ended_too: bool) -> None:
    """Also where they are ended from outside at the same time, as all processes of a job are."""
    with closing(events(tmp_path / "logs", *[("train", str(tmp_path))] * 3)) as running:
        for _ in running:
            began = list(tmp_path.glob("*.began"))
            if len(began) == 2:
                for each in began if ended_too else ():
                    os.kill(int(each.stem), signal.SIGTERM)
                time.sleep(0.1 if ended_too else 0)  # or the two signals may be one
                break
    assert len(list(tmp_path.glob("*.saved"))) == 2
    assert not list((tmp_path / "logs").iterdir())


def test_a_worker_that_does_not_end_is_ended(tmp_path: Path) -> None:
    units = [Unit("u", ("hold_on", str(tmp_path)))]
    executor = ProcessExecutor(1, seconds_to_save=0.3)
    running = executor.run(Work(open_worker, None), units, tmp_path / "logs")
    first = next(running)
    assert isinstance(first, Told)
    running.close()
    assert soon(lambda: gone(first.message))


SCRIPT = """
import sys
from pathlib import Path
from tests.executor_units import ACTS
from trimgrid.executors.processes import ProcessExecutor
from trimgrid.executors.work import Unit, Work

print("started", flush=True)

class Name:  # of the script itself
    def __init__(self, text):
        self.text = text

def open_mine(shared):
    def do(name, tell):
        if name.text == "train":
            ACTS["train"](shared, tell, sys.argv[1])
        tell(Name(name.text + shared))
    return do

import sys as arguments
work = Work(open_mine, "!")
units = [Unit(text, Name(text)) for text in arguments.argv[2:]]
for event in ProcessExecutor(2).run(work, units, Path(arguments.argv[1], "logs")):
    message = getattr(event, "message", None)
    if isinstance(message, Name):
        print(message.text, flush=True)
"""


def script(folder: Path, *texts: str) -> subprocess.Popen[str]:
    file = folder / "script.py"
    file.write_text(SCRIPT.replace("sys.argv[1])", f"{str(folder)!r})"))
    return subprocess.Popen(
        [sys.executable, str(file), str(folder), *texts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)},
        start_new_session=True,
    )


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    said, errors = script(tmp_path, "a", "b").communicate(timeout=60)
    assert errors == ""
    assert said.split()[0] == "started"
    assert sorted(said.split()[1:]) == ["a!", "b!"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_when_the_driver_does(tmp_path: Path, number: signal.Signals) -> None:
    process = script(tmp_path, "train", "train")
    assert soon(lambda: len(list(tmp_path.glob("*.began"))) == 2)
    workers = [int(path.stem) for path in tmp_path.glob("*.began")]
    os.killpg(process.pid, number)  # as a terminal does: workers are not in this group
    assert soon(lambda: all(map(gone, workers)))
    assert len(list(tmp_path.glob("*.saved"))) == 2
    said, errors = process.communicate(timeout=60)
    assert said == "started\n"
    if number == signal.SIGINT:
        assert errors.count("Traceback") == 1
        assert errors.endswith("KeyboardInterrupt\n")


def test_a_worker_ended_from_outside_saves_and_its_unit_begins_again(tmp_path: Path) -> None:
    running = events(tmp_path / "logs", ("train", str(tmp_path)), workers=1)
    for each in running:
        if isinstance(each, Told) and each.message != "saved":
            (began,) = tmp_path.glob("*.began")
            os.kill(int(began.stem), signal.SIGTERM)
            break
    again = next(each for each in running if isinstance(each, Again))
    assert again.why == "its worker was killed by SIGTERM"
    assert len(list(tmp_path.glob("*.saved"))) == 1
    running.close()


def test_many_units(tmp_path: Path) -> None:
    """The time for one is the median, which does not mind what else the machine does."""
    found, times = [], []
    for each in events(tmp_path, *[("echo",)] * 1000):
        found.append(each)
        times.append(time.monotonic())
    assert len(ends(found)) == 1000
    assert np.median(np.diff(times)) < 0.02
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers must be an integer of at least 1. Received: workers=0"),
        ({"workers": 1.5}, "Received: workers=1.5"),
        ({"workers": 1, "seconds_to_save": 0}, "Received: seconds_to_save=0"),
        ({"workers": 1, "seconds_to_save": float("nan")}, "Received: seconds_to_save=nan"),
        ({"workers": 1, "seconds_to_save": float("inf")}, "Received: seconds_to_save=inf"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProcessExecutor(**arguments)


def test_others_begin_when_the_first_is_done(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    first = ("die", "SIGKILL", str(marks), 1)
    found = list(events(tmp_path / "logs", ("echo", "a"), ("echo", "b"), first=first))
    done = [each.unit.id for each in found if isinstance(each, Done)]
    assert done[0] == "first"
    assert sorted(done) == ["first", "u0", "u1"]
    assert [each.unit.id for each in found if isinstance(each, Again)] == ["first"]


@pytest.mark.parametrize("first", [("fail", "no"), ("die", "exit", "marks", 9)])
def test_others_are_left_out_where_the_first_fails(tmp_path: Path, first: Any) -> None:
    (tmp_path / "marks").mkdir()
    first = tuple(str(tmp_path / "marks") if each == "marks" else each for each in first)
    acts = [("echo", place) for place in range(3)]
    found = list(events(tmp_path / "logs", *acts, first=first))
    assert {each.unit.id for each in found} == {"first"}
    assert isinstance(found[-1], Failed)
    assert [each.name for each in (tmp_path / "logs").iterdir()] == ["first.log"]
