"""Folders in a storage: their copies, the order in which they are written, and who may write."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from tests.failing_storage import Killed, Writes, moved_files
from trimgrid.errors import InputError, RunError
from trimgrid.storage import filesystem, lease
from trimgrid.storage.copies import another_copy, mirror_at, mirror_of, shown
from trimgrid.storage.filesystem import Storage
from trimgrid.storage.index import Entry, Index
from trimgrid.storage.layout import Layout
from trimgrid.storage.lease import HeldError, Lease
from trimgrid.storage.mirror import Mirror
from trimgrid.storage.turns import is_locked, turn
from trimgrid.storage.urls import clean_url, is_elsewhere, name_of, plain_path

LAYOUT = Layout(
    head="head",
    seal="seal",
    lock="lock",
    always=("always",),
    sent=lambda path: not path.startswith("work/"),
    wanted=lambda path, writing: writing or not path.endswith("large"),
)
NUMBERS = count()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(filesystem, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(lease, "_SETTLES", 0.0)
    return f"memory://bucket{next(NUMBERS)}/run"


@pytest.fixture
def machine(tmp_path: Path, url: str) -> Callable[[str], Mirror]:
    """A mirror of the same URL on another machine, by the machine's name."""
    return lambda name: Mirror(url, tmp_path / name, "run", LAYOUT)


def there(url: str) -> dict[str, str]:
    """What the storage has."""
    storage = Storage(url)
    return {path: (storage.read(path) or b"").decode() for path in storage.listing()}


def here(mirror: Mirror) -> dict[str, str]:
    """What a copy has."""
    files = [path for path in mirror.folder.rglob("*") if path.is_file()]
    return {path.relative_to(mirror.folder).as_posix(): path.read_text() for path in files}


def fill(mirror: Mirror, files: dict[str, str]) -> None:
    mirror.place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = mirror.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def begun(mirror: Mirror) -> Mirror:
    """A mirror whose machine writes."""
    mirror.place.mkdir(parents=True, exist_ok=True)
    mirror.fetch(writing=True)
    mirror.begin(time.time_ns())
    return mirror


FILES = {"head": "plan", "a/seal": "whole", "a/data": "1", "a/large": "2", "always/x": "3"}


@pytest.mark.parametrize(
    ("path", "elsewhere"),
    [
        ("s3://bucket/run", True),
        ("memory://run", True),
        ("simplecache::s3://bucket/run", True),
        ("GS://bucket", True),
        ("file:///runs/m", False),
        ("local:///runs/m", False),
        ("runs/m", False),
        ("/runs/a: b", False),
        ("C:/runs", False),
        ("://", False),
        (Path("runs"), False),
    ],
)
def test_what_is_elsewhere(path: str | Path, elsewhere: bool) -> None:
    assert is_elsewhere(path) is elsewhere


def test_a_url_that_is_no_text_any_more_is_told() -> None:
    with pytest.raises(InputError, match="Give 's3://bucket/run'"):
        is_elsewhere(Path("s3://bucket/run"))


def test_a_folder_may_look_like_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert not is_elsewhere(Path("s3:/bucket"))


def test_names_of_urls() -> None:
    assert plain_path("file:///runs/my%20run") == Path("/runs/my run")
    assert plain_path("runs/a%20b") == Path("runs/a%20b")
    assert clean_url("s3://bucket/run//") == "s3://bucket/run"
    assert [name_of(each) for each in ("s3://b/run", "s3://b", "memory://..", "s3://b/a:b")] == [
        *("run", "b", "run", "a_b")
    ]


def test_a_copy_is_what_was_sent(machine: Callable[[str], Mirror], url: str) -> None:
    first = begun(machine("first"))
    fill(first, {**FILES, "work/x": "no", "lock": "no", "a/lock": "no"})
    first.push()
    first.end()
    assert there(url) == FILES
    second = machine("second")
    second.fetch()
    assert here(second) == {name: FILES[name] for name in FILES if name != "a/large"}
    second.present(second.folder / "a/large")
    second.present(second.folder / "a/none")
    assert here(second) == FILES


