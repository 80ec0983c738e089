"""Units on a real Ray cluster of several nodes, all on this machine; nodes and workers are lost."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from tests.ray_nodes import LEFT_BEHIND, two_nodes
from trimgrid.errors import InputError, RunError
from trimgrid.executors import ray_checks, ray_tasks
from trimgrid.executors.ray_cluster import RayExecutor
from trimgrid.executors.work import (
    Again,
    Do,
    Done,
    Event,
    Executor,
    Failed,
    Resources,
    Tell,
    Told,
    Unit,
    Work,
)
from trimgrid.interruption import interruptible

ray = pytest.importorskip("ray")

# They start and lose nodes for a minute; `make test-all` has them. Runs on a cluster are in
# test_ray_runs.py, addresses without one in test_ray_addresses.py.
pytestmark = [pytest.mark.slow, *LEFT_BEHIND]
# What units do here travels by value: nodes know no tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

Act = Callable[[Any, Tell], object]
"""What a unit does: called with what is shared."""


def open_acts(shared: Any) -> Do:
    def do(act: Act, tell: Tell) -> None:
        act(shared, tell)

    return do


def events_of(acts: dict[str, Act], logs: Path, shared: Any = None, **work: Any) -> list[Event]:
    units = [Unit(id, act) for id, act in acts.items()]
    return list(RayExecutor().run(Work(open_acts, shared, **work), units, logs))


def of_unit(events: list[Event], id: str) -> list[Event]:
    return [each for each in events if each.unit.id == id]


def nothing(shared: Any, tell: Tell) -> None:
    pass


def die(shared: Any, tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_connection_of_its_own(
    tmp_path: Path, nodes: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    ray.shutdown()
    capfd.readouterr()
    handler = signal.getsignal(signal.SIGTERM)
    executor: Executor = RayExecutor(nodes.address)
    assert executor.slots == 2
    units = [Unit("a", nothing), Unit("b", die)]
    events = list(executor.run(Work(open_acts, None), units, tmp_path))
    assert [type(each) for each in of_unit(events, "b")] == [Again, Failed]
    assert of_unit(events, "a") == [Done(units[0])]
    time.sleep(1)  # for what Ray has to say of it
    assert capfd.readouterr() == ("", "")
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    _connect(nodes)


def _connect(nodes: Any) -> None:
    ray.init(nodes.address, log_to_driver=False, logging_level=logging.ERROR)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with two_nodes() as cluster:
        _connect(cluster)
        yield cluster
        ray.shutdown()


def test_units_are_done(tmp_path: Path, nodes: Any) -> None:
    def count_to(number: int, shared: dict[str, Any], tell: Tell) -> None:
        for each in range(number):
            tell(each)
        tell((os.environ["TRIMGRID_TEST"], float(shared["x"].sum()), os.getpid(), id(shared)))

    acts: dict[str, Act] = {f"u{number}": partial(count_to, number) for number in range(12)}
    shared = {"x": np.arange(200_000.0), "none": np.zeros((0, 3))}
    events = events_of(acts, tmp_path / "logs", shared, environment={"TRIMGRID_TEST": "yes"})
    processes = set()
    for number in range(12):
        *said, last, done = of_unit(events, f"u{number}")
        assert [each.message for each in said if isinstance(each, Told)] == list(range(number))
        assert isinstance(last, Told)
        assert last.message[:2] == ("yes", shared["x"].sum())
        assert isinstance(done, Done)
        processes.add(last.message[2:])
    # Each process opened the work once, and kept it: its `shared` is always the same object.
    assert len({process for process, _ in processes}) == len(processes) <= 2
    assert "TRIMGRID_TEST" not in os.environ
    assert not (tmp_path / "logs").exists()
    assert ray.is_initialized()  # the connection was there before


def test_messages_come_while_a_unit_runs(tmp_path: Path, nodes: Any) -> None:
    def wait_for(path: Path, shared: Any, tell: Tell) -> None:
        tell("waiting")
        _until(path.exists)

    unit = Unit("a", partial(wait_for, tmp_path / "go"))
    events = RayExecutor().run(Work(open_acts, None), [unit], tmp_path)
    assert next(events) == Told(unit, "waiting")
    (tmp_path / "go").touch()
    assert list(events) == [Done(unit)]


def test_what_fails_alone(tmp_path: Path, nodes: Any) -> None:
    def fail(shared: Any, tell: Tell) -> None:
        os.write(2, b"from native code\n")
        tell("before")
        raise KeyError("first\nsecond")

    def leave(shared: Any, tell: Tell) -> None:
        sys.exit("enough")

    def die_heard(times: int, marks: Path, shared: Any, tell: Tell) -> None:
        print("dying", flush=True)
        mark = marks / str(os.getpid())
        tell(mark)
        _until(mark.exists)
        if len(list(marks.iterdir())) <= times:
            os.kill(os.getpid(), signal.SIGKILL)

    logs = tmp_path / "logs"
    acts: dict[str, Act] = {
        "raises": fail,
        "exits": leave,
        "dies": partial(die_heard, 9, tmp_path / "always"),
        "dies-once": partial(die_heard, 1, tmp_path / "once"),
        "fine": nothing,
    }
    for folder in ("always", "once"):
        (tmp_path / folder).mkdir()
    units = [Unit(id, act) for id, act in acts.items()]
    events = []
    for event in RayExecutor().run(Work(open_acts, None), units, logs):
        events.append(event)
        if isinstance(event, Told) and isinstance(event.message, Path):
            event.message.touch()
    told, failed = of_unit(events, "raises")
    assert told == Told(told.unit, "before")
    assert isinstance(failed, Failed)
    assert failed.reason == "KeyError: 'first\\nsecond'."
    assert failed.log.startswith("from native code\nTraceback")
    assert failed.log.rstrip().endswith("KeyError: 'first\\nsecond'")
    assert (logs / "raises.log").read_text() == failed.log

    (failed,) = of_unit(events, "exits")
    assert isinstance(failed, Failed)
    assert failed.reason == "SystemExit: enough."

    first, again, second, failed = of_unit(events, "dies")
    assert (type(first), type(second)) == (Told, Told)
    assert again == Again(again.unit, "its worker was killed, or crashed")
    reason = "its worker was killed, or crashed, twice"
    assert failed == Failed(again.unit, reason, "dying\n" * 2)
    kinds = [type(each) for each in of_unit(events, "dies-once")]
    assert kinds == [Told, Again, Told, Done]
    assert of_unit(events, "fine") == [Done(Unit("fine", nothing))]
    assert {path.name for path in logs.iterdir()} == {"raises.log", "exits.log", "dies.log"}


def test_a_process_with_other_graphics_cards_makes_way(tmp_path: Path, nodes: Any) -> None:
    def take_card(shared: Any, tell: Tell) -> None:
        tell(os.getpid())
        os.environ["CUDA_VISIBLE_DEVICES"] = str(os.getpid())

    events = events_of(dict.fromkeys("abcd", take_card), tmp_path)
    assert sorted(type(each).__name__ for each in events) == ["Done"] * 4 + ["Told"] * 4
    assert len({each.message for each in events if isinstance(each, Told)}) == 4


def test_many_units(tmp_path: Path, nodes: Any) -> None:
    events = events_of({f"u{number}": nothing for number in range(500)}, tmp_path)
    assert all(isinstance(each, Done) for each in events)
    assert {each.unit.id for each in events} == {f"u{number}" for number in range(500)}
    assert len(events) == 500


def test_nodes_leave_and_join(tmp_path: Path, nodes: Any) -> None:
    def stay(name: str, shared: Any, tell: Tell) -> None:
        tell(ray.get_runtime_context().get_node_id())
        _until((tmp_path / "go").exists)

    extra = [nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)]
    units = [Unit(name, partial(stay, name)) for name in "abc"]
    where: dict[str, str] = {}
    run = RayExecutor().run(Work(open_acts, None), units, tmp_path)
    try:
        while len(where) < 3:
            told = next(run)
            assert isinstance(told, Told)
            where[told.unit.id] = told.message
        assert len({*where.values()}) == 3
        (lost,) = [name for name, node in where.items() if node == extra[0].node_id]
        nodes.remove_node(extra.pop(), allow_graceful=False)
        again = next(run)
        assert (again.unit.id, again) == (lost, Again(again.unit, "its node was lost"))
        extra.append(nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20))
        assert next(run) == Told(again.unit, extra[0].node_id)
        (tmp_path / "go").touch()
        assert sorted(each.unit.id for each in run if isinstance(each, Done)) == list("abc")
    finally:
        run.close()
        for node in extra:
            nodes.remove_node(node)


@pytest.mark.parametrize("interrupted", [True, False])
def test_closing_lets_workers_save(
    tmp_path: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    def train(name: str, shared: Any, tell: Tell) -> None:
        try:
            with interruptible() as interruption:
                tell("training")
                while not (interrupted and interruption.requested):
                    time.sleep(0.02)
        finally:
            (tmp_path / name).write_text(str(interruption.requested))

    monkeypatch.setattr(ray_tasks, "SECONDS_TO_SAVE", 60.0 if interrupted else 1.0)
    units = [Unit(name, partial(train, name)) for name in "abcd"]
    run = RayExecutor().run(Work(open_acts, None), units, tmp_path)
    begun = {next(run).unit.id, next(run).unit.id}
    begin = time.monotonic()
    run.close()
    if interrupted:
        assert time.monotonic() - begin < 50  # it has not waited in vain
        saved = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert saved == dict.fromkeys(begun, "True")
    else:  # its processes were ended, and there is room for other work
        assert events_of({"next": nothing}, tmp_path) == [Done(Unit("next", nothing))]
        assert list(tmp_path.iterdir()) == []


def test_a_unit_that_fits_no_node(tmp_path: Path, nodes: Any) -> None:
    asked = Resources(cpus=4, gpus=1, memory=10**15)
    with pytest.raises(
        InputError,
        match=r"Received: 4 CPUs, 1 GPU, 1e\+06 GB of memory for a unit, where nodes have 1 CPU,"
        r" 0 GPUs, .* GB of memory",
    ):
        events_of({"a": nothing}, tmp_path, resources=asked)


@pytest.mark.parametrize(
    "shared", [(each for each in "ab"), threading.Lock()], ids=["generator", "lock"]
)
def test_what_can_not_be_pickled(tmp_path: Path, nodes: Any, shared: Any) -> None:
    with pytest.raises(InputError, match=r"Received: work\.shared\['data'\], .* Give arrays"):
        events_of({"a": nothing}, tmp_path, {"data": shared})


@pytest.fixture
def module_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that no node can import, with a function in it."""
    module = types.ModuleType("only_here")
    exec("def make():\n    return {}", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    return module


def test_what_nodes_can_not_import(
    tmp_path: Path, nodes: Any, module_of_the_driver: types.ModuleType
) -> None:
    with pytest.raises(InputError, match=r"Received: No module named 'only_here'\. .*py_modules"):
        events_of({"a": nothing}, tmp_path, module_of_the_driver.make)


def test_what_can_not_be_opened(tmp_path: Path, nodes: Any) -> None:
    def open_file(shared: Any) -> Do:
        raise FileNotFoundError(f"no {shared}")

    def open_badly(shared: Any) -> Do:
        raise InputError("The data must be there.")

    def open_deadly(shared: Any) -> Do:
        os.write(2, b"no memory")
        os.kill(os.getpid(), signal.SIGKILL)
        return open_acts(shared)

    units = [Unit("a", nothing)]
    with pytest.raises(RunError, match=r"can't be opened: FileNotFoundError: no x\. See .*a\.log"):
        list(RayExecutor().run(Work(open_file, "x"), units, tmp_path))
    assert "Traceback" in (tmp_path / "a.log").read_text()
    with pytest.raises(InputError, match=r"^The data must be there\.$"):
        list(RayExecutor().run(Work(open_badly, "x"), units, tmp_path))
    with pytest.raises(RunError, match=r"ready: one was killed, or crashed, twice\. See .*a\.log"):
        list(RayExecutor().run(Work(open_deadly, "x"), units, tmp_path))
    # The process that reads the first log may be refused by a node that is busy.
    assert (tmp_path / "a.log").read_text() in ("no memory", "no memory" * 2)


def test_nodes_with_other_versions(
    tmp_path: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = os.getpid()

    def fabricated() -> dict[str, str]:
        return {"python": "3.11", "keras": "3.12.0" if os.getpid() == driver else "3.11.0"}

    monkeypatch.setattr(ray_checks, "versions", fabricated)
    with pytest.raises(
        InputError, match=r"Received: keras 3\.11\.0 on node .*, keras 3\.12.* here"
    ):
        events_of({"a": nothing}, tmp_path)


def test_nodes_without_trimgrid(
    tmp_path: Path,
    nodes: Any,
    monkeypatch: pytest.MonkeyPatch,
    module_of_the_driver: types.ModuleType,
) -> None:
    monkeypatch.setattr(ray_checks, "versions", module_of_the_driver.make)
    with pytest.raises(InputError, match=r"import trimgrid\. Received: node .*No module named"):
        events_of({"a": nothing}, tmp_path)


def test_another_address_than_that_of_the_connection(nodes: Any) -> None:
    assert RayExecutor(nodes.address).slots == 2
    with pytest.raises(InputError, match=r"connected to one cluster\. Received: .*'elsewhere:1'"):
        _ = RayExecutor("elsewhere:1").slots


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError("nothing happened for minutes")


def test_others_begin_when_the_first_is_done(tmp_path: Path, nodes: Any) -> None:
    first, *units = Unit("first", nothing), Unit("a", nothing), Unit("b", nothing)
    events = list(RayExecutor().run(Work(open_acts, None), units, tmp_path, first))
    assert events[0] == Done(first)
    assert sorted(each.unit.id for each in events) == ["a", "b", "first"]


def test_others_are_left_out_where_the_first_fails(tmp_path: Path, nodes: Any) -> None:
    events = list(
        RayExecutor().run(Work(open_acts, None), [Unit("a", nothing)], tmp_path, Unit("first", die))
    )
    assert [type(each) for each in events] == [Again, Failed]
    assert {each.unit.id for each in events} == {"first"}
