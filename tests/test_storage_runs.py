"""Run directories in a storage: written, killed, read and gone on with, here and elsewhere."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.fabricated import ORIGINAL, TABLE, make_run
from tests.failing_storage import Killed, Writes, moved_files
from tests.test_store_survives import COLUMNS, PLANNED, PREDICTIONS, write
from trimgrid import Study, expand_grid, load_results
from trimgrid.cli import main
from trimgrid.errors import InputError, RunError
from trimgrid.run_directory import elsewhere
from trimgrid.run_directory.attempt_files import add_export
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.run_directory.elsewhere import local_folder, push, worker_copy
from trimgrid.run_directory.lock import RunLock
from trimgrid.run_directory.store import RunDirectory, remove_attempt
from trimgrid.runs import run_options
from trimgrid.runs.results import find_results, recorded_backend
from trimgrid.storage import filesystem, lease
from trimgrid.storage.filesystem import Storage

NUMBERS = count()
SETTINGS = {"epochs": 3}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Go on as on another machine, of another name: nothing is there of what the others have."""
    monkeypatch.setattr(filesystem, "WAITS", (0.0,))
    monkeypatch.setattr(lease, "_SETTLES", 0.0)

    def go_to(name: str) -> None:
        monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path / name))

    go_to("here")
    return go_to


@pytest.fixture
def url(machine: Callable[[str], None]) -> str:
    return f"memory://runs{next(NUMBERS)}/run"


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


def there(url: str) -> dict[str, bytes]:
    storage = Storage(url)
    return {path: storage.read(path) or b"" for path in storage.listing()}


def check_readable(url: str) -> int:
    """Check that each finished attempt is whole; count them."""
    if find_results(url) is None:
        return 0
    results = load_results(url)
    for attempt in results:
        assert attempt.status == "ok"
        assert attempt.history == COLUMNS
        np.testing.assert_array_equal(attempt.y_pred, PREDICTIONS)
    return len(results)


def work(url: str, removed: str | None = PLANNED[1].name) -> None:
    """Plan, finish, export, save, remove and plan again."""
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED[:2])
        checkpoints = Checkpoints(run.checkpoints, every=0)
        checkpoints.forget(id for id in checkpoints.ids if id == "x" or run.is_finished(id))
        for each in PLANNED[:2]:
            if not run.is_finished(each.id):
                checkpoints.save([each.id], 1, [np.zeros((1, 2))], {})
                checkpoints.save([each.id, "x"], 2, [np.zeros((2, 2))], {})
                write(run, each)
                checkpoints.forget([each.id, "x"])
        add_export(run.attempt_folder(PLANNED[0].id), {"file": "model.tflite"})
        if removed is not None:
            run.rm(removed)
        run.plan(PLANNED[:3])
        for each in PLANNED[:3]:
            if not run.is_finished(each.id):
                write(run, each)


def test_a_run_in_a_storage(url: str, machine: Callable[[str], None]) -> None:
    assert find_results(url) is None
    assert recorded_backend(url) is None
    work(url)
    assert not {name for name in there(url) if "lock" in name or "checkpoints" in name}
    machine("there")
    assert check_readable(url) == 3
    assert load_results(url)[0].exports == [{"file": "model.tflite"}]
    assert (repr(load_results(url))) == f"<Results of '{url}': 3 finished, 0 unfinished>"
    remove_attempt(url, PLANNED[2].name)
    with RunDirectory(local_folder(f"{url}/"), SETTINGS, {}) as run:
        assert run.planned == PLANNED[:2]
    machine("here")
    assert check_readable(url) == 2
    assert not [name for name in there(url) if PLANNED[2].id in name.split("/")]