def test_a_copy_is_not_trusted(machine: Callable[[str], Mirror], url: str) -> None:
    copy = begun(machine("first"))
    fill(copy, FILES)
    copy.end()
    fill(copy, {"a/data": "changed", "b/seal": "new"})
    (copy.folder / "head").unlink()
    (copy.place / "index").write_text("torn", encoding="utf-8")
    machine("first").fetch(writing=True)
    assert here(copy) == there(url) == FILES


def test_only_what_changed_is_fetched_and_sent(
    machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = moved_files(monkeypatch)
    first = begun(machine("first"))
    fill(first, FILES)
    first.end()
    moved.clear()
    first.end()
    again = begun(machine("first"))
    assert moved == []
    fill(again, {"a/data": "4"})
    again.push(again.folder / "a")
    assert sorted(moved) == ["a/data", "a/seal"]
    again.end()
    moved.clear()
    second = machine("second")
    second.fetch()
    assert sorted(moved) == ["a/data", "a/seal", "always/x", "head"]
    fill(begun(again), {"head": "more"})
    again.end()
    moved.clear()
    second.fetch()
    assert moved == ["head"]


def test_what_the_storage_lost_goes(machine: Callable[[str], Mirror]) -> None:
    first = begun(machine("first"))
    fill(first, FILES)
    first.end()
    second = machine("second")
    second.fetch()
    first.storage.remove(["a/seal", "a/data"])
    second.fetch()
    assert here(second) == {"head": "plan", "always/x": "3"}


def test_a_folder_that_was_removed_goes_whole(machine: Callable[[str], Mirror], url: str) -> None:
    """Also what of it was never fetched."""
    first = begun(machine("first"))
    fill(first, FILES)
    first.end()
    second = machine("second")
    second.fetch()
    second.begin(time.time_ns())
    assert "a/large" not in here(second)
    second.push()
    assert there(url) == FILES, "what was not fetched stays"
    for path in (second.folder / "a").iterdir():
        path.unlink()
    (second.folder / "a").rmdir()
    second.push(second.folder / "a")
    assert there(url) == {"head": "plan", "always/x": "3"}


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writes]:
    found = Writes(monkeypatch)
    yield found
    found.fail_after(None)


def test_the_order_of_what_is_sent(machine: Callable[[str], Mirror], writes: Writes) -> None:
    done = writes.done
    mirror = begun(machine("first"))
    fill(mirror, {**FILES, "old": "0", "always/old": "0"})
    mirror.push()
    assert done[-2:] == ["put head", "put a/seal"]
    done.clear()
    fill(mirror, {"head": "other", "a/data": "5", "b/seal": "s", "b/data": "d", "always/new": "1"})
    (mirror.folder / "old").unlink()
    (mirror.folder / "always/old").unlink()
    mirror.push()
    assert sorted(done[:2]) == ["rm a/seal", "rm old"]
    assert sorted(done[2:5]) == [f"put {name}" for name in ("a/data", "always/new", "b/data")]
    assert done[5:] == [*("put head", "put a/seal", "put b/seal", "rm always/old")]
    done.clear()
    fill(mirror, {"a/seal": "changed alone"})
    mirror.push(mirror.folder / "a/seal")
    assert done == ["put a/seal"]


def test_sealed_folders_are_whole_wherever_it_is_killed(
    machine: Callable[[str], Mirror], url: str, writes: Writes
) -> None:
    """A seal says what the folder's file must be; so a reader sees if both do not fit."""
    first = begun(machine("first"))
    fill(first, {"head": "0", "a/data": "0", "a/seal": "0"})
    first.end()
    begun(first)
    for moment in range(12):
        wanted = str(moment + 1)
        fill(first, {"head": wanted, "a/data": wanted, "a/seal": wanted, f"b{wanted}/data": "x"})
        writes.fail_after(moment % 5)
        with pytest.raises(Killed):
            first.push()
        writes.fail_after(None)
        found = there(url)
        if "a/seal" in found:
            assert found["a/seal"] == found["a/data"]
        first = machine("first")  # a new process, which sends what the killed one did not
        begun(first)
        first.push()
        assert there(url) == here(first)
        assert there(url)["a/seal"] == wanted


