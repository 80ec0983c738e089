from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.errors import InputError
from trimgrid.run_directory.store import Planned, RunDirectory, read_manifest

SETTINGS = {
    "training": {"epochs": 20, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
    "data": {"train": {"digest": "aa"}, "test": {"digest": "bb"}},
    "loss": "mse",
}
ORIGINAL = Planned("0a", "original (unpruned)", {})
HALF = Planned("1b", "half", {"schedule": {"target_sparsity": 0.5}})
MOST = Planned("2c", "most", {"schedule": {"target_sparsity": 0.9}})


def opened(folder: Path, settings: Any = SETTINGS, about: Any = None) -> RunDirectory:
    return RunDirectory(folder, settings, about or {})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    settings = json.loads(json.dumps(SETTINGS))
    *above, last = path.split(".")
    inner = settings
    for key in above:
        inner = inner[key]
    inner[last] = value
    return dict(settings)


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        (changed("training.epochs", 30), "training.epochs: 20 there, 30 here"),
        (changed("training.epochs", 20.0), "training.epochs: 20 there, 20.0 here"),
        (changed("training.epochs", True), "training.epochs: 20 there, True here"),
        (changed("data.train", {"digest": "ac"}), "data.train: other data"),
        (changed("data.train", None), "data.train: given there, None here"),
        (changed("data.watched", {"digest": "a"}), "data.watched: nothing there, given here"),
        (changed("seed", 0), "seed: nothing there, 0 here"),
        (changed("training.optimizer.betas", [0.9, 0.99]), "betas.1: 0.999 there, 0.99 here"),
        (
            changed("training.optimizer.betas", [0.9]),
            r"training.optimizer.betas: \[0.9, 0.999\] there, \[0.9\] here",
        ),
        (
            {**SETTINGS, "training": {"epochs": 3}, "loss": "mae"},
            "loss: 'mse' there, 'mae' here; training.epochs: 20 there, 3 here; "
            "training.optimizer: {'name'.*} there, nothing here",
        ),
        ({}, "data: .* there, nothing here; loss: 'mse' there, nothing here; training: "),
    ],
)
def test_other_settings_are_refused_key_by_key(
    tmp_path: Path, settings: Any, difference: str
) -> None:
    with opened(tmp_path) as run:
        (run.checkpoints / "under_way.npz").touch()
    before = contents(tmp_path)
    message = f"where these differ: .*{difference}.* Use another run directory, or the same"
    with pytest.raises(InputError, match=message), opened(tmp_path, settings):
        pass
    assert contents(tmp_path) == before


def test_long_values_are_shown_where_they_differ(tmp_path: Path) -> None:
    def settings(word: str, number: int) -> dict[str, Any]:
        many = {f"key {place}": number for place in range(20)}
        return {"first": "a" * 500 + word + "b" * 500, "many": many}

    with opened(tmp_path, settings("one", 1)) as run:
        (run.checkpoints / "under_way.npz").touch()
    with pytest.raises(InputError) as caught, opened(tmp_path, settings("two", 2)):
        pass
    message = str(caught.value)
    assert "first: ...aaaaaaaaaaonebbb" in message
    assert "there, ...aaaaaaaaaatwobbb" in message
    assert "many.key 14: 1 there, 2 here; 13 more. Use" in message
    assert len(message) < 700


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, (1, 2), {3: 4}, np.float32(0.1), np.int64(7), None, "\udc80"]
)
def test_the_same_settings_are_the_same(tmp_path: Path, value: Any) -> None:
    for _ in range(2):
        with opened(tmp_path, {"value": value, "more": [{"inner": value}]}):
            pass