def test_a_kill_after_any_write_is_harmless(
    url: str,
    machine: Callable[[str], None],
    writes: Writes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work(f"{url}/expected/run", removed=None)
    expected = there(f"{url}/expected/run")
    seen = set()
    for moment in count():
        place = f"{url}/{moment}/run"
        machine(f"here{moment}")
        local_folder(place)
        writes.fail_after(moment)
        try:
            work(place)
        except Killed:
            pass
        else:
            break
        finally:
            writes.fail_after(None)
        machine(f"there{moment}")
        seen.add(check_readable(place))
        if moment % 2:  # goes on there, after a minute
            with monkeypatch.context() as patch:
                patch.setattr(lease, "LASTS", -1.0)
                work(place, removed=None)
        else:
            machine(f"here{moment}")
            check_readable(place)
            work(place, removed=None)
        machine(f"third{moment}")
        assert check_readable(place) == 3
        assert there(place).keys() == expected.keys()
    assert moment > 30
    assert seen == {0, 1, 2, 3}


def test_another_machine_is_refused_and_this_one_goes_on_after_a_kill(
    url: str, machine: Callable[[str], None], writes: Writes
) -> None:
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED)
        message = f"'{url}', in use by process .*which is this one, on {socket.gethostname()}"
        with pytest.raises(InputError, match=message):
            RunDirectory(local_folder(url), SETTINGS, {}).__enter__()
        machine("there")
        with pytest.raises(InputError, match=f"{message}.*try again in a minute"):
            RunDirectory(local_folder(url), SETTINGS, {}).__enter__()
        assert len(load_results(url).unfinished) == len(PLANNED), "others may read"
        machine("here")
        writes.fail_after(0)
        with pytest.raises(Killed):
            run.plan([*PLANNED, type(PLANNED[0])("ff", "more", {})])
        with pytest.raises(Killed):
            run.__exit__(Killed)
        writes.fail_after(None)
        with RunDirectory(local_folder(url), SETTINGS, {}) as again:
            assert again.planned == PLANNED
        run._lock = RunLock(run.folder)  # what is left of the killed one has nothing to give back
        run._lock.__enter__()


def test_a_run_that_was_taken_over_writes_nothing_more(
    url: str, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(local_folder(url), SETTINGS, {}).__enter__()
    run.plan(PLANNED)
    machine("there")
    with monkeypatch.context() as patch:
        patch.setattr(lease, "LASTS", -1.0)
        other = RunDirectory(local_folder(url), SETTINGS, {}).__enter__()
        write(other, PLANNED[0])
        before = there(url)
        machine("here")
        with pytest.raises(RunError, match=f"taken over '{url}'"):
            write(run, PLANNED[1])
        with pytest.raises(RunError, match=f"taken over '{url}'"):
            run.__exit__()
        assert there(url) == before
    machine("there")
    other.__exit__()
    machine("third")
    assert check_readable(url) == 1


def test_exports_of_two_machines_are_all_kept(url: str, machine: Callable[[str], None]) -> None:
    work(url)
    folders = {}
    for name in ("one", "two"):
        machine(name)
        folders[name] = load_results(url)[0].folder
    for name, folder in folders.items():
        machine(name)
        with RunLock(folder):
            add_export(folder, {"file": f"{name}.tflite"})
    machine("three")
    files = [each["file"] for each in load_results(url)[0].exports]
    assert files == ["model.tflite", "one.tflite", "two.tflite"]
    assert not [name for name in there(url) if "lock" in name]


def test_an_export_while_the_run_goes_on(url: str, machine: Callable[[str], None]) -> None:
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED[:2])
        write(run, PLANNED[0])
        machine("there")
        folder = load_results(url)[0].folder
        with RunLock(folder):
            add_export(folder, {"file": "small.tflite"})
        machine("here")
        write(run, PLANNED[1])
    assert [each["file"] for each in load_results(url)[0].exports] == ["small.tflite"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("notes.txt", "not a run directory and holds 'notes.txt'"), ("lock", "in use by another")],
)
def test_a_folder_that_holds_something_else(url: str, name: str, message: str) -> None:
    Storage(url).write(name, b"mine")
    with pytest.raises(InputError, match=f"Received: '{url}', .*{message}"):
        RunDirectory(local_folder(url), SETTINGS, {}).__enter__()
    assert there(url) == {name: b"mine"}


def test_other_settings_are_told_with_the_url(url: str) -> None:
    work(url)
    with pytest.raises(InputError, match=f"Received: '{url}', where these differ: epochs: 3 there"):
        RunDirectory(local_folder(url), {"epochs": 4}, {}).__enter__()
    assert "lock" not in there(url)


def test_new_settings_where_nothing_was_done_yet(url: str, machine: Callable[[str], None]) -> None:
    with RunDirectory(local_folder(url), {"epochs": 2}, {}) as run:
        run.plan(PLANNED)
        run.samples.write_bytes(b"of other data")
    assert "samples.npz" in there(url)
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        assert not run.samples.exists()
        assert "samples.npz" not in there(url)
    machine("there")
    assert load_results(url).settings == SETTINGS