def test_unsent_work_is_kept_where_nobody_else_wrote(
    machine: Callable[[str], Mirror], url: str
) -> None:
    first = begun(machine("first"))
    fill(first, FILES)
    first.push()
    fill(first, {"a/data": "newer", "new": "x"})
    (first.folder / "always/x").unlink()
    reader = machine("first")
    reader.fetch()
    assert here(reader)["a/data"] == "newer", "reading loses nothing"
    again = begun(machine("first"))
    again.end()
    assert there(url) == {
        **{"head": "plan", "a/seal": "whole", "a/data": "newer", "a/large": "2"},
        "new": "x",
    }


def test_where_both_wrote_the_storage_wins_but_for_what_was_finished(
    machine: Callable[[str], Mirror], url: str
) -> None:
    first = begun(machine("first"))
    fill(first, FILES)
    first.end()
    begun(first)
    fill(first, {"head": "mine", "a/data": "mine", "b/data": "mine", "b/seal": "mine"})
    second = begun(machine("second"))
    fill(second, {"head": "theirs", "a/data": "theirs", "b/data": "theirs"})
    second.end()
    again = begun(machine("first"))
    again.end()
    found = there(url)
    assert (found["head"], found["a/data"]) == ("theirs", "theirs")
    assert (found["b/data"], found["b/seal"]) == ("mine", "mine"), "whole, and not there"


def test_while_it_writes_a_process_may_fetch_what_others_added(
    machine: Callable[[str], Mirror], url: str
) -> None:
    """As a driver does, whose workers finish folders of their own."""
    driver = begun(machine("driver"))
    fill(driver, {"head": "plan", "a/data": "mine", "a/seal": "mine"})
    driver.push()
    worker = machine("worker")
    worker.fetch("a")
    assert here(worker) == {"a/data": "mine", "a/seal": "mine"}
    fill(worker, {"b/data": "its", "b/seal": "its", "head": "not its"})
    worker.push(worker.folder / "b")
    assert there(url)["head"] == "plan"
    fill(driver, {"c/data": "under way"})
    driver.fetch("b")
    driver.fetch()
    assert here(driver)["b/seal"] == "its"
    driver.end()
    assert there(url) == here(driver)
    assert here(driver)["c/data"] == "under way"


def test_a_folder_without_a_head_is_left_alone(machine: Callable[[str], Mirror]) -> None:
    mirror = machine("first")
    mirror.storage.write("notes.txt", b"mine")
    mirror.storage.write("lock", b"x")
    mirror.fetch()
    assert (here(mirror), mirror.others) == ({}, ["notes.txt"])


def test_names_that_lead_out_of_the_copy_are_left_alone(
    machine: Callable[[str], Mirror], tmp_path: Path
) -> None:
    mirror = machine("first")
    for name in ("head", "a/../../../evil", "a\\b", "a/./c"):
        mirror.storage._fs.store[f"{mirror.storage._root}/{name}"] = _memory_file(b"x")
    mirror.fetch(writing=True)
    assert here(mirror) == {"head": "x"}
    assert not list(tmp_path.rglob("evil"))


def _memory_file(content: bytes) -> Any:
    from fsspec.implementations.memory import MemoryFile

    return MemoryFile(data=content)


