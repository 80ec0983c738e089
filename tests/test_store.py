from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.errors import InputError, RunError
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import add_export, result_dict
from trimgrid.run_directory.lock import RunLock
from trimgrid.run_directory.store import SCHEMA, Planned, RunDirectory, read_manifest

SETTINGS = {
    "training": {"epochs": 20, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
    "data": {"train": {"digest": "aa"}, "test": {"digest": "bb"}},
    "loss": "mse",
}
ORIGINAL = Planned("0a", "original (unpruned)", {})
HALF = Planned("1b", "half", {"schedule": {"target_sparsity": 0.5}})
MOST = Planned("2c", "most", {"schedule": {"target_sparsity": 0.9}})
INFO = AttemptInfo("half", 10, 5, 5, 400, 300, None, None, None, 0.02)


def opened(folder: Path, settings: Any = SETTINGS, about: Any = None) -> RunDirectory:
    return RunDirectory(folder, settings, about or {})


def finish(run: RunDirectory, planned: Planned, **more: Any) -> None:
    run.write_attempt(planned)
    run.write_history(planned.id, {"seed": [0, 0], "epoch": [1, 2], "loss": [0.5, 0.1 + 0.2]})
    run.write_predictions(planned.id, np.arange(3.0))
    info = replace(INFO, name=planned.name, **more)
    folder = run.attempt_folder(planned.id)
    run.finish(planned.id, result_dict(folder, planned.id, info, seeds=[0]))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_new_run_directory(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    with opened(folder, about={"version": "1"}) as run:
        assert run.planned == []
        assert sorted(contents(folder)) == ["lock", "manifest.json"]
        run.plan([ORIGINAL, HALF])
        assert run.planned == [ORIGINAL, HALF]
        assert not run.is_finished(HALF.id)
        assert run.attempt_folder(HALF.id) == folder / "attempts" / "1b"
        assert run.attempt_folder(HALF.id).is_dir()
        assert run.checkpoints == folder / "checkpoints"
        assert run.checkpoints.is_dir()
        assert run.samples == folder / "samples.npz"
        finish(run, HALF)
        assert run.is_finished(HALF.id)
    assert sorted(contents(folder)) == [
        "attempts/1b/attempt.json",
        "attempts/1b/history.csv",
        "attempts/1b/predictions.npz",
        "attempts/1b/result.json",
        "manifest.json",
    ]
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8")) == {
        "schema": SCHEMA,
        "settings": SETTINGS,
        "about": {"version": "1"},
        "attempts": [
            {"id": "0a", "name": "original (unpruned)", "config": {}},
            {"id": "1b", "name": "half", "config": {"schedule": {"target_sparsity": 0.5}}},
        ],
    }


def test_a_run_is_resumed_where_it_was(tmp_path: Path) -> None:
    with opened(tmp_path, about={"version": "1"}) as run:
        run.plan([ORIGINAL, HALF])
        finish(run, HALF)
    before = contents(tmp_path)
    with opened(tmp_path, about={"version": "2"}) as run:
        assert run.planned == [ORIGINAL, HALF]
        assert run.is_finished(HALF.id)
        run.plan([ORIGINAL, HALF])
    assert contents(tmp_path) == before
    with opened(tmp_path) as run:
        run.plan([MOST, HALF])
        assert run.planned == [ORIGINAL, HALF, MOST]
    manifest = read_manifest(tmp_path)
    assert manifest.planned == (ORIGINAL, HALF, MOST)
    assert manifest.about == {"version": "1"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    (tmp_path / ".git").mkdir()
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match=r"not a run directory and holds '\.git'"),
        opened(tmp_path),
    ):
        pass
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match=r"thesis\.tex' \(File exists\)"):
        opened(tmp_path / "thesis.tex").__enter__()
    with pytest.raises(InputError, match=r"Not a directory"):
        opened(tmp_path / "thesis.tex" / "run").__enter__()


def test_what_a_kill_before_the_manifest_leaves_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / ".manifest.4711.json").write_text('{"sch', encoding="utf-8")
    with opened(tmp_path):
        assert sorted(contents(tmp_path)) == ["lock", "manifest.json"]