@pytest.mark.parametrize("value", [{1, 2}, np.zeros(2), object(), b"bytes", {(1, 2): 3}])
def test_settings_that_json_can_not_hold_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="must be what JSON has"):
        opened(tmp_path / "new", {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("", "manifest.json'. It is empty"),
        ("\0" * 50, "manifest.json'. It is empty"),
        ('{"schema": 1, "settings": {', "manifest.json'. It is no JSON from line 1 on"),
        ("[]", "It holds a list, not an object"),
        ("{}", "Its schema is None"),
        ('{"schema": true}', "Its schema is True"),
        ('{"schema": "2"}', "Its schema is '2'"),
        ('{"schema": 2}', "written by a newer trimgrid, schema 2; this one reads 1. Upgrade"),
        ('{"schema": 1}', "It needs settings, about and attempts"),
        (["0a"], "An attempt needs id, name and config"),
        ([{"id": "0a"}], "An attempt needs id, name and config"),
        ([{"id": "0a", "name": 1, "config": {}}], "Attempt 0a needs a name and a config"),
        ([{"id": "0a", "name": "x", "config": []}], "Attempt 0a needs a name and a config"),
        ([{"id": "../x", "name": "x", "config": {}}], "must be hex digits. Received: id='../x'"),
        ([{"id": "/etc", "name": "x", "config": {}}], "must be hex digits. Received: id='/etc'"),
        ([{"id": "", "name": "x", "config": {}}], "must be hex digits. Received: id=''"),
        ([{"id": 3, "name": "x", "config": {}}], "must be hex digits. Received: id=3"),
        ([{"id": "a\n", "name": "x", "config": {}}], "must be hex digits"),
        ([{"id": "a", "name": n, "config": {}} for n in "xy"], "the same id"),
        ([{"id": i, "name": "x", "config": {}} for i in "ab"], "the same name"),
    ],
)
@pytest.mark.parametrize("read", [read_manifest, lambda folder: opened(folder).__enter__()])
def test_a_damaged_or_newer_manifest_is_refused(
    tmp_path: Path, manifest: Any, message: str, read: Callable[[Path], object]
) -> None:
    if isinstance(manifest, list):
        content = {"schema": 1, "settings": SETTINGS, "about": {}, "attempts": manifest}
        manifest = json.dumps(content)
    (tmp_path / "manifest.json").write_text(manifest, encoding="utf-8")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    assert contents(tmp_path) == before


def test_reading_what_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, message in [
        (tmp_path / "none", "must exist. Received: '.*none'. Check the path"),
        (tmp_path, "has a manifest.json. Received: .*, which is not a run directory"),
        (tmp_path / "file", "which is not a run directory"),
    ]:
        with pytest.raises(InputError, match=message):
            read_manifest(folder)


@pytest.mark.parametrize(
    ("planned", "message"),
    [
        (
            [MOST, replace(HALF, id="3d", config={"schedule": {"target_sparsity": 0.6}})],
            "'half', which is there with other settings: schedule.target_sparsity: 0.5 there, "
            "0.6 here. Rename it, or remove the one that is there: trimgrid rm .* half",
        ),
        ([MOST, replace(HALF, id="3d")], "other settings: other settings of the run. Rename"),
        ([MOST, replace(HALF, name="again")], "'again', which is the same as 'half'. Leave"),
        ([MOST, replace(MOST, name="more")], "'more', which is the same as 'most'"),
        ([MOST, replace(MOST, id="3d")], "'most', which is there with other settings"),
        ([MOST, replace(MOST, name="x", id="../x")], "must be hex digits"),
        ([MOST, replace(MOST, name="x", id="AB")], "must be hex digits"),
    ],
)
def test_a_plan_that_does_not_fit_adds_nothing(
    tmp_path: Path, planned: list[Planned], message: str
) -> None:
    with opened(tmp_path) as run:
        run.plan([ORIGINAL, HALF])
        before = contents(tmp_path)
        with pytest.raises(InputError, match=message):
            run.plan(planned)
        assert run.planned == [ORIGINAL, HALF]
        assert contents(tmp_path) == before


def test_the_remedy_is_a_command_that_a_shell_understands(tmp_path: Path) -> None:
    with opened(tmp_path / "a run") as run:
        run.plan([ORIGINAL])
        with pytest.raises(InputError, match=r"trimgrid rm '.*/a run' 'original \(unpruned\)'$"):
            run.plan([replace(ORIGINAL, id="3d")])