def test_other_storages_write_under_another_name(
    machine: Callable[[str], Mirror], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in which half a file can be seen."""
    seen: list[str] = []
    put, move = MemoryFileSystem.put_file, MemoryFileSystem.mv

    def noted_put(self: Any, source: str, target: str, **more: Any) -> None:
        seen.append(target)
        put(self, source, target, **more)

    def noted_move(self: Any, source: str, target: str) -> None:
        seen.append(target)
        move(self, source, target)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted_put)
    monkeypatch.setattr(MemoryFileSystem, "mv", noted_move)
    monkeypatch.setattr(filesystem, "_WHOLE_OBJECTS", set())
    mirror = begun(machine("first"))
    fill(mirror, {"head": "1"})
    mirror.end()
    assert [Path(each).name.rstrip("0123456789") for each in seen] == [".head.", "head"]
    assert there(url) == {"head": "1"}


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PermissionError("Access Denied"), "Access Denied.*credentials allow to read and write"),
        (FileNotFoundError("The specified bucket does not exist"), "Make the bucket first"),
        (ConnectionError("no route\nto host"), r"no route\.\) Check the address and the network"),
        (type("NoCredentialsError", (Exception,), {})("none found"), "AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_can_not_be_reached_is_told_at_once(
    error: Exception, remedy: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fails)
    with pytest.raises(InputError, match=f"Received: '{url}'.*{remedy}"):
        Storage(url).write("x", b"")


def test_what_fails_later_is_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, write = Storage(url), MemoryFileSystem.pipe_file
    storage.write("x", b"1")
    failures: list[int] = []

    def fails(self: Any, *rest: Any, **more: Any) -> Any:
        if len(failures) < limit:
            failures.append(1)
            raise ConnectionResetError("connection lost")
        return write(self, *rest, **more)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fails)
    limit = 2
    storage.write("x", b"2")
    assert storage.read("x") == b"2"
    limit = 99
    with pytest.raises(OSError, match=r"connection lost.*kept on this machine") as raised:
        storage.write("x", b"3")
    assert raised.value.filename == url
    assert len(failures) == 5


def test_a_url_that_nobody_knows() -> None:
    with pytest.raises(InputError, match="Protocol not known: nowhere"):
        Storage("nowhere://bucket/run")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[s3\]'"):
        Storage("s3://bucket/run")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[storage\]'"):
        Storage("memory://bucket/run")


def test_copies_have_a_place_by_their_url(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path))
    mirror = mirror_at(f"{url}/", LAYOUT)
    assert mirror is mirror_at(url, LAYOUT)
    assert mirror is mirror_of(mirror.folder / "a/b", LAYOUT)
    assert mirror_of(tmp_path / "storage", LAYOUT) is None
    assert mirror_of(mirror.place, LAYOUT) is None
    assert mirror_of(Path("runs/m"), LAYOUT) is None
    assert (shown(mirror.folder), shown(mirror.folder / "a/b")) == (url, f"{url}/a/b")
    assert shown(Path("runs/m")) == "runs/m"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other")
    assert mirror_at(url, LAYOUT).place != mirror.place, "another server"


def test_another_copy_is_gone_afterwards(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path))
    with another_copy(url, LAYOUT) as one, another_copy(url, LAYOUT) as other:
        assert one.folder != other.folder
        assert mirror_of(one.folder, LAYOUT) is one
        assert shown(other.folder) == url
    assert not one.place.exists()
    assert mirror_of(tmp_path, LAYOUT) is None, "nothing is read of copies that are gone"


def test_an_index_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.put({"a": Entry("1 x", (1, 2)), "b": Entry("2 y", None)})
    with (tmp_path / "index").open("a") as file:
        file.write('["c", "3 z"')
    index = Index(tmp_path / "index")
    index.begin(4711)
    index.drop(["b"])
    again = Index(tmp_path / "index")
    assert (again.entries, again.since) == ({"a": Entry("1 x", (1, 2))}, 4711)
    again.begin(4712)
    assert again.since == 4711, "what was not sent before still counts"
    again.end()
    assert Index(tmp_path / "index").since is None


@given(
    paths=st.sets(st.sampled_from(["a", "b/c", "b/d", "b/e/f", "bb/c", "g/h/i/j", "g/h/k"])),
    dropped=st.sets(st.sampled_from(["a", "b/c", "b/e/f", "g/h/k", "none"])),
    places=st.lists(st.sampled_from([".", "a", "b", "b/c", "b/e", "g", "g/h", "none"])),
)
def test_an_index_finds_what_lies_in_folders(
    paths: set[str], dropped: set[str], places: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder, "index"))
        index.put({path: Entry("1 x", None) for path in paths})
        index.drop(sorted(dropped))
        index.put({path: Entry("1 y", None) for path in paths & {"b/c", "g/h/k"}})
    left = (paths - dropped) | (paths & {"b/c", "g/h/k"})
    expected = {
        path
        for path in left
        for each in places
        if ("/" not in path if each == "." else f"{path}/".startswith(f"{each}/"))
    }
    assert set(index.under(places)) == (expected if places else left)


@pytest.mark.parametrize("text", ["", "\0\0\0", "[]\n{}\n7\n", '{"since": "x"}\n["a", 1, [2]]'])
def test_a_damaged_index_is_an_empty_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "index").write_text(text, encoding="utf-8")
    index = Index(tmp_path / "index")
    assert (index.entries, index.since) == ({}, None)


def test_turns_are_taken(tmp_path: Path) -> None:
    seen: list[str] = []

    def other() -> None:
        with turn(tmp_path):
            seen.append("other")

    with turn(tmp_path):
        assert is_locked(tmp_path / "turn")
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)
        seen.append("one")
    thread.join(5)
    assert seen == ["one", "other"]
    assert not is_locked(tmp_path / "turn")


def a_lease(url: str, machine: str, **more: Any) -> Lease:
    return Lease(Storage(url), "lock", {"pid": 1, "host": machine}, machine, **more)


def test_a_lease_is_one_process(url: str) -> None:
    held = a_lease(url, "one")
    held.take()
    with pytest.raises(HeldError) as raised:
        a_lease(url, "two").take()
    assert json.loads(raised.value.content)["host"] == "one"
    held.check()
    held.give_back()
    assert there(url) == {}
    next_one = a_lease(url, "two")
    next_one.take()
    next_one.give_back()


def test_a_lease_of_the_same_machine_is_of_a_process_that_is_gone(url: str) -> None:
    killed = a_lease(url, "one")
    killed.take()
    again = a_lease(url, "one")
    again.take()
    again.check()
    killed.give_back()
    assert json.loads(there(url)["lock"])["token"] == again._token, "not its any more"
    again.give_back()


def test_a_lease_is_renewed_and_taken_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "EVERY", 0.02)
    monkeypatch.setattr(lease, "LASTS", 0.3)
    calls: list[int] = []
    held = a_lease(url, "one", meanwhile=lambda: calls.append(1))
    held.take()
    time.sleep(0.5)
    with pytest.raises(HeldError):
        a_lease(url, "two").take()
    assert calls
    held._ended.set()  # as a kill would
    assert held._thread is not None
    held._thread.join()
    time.sleep(0.4)
    other = a_lease(url, "two")
    other.take()
    with pytest.raises(RunError, match=rf"taken over '{url}'"):
        held.check()
    held.give_back()
    other.check()
    other.give_back()
    assert there(url) == {}


def test_a_damaged_lease_is_one_like_others(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Storage(url).write("lock", b"")
    with pytest.raises(HeldError):
        a_lease(url, "one").take()
    monkeypatch.setattr(lease, "LASTS", -1.0)
    taken = a_lease(url, "one")
    taken.take()
    taken.give_back()


def test_without_a_clock_nothing_is_taken_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_clock(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(MemoryFileSystem, "modified", no_clock)
    monkeypatch.setattr(lease, "LASTS", -1.0)
    Storage(url).write("lock", b"{}")
    with pytest.raises(HeldError):
        a_lease(url, "one").take()