@pytest.mark.parametrize("name", ["history.csv", "predictions.npz"])
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_nothing_is_finished_whose_files_are_not_there(tmp_path: Path, name: str, how: str) -> None:
    with opened(tmp_path) as run:
        run.plan([HALF])
        run.write_history(HALF.id, {"loss": [0.5]})
        run.write_predictions(HALF.id, np.arange(3.0))
        folder = run.attempt_folder(HALF.id)
        result = result_dict(folder, HALF.id, INFO, seeds=[0])
        path = folder / name
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(RunError, match=f"can't be finished: '.*{name}' should have"):
            run.finish(HALF.id, result)
        assert not run.is_finished(HALF.id)


def test_a_result_is_written_once(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.plan([HALF])
        folder = run.attempt_folder(HALF.id)
        result = result_dict(folder, HALF.id, INFO, seeds=[0])
        with pytest.raises(RunError, match="of attempt 2c says that it is of 1b"):
            run.finish(MOST.id, result)
        with pytest.raises(InputError, match=r"must lie in it. Received: '../x'"):
            run.finish(HALF.id, {**result, "files": {"../x": {"bytes": 0}}})
        run.finish(HALF.id, result)
        before = contents(tmp_path)
        with pytest.raises(RunError, match="is finished already"):
            run.finish(HALF.id, {**result, "seeds": [1]})
        assert contents(tmp_path) == before


def test_a_result_lists_what_lies_in_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.plan([HALF])
        finish(run, HALF, error_value=math.nan, errors=(0.5, math.nan))
    found = json.loads((tmp_path / "attempts/1b/result.json").read_text(encoding="utf-8"))
    files = found.pop("files")
    assert found == {
        "id": "1b",
        **INFO.to_dict(),
        "error": None,
        "errors": [0.5, None],
        "seeds": [0],
        "exports": [],
        "latency": None,
    }
    assert sorted(files) == ["history.csv", "predictions.npz"]
    assert files["history.csv"]["bytes"] == len(b"seed,epoch,loss\n0,1,0.5\n0,2,") + 20
    assert len(files["history.csv"]["sha256"]) == 64


@pytest.mark.parametrize("who", ["half", "1b"])
def test_an_attempt_is_removed_by_name_or_id(tmp_path: Path, who: str) -> None:
    with opened(tmp_path) as run:
        run.plan([ORIGINAL, HALF, MOST])
        for planned in (HALF, MOST):
            finish(run, planned)
        run.rm(who)
        assert run.planned == [ORIGINAL, MOST]
        assert not (tmp_path / "attempts" / "1b").exists()
        assert not run.is_finished(HALF.id)
        run.plan([HALF])
    assert read_manifest(tmp_path).planned == (ORIGINAL, MOST, HALF)


def test_the_original_goes_last(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.plan([ORIGINAL, HALF])
        with pytest.raises(InputError, match=r"can't be removed while .* Remove the others first"):
            run.rm(ORIGINAL.name)
        with pytest.raises(InputError, match=r"Received: 'hafl'. Did you mean 'half'"):
            run.rm("hafl")
        run.rm("half")
        run.rm(ORIGINAL.name)
        assert run.planned == []
        with pytest.raises(InputError, match="There are none"):
            run.rm("half")


@pytest.mark.parametrize("place", ["manifest.write_json", "store.shutil.rmtree"])
def test_a_removal_that_breaks_off_leaves_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path) as run:
        run.plan([ORIGINAL, HALF])
        finish(run, HALF)
        with monkeypatch.context() as patch:
            patch.setattr(f"trimgrid.run_directory.{place}", fail)
            with pytest.raises(KeyboardInterrupt):
                run.rm("half")
    with opened(tmp_path) as run:
        still = place == "manifest.write_json"
        assert run.planned == ([ORIGINAL, HALF] if still else [ORIGINAL])
        assert (tmp_path / "attempts" / "1b").exists() == still
        run.plan([HALF])
        assert not run.is_finished(HALF.id)


def test_leftovers_go_at_entering_and_at_leaving_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.plan([ORIGINAL, HALF])
        finish(run, HALF)
        (run.attempt_folder(HALF.id) / "exports").mkdir()
        (tmp_path / "mine").mkdir()
        (run.checkpoints / "under_way.npz").touch()

    def leave() -> None:
        for folder in ("", "checkpoints", "attempts/1b", "attempts/1b/exports", "mine"):
            (tmp_path / folder / ".model.4711.keras").touch()

    leave()
    before = {*contents(tmp_path)}
    with opened(tmp_path):
        during = {*contents(tmp_path)}
        leave()
    kept = {name for name in before if ".4711" not in name or "mine" in name}
    assert during - {"lock"} == kept
    assert {*contents(tmp_path)} == kept


def test_nothing_leads_out_of_the_run_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".notes.12.txt").touch()
    run_folder = tmp_path / "run"
    with opened(run_folder) as run:
        run.plan([ORIGINAL, HALF])
        run.attempt_folder(ORIGINAL.id)
        (run_folder / "attempts" / "1b").symlink_to(outside)
        (run_folder / "attempts" / "0a" / "exports").symlink_to(outside)
        (run_folder / "checkpoints").symlink_to(outside)
    with opened(run_folder) as run:
        for act in (
            lambda: run.attempt_folder("1b"),
            lambda: run.is_finished("1b"),
            lambda: run.write_attempt(HALF),
            lambda: run.rm("half"),
            lambda: run.checkpoints,
            lambda: run.attempt_folder("../../outside"),
            lambda: run.is_finished("/etc"),
        ):
            with pytest.raises(InputError, match=r"must lie in it|must be hex digits"):
                act()
    assert [path.name for path in outside.iterdir()] == [".notes.12.txt"]