def test_workers_send_what_is_theirs(url: str, machine: Callable[[str], None]) -> None:
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED[:3])
        write(run, PLANNED[0])
        Checkpoints(run.checkpoints, every=0).save([PLANNED[1].id], 1, [np.ones((1, 2))], {})
        push(run.checkpoints)
        before = there(url)
        machine("worker")
        with worker_copy(url) as copy, copy.of([PLANNED[1].id], [PLANNED[0].id]) as folder:
            attempt = load_results(folder)[0]
            np.testing.assert_array_equal(attempt.y_pred, PREDICTIONS)
            assert Checkpoints(folder / "checkpoints").step(PLANNED[1].id) == 1
            manifest = folder / "manifest.json"
            manifest.write_text("not the worker's")
            checkpoints = Checkpoints(folder / "checkpoints", every=0)
            checkpoints.save([PLANNED[2].id], 5, [np.ones((1, 2))], {})
            target = folder / "attempts" / PLANNED[1].id
            target.mkdir()
            (target / "history.csv").write_text("loss\n")
            (target / "result.json").write_text("{}")
            push(target)
        assert not folder.exists()
        found = there(url)
        added = {Path(name).name for name in found.keys() - before.keys()}
        assert len(added - {"history.csv", "result.json"}) == 1
        assert {name: found[name] for name in before} == before
        machine("here")


def test_a_worker_fetches_the_original_once(
    url: str, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group's attempts go when it is done, here and not in the storage."""
    original, *others = (each.id for each in PLANNED[:3])
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED[:3])
        for each in PLANNED[:3]:
            write(run, each)
        Checkpoints(run.checkpoints, every=0).save([others[1]], 1, [np.ones((1, 2))], {})
        push(run.folder, run.checkpoints)
        before = there(url)
        machine("worker")
        fetched = moved_files(monkeypatch)
        with worker_copy(url) as copy:
            with copy.of([], kept=[original]) as folder:
                load_results(folder)[0].y_pred  # noqa: B018
                assert Checkpoints(folder / "checkpoints").ids == {others[1]}
            storage = Storage(url)
            storage.remove([name for name in storage.listing() if name.startswith("checkpoints/")])
            for id in others:
                with copy.of([id], kept=[original]) as folder:
                    load_results(folder)[0].y_pred  # noqa: B018
                    held = {path.name for path in (folder / "attempts").iterdir()}
                    assert held == {original, id}
                    assert not Checkpoints(folder / "checkpoints").ids, "gone in the storage"
                    push(folder / "checkpoints")
                    target = folder / "attempts" / id
                    (target / "history.csv").write_text("loss\n")
                    push(target)
            assert not (folder / "attempts" / id).exists()
        machine("here")
    of_original = [name for name in fetched if name.startswith(f"attempts/{original}/")]
    assert of_original
    assert len(of_original) == len(set(of_original)), fetched
    assert fetched.count("manifest.json") == 1
    found = there(url)
    assert {name for name in before.keys() - found.keys() if "lock" not in name} == {
        name for name in before if name.startswith("checkpoints/")
    }
    changed = {name for name, content in found.items() if before.get(name) != content}
    assert {Path(name).name for name in changed} == {"history.csv"}