def test_exports_are_added_to_a_finished_attempt(tmp_path: Path) -> None:
    folder = tmp_path / "attempts" / "1b"
    with opened(tmp_path) as run:
        run.plan([HALF])
        with pytest.raises(InputError, match="must be finished"):
            add_export(folder, {"file": "a.tflite"})
        finish(run, HALF)
    with RunLock(folder):
        add_export(folder, {"file": "a.tflite", "bytes": 1})
        add_export(folder, {"file": "b.tflite", "bytes": 2})
        add_export(folder, {"file": "a.tflite", "bytes": 3})
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["exports"] == [
        {"file": "b.tflite", "bytes": 2},
        {"file": "a.tflite", "bytes": 3},
    ]
    assert result["error"] == 0.02
    (folder / "result.json").write_text('{"exports": [1]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"result.json'. It has no list of exports"):
        add_export(folder, {"file": "a.tflite"})


def test_a_run_that_has_done_nothing_may_have_other_settings(tmp_path: Path) -> None:
    with opened(tmp_path, {"epochs": 1}) as run:
        run.plan([ORIGINAL, HALF])
    with opened(tmp_path, {"epochs": 2}) as run:
        assert run.planned == []
        (run.checkpoints / "under_way.npz").touch()
    with (
        pytest.raises(InputError, match="epochs: 2 there, 3 here"),
        opened(tmp_path, {"epochs": 3}),
    ):
        pass


def test_two_can_not_open_it_at_once_and_a_refusal_frees_it(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(InputError, match="in use by process"), opened(tmp_path):
        pass
    with opened(tmp_path) as run:
        run.plan([ORIGINAL])
        finish(run, ORIGINAL)
    with pytest.raises(InputError, match="these differ"), opened(tmp_path, {}):
        pass
    with pytest.raises(KeyError), opened(tmp_path):
        raise KeyError
    with opened(tmp_path):
        pass


def test_a_run_directory_can_be_moved_and_reached_in_other_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Path("run")) as run:
        run.plan([ORIGINAL])
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        run.plan([HALF])
        run.write_attempt(HALF)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    with opened(tmp_path / "link") as run:
        assert run.planned == [ORIGINAL, HALF]
        run.write_attempt(ORIGINAL)