def test_a_worker_tries_again(
    url: str, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker lets go of a checkpoint between listing and reading."""
    work(url)
    monkeypatch.setattr(elsewhere, "_WAITS", (0.0, 0.0))
    failing = [FileNotFoundError("gone"), ConnectionError("the network"), None]

    def get(storage: Storage, files: Any) -> None:
        error = failing.pop(0) if failing else None
        if error is not None:
            storage._reading(lambda: _raise(error))
        given(storage, files)

    given = Storage.get
    monkeypatch.setattr(Storage, "get", get)
    machine("worker")
    with worker_copy(url) as copy, copy.of([PLANNED[0].id]) as folder:
        assert load_results(folder)[0].name == PLANNED[0].name
    assert not failing
    failing += [FileNotFoundError("gone")] * 9
    with worker_copy(url) as copy, pytest.raises((InputError, OSError)), copy.of([PLANNED[0].id]):
        pass
    machine("here")


def _raise(error: Exception) -> None:
    raise error


def test_models_come_when_they_are_asked_for(
    url: str, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    work(url)
    machine("there")
    fetched = moved_files(monkeypatch)
    results = load_results(url)
    assert not any(name.endswith(".npz") for name in fetched)
    results[0].y_pred  # noqa: B018
    assert [name for name in fetched if name.endswith(".npz")] == [
        f"attempts/{PLANNED[0].id}/predictions.npz"
    ]
    (results[1].folder / "history.csv").write_text("changed")
    with pytest.raises(RunError, match=f"'{url}/attempts/{PLANNED[1].id}/history.csv' of"):
        results[1].history  # noqa: B018
    assert check_readable(url) == 3, "not trusted"


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_commands_take_urls(
    url: str,
    machine: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", TABLE)
    make_run(local_folder(url), TABLE)
    machine("there")
    for command in (["show"], ["show", "--json"], ["best", "--max-increase", "20%"]):
        assert run_main(command[0], str(tmp_path / "run"), *command[1:]) == 0
        local = capsys.readouterr()
        assert run_main(command[0], url, *command[1:]) == 0
        assert capsys.readouterr() == local
    assert run_main("report", url) == 0
    assert capsys.readouterr().err == f"Saved: {url}/report.html\n"
    page = there(url)["report.html"].decode()
    assert str(tmp_path) not in page
    assert run_main("report", url, str(tmp_path / "run"), "-o", "both.html") == 0
    assert run_main("watch", url, "--once") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{url}\n")
    assert "Finished" in told
    assert run_main("rm", url, "half") == 0
    assert run_main("rm", url, "half") == 2
    assert "must be one of the run's" in capsys.readouterr().err
    assert run_main("sensitivity", url) == 2
    assert f"Received: '{url}', where it was not" in capsys.readouterr().err
    assert run_main("show", f"{url}/none") == 2
    assert f"must exist. Received: '{url}/none'" in capsys.readouterr().err
    assert run_main("show", "nowhere://x/y") == 2
    assert not list(tmp_path.glob("memory*"))
    machine("here")
    assert [each.name for each in load_results(url)] == [ORIGINAL, "most", "worse"]


def test_who_writes_is_seen_elsewhere(
    url: str, machine: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with RunDirectory(local_folder(url), SETTINGS, {}) as run:
        run.plan(PLANNED)
        for name in ("here", "there"):
            machine(name)
            assert run_main("watch", url, "--once") == 0
            assert "Starting: process" in capsys.readouterr().out
        machine("here")
    machine("there")
    assert run_main("watch", url, "--once") == 0
    assert "Stopped" in capsys.readouterr().out


def study() -> Study:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,), name="in"),
            keras.layers.Dense(8, "relu", name="a"),
            keras.layers.Dense(1, name="b"),
        ],
        name="m",
    )
    x = np.random.default_rng(0).random((40, 4), dtype="float32")
    y = x[:, :1] * x[:, 1:2]
    return Study(model, (x, y), test=(x, y), loss="mse", epochs=2, pretrain_epochs=2)


def table(results: Any) -> list[dict[str, Any]]:
    return [each.to_dict() for each in results]


def test_a_study_whose_storage_fails_goes_on_without_training_again(
    url: str, writes: Writes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = expand_grid({"target_sparsity": [0.5, 0.8]})
    options: dict[str, Any] = {"tflite": False, "progress": False}
    expected = study().run(grid, tmp_path / "local", **options)
    trained: set[str] = set()
    opened: Any = vars(run_options)["open_engine"]

    def noted(*arguments: Any, **more: Any) -> Any:
        engine = opened(*arguments, **more)
        train = engine.train

        def recorded(tasks: Any, *rest: Any) -> Any:
            trained.update(each.name for each in tasks)
            return train(tasks, *rest)

        monkeypatch.setattr(engine, "train", recorded)
        return engine

    monkeypatch.setattr(run_options, "open_engine", noted)
    writes.fail_after(5, ConnectionError)
    with pytest.raises(OSError, match=r"storage is gone.*kept on this machine") as raised:
        study().run(grid, url, **options)
    assert raised.value.filename == url
    writes.fail_after(None)
    assert [each.name for each in load_results(url)] == [ORIGINAL], "what was computed is kept"
    assert trained
    trained.clear()
    results = study().run(grid, url, **options)
    assert table(results) == table(expected)
    assert trained == {each["name"] for each in table(expected)[1:]}
    found = there(url)
    assert {name for name in found if name.count("/") == 0} == {
        *("manifest.json", "progress.json", "report.html", "samples.npz")
    }
    assert json.loads(found["progress.json"])["state"] == "finished"


def test_a_plain_path_knows_nothing_of_storages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where fsspec is missing."""
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path / "cache"))
    before = threading.active_count()
    with RunDirectory(local_folder(f"file://{tmp_path}/run"), SETTINGS, {}) as run:
        run.plan(PLANNED)
        write(run, PLANNED[0])
        assert threading.active_count() == before
    assert len(load_results(tmp_path / "run")) == 1
    assert not (tmp_path / "cache").exists()
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[storage\]'"):
        load_results("memory://bucket/run")
