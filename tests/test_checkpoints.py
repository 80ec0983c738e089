"""Files of checkpoints: what is saved is found, by whatever process, and goes when it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from trimgrid.errors import RunError
from trimgrid.run_directory.checkpoints import Checkpoints


def save(checkpoints: Checkpoints, ids: str, step: int) -> None:
    """Arrays and a history that tell training and step."""
    numbers = np.array([ord(id) for id in ids], np.int32)
    checkpoints.save(list(ids), step, [numbers * 1000 + step], {"loss": [numbers / 7] * 2})


def check(checkpoints: Checkpoints, id: str, step: int) -> None:
    found = checkpoints.find(id)
    assert found is not None
    assert (found.step, checkpoints.step(id)) == (step, step)
    assert found.arrays[0] == ord(id) * 1000 + step
    assert found.history == {"loss": [ord(id) / 7] * 2}


def files(folder: Path) -> int:
    return len(list(folder.iterdir()))


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "int8", "uint32", "int64", "float16", "float32", "float64"),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
    ],
)
def test_every_type_survives(tmp_path: Path, dtype: object) -> None:
    array = np.arange(12).reshape(2, 3, 2).astype(dtype)  # type: ignore[call-overload]
    scalars = np.array([1, 0]).astype(dtype)  # type: ignore[call-overload]
    Checkpoints(tmp_path).save(["a", "b"], 1, [array, scalars], {"loss": [scalars, scalars]})
    for place, id in enumerate("ab"):
        found = Checkpoints(tmp_path).find(id)
        assert found is not None
        for one, other in zip(found.arrays, (array[place], scalars[place]), strict=True):
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            assert one.tobytes() == other.tobytes()
        assert found.history == {"loss": [scalars[place].item()] * 2}


def test_histories_of_any_kind(tmp_path: Path) -> None:
    history: Any = {
        "loss": [[np.nan], [np.inf]],
        "per class": [[[1.0, 2.0]], [[3.0, 4.0]]],
        "none": [],
    }
    Checkpoints(tmp_path).save(["a"], 1, [], history)
    found = Checkpoints(tmp_path).find("a")
    assert found is not None
    assert str(found.history) == "{'loss': [nan, inf], 'per class': [[1.0, 2.0], [3.0, 4.0]]}"
    assert found.arrays == []


def test_nothing_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "not yet there")
    assert checkpoints.find("a") is None
    assert checkpoints.step("a") == 0
    checkpoints.forget(["a"])
    assert not checkpoints.folder.exists()


def test_a_new_save_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 8):
        save(checkpoints, "abc", step)
        assert files(tmp_path) == 1
    # With other members: the file of three stays as long as one needs it.
    save(checkpoints, "bc", 9)
    assert files(tmp_path) == 2
    for known in (checkpoints, Checkpoints(tmp_path)):
        for id, step in (("a", 8), ("b", 9), ("c", 9)):
            check(known, id, step)
    save(checkpoints, "a", 10)
    assert files(tmp_path) == 2
    check(checkpoints, "a", 10)


def test_forgetting(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, "abc", 3)
    save(checkpoints, "d", 4)
    checkpoints.forget(["a", "never seen"])
    assert checkpoints.find("a") is None
    check(checkpoints, "b", 3)
    checkpoints.forget(["d"])
    assert files(tmp_path) == 1
    # The process dies here. The next one forgets again what it finds stored.
    checkpoints = Checkpoints(tmp_path)
    check(checkpoints, "a", 3)
    checkpoints.forget(["a", "b"])
    check(checkpoints, "c", 3)
    checkpoints.forget(["c"])
    assert files(tmp_path) == 0
    assert Checkpoints(tmp_path).find("c") is None


def test_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("trimgrid.run_directory.checkpoints.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every=60)
    for seconds, due, at_end in ((4.9, False, False), (5, False, True), (60, True, True)):
        checkpoints.begin()
        now[0] += seconds
        assert (checkpoints.due(), checkpoints.due_at_end()) == (due, at_end)
    save(checkpoints, "a", 1)
    assert (checkpoints.due(), checkpoints.due_at_end()) == (False, False)


def saved(folder: Path) -> Path:
    Checkpoints(folder).save(["a", "b"], 5, [np.ones((2, 400))], {"loss": [[0.5, 1.0]]})
    (file,) = folder.iterdir()
    return file


@pytest.mark.parametrize("keep", [0, 1, 30, 300, 2000, -200, -1])
def test_half_a_file(tmp_path: Path, keep: int) -> None:
    file = saved(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RunError, match=rf"{file.name}', which fails with \w+\. Remove the file"):
        Checkpoints(tmp_path).find("a")
    file.unlink()
    assert Checkpoints(tmp_path).find("a") is None


def test_a_file_with_other_bytes(tmp_path: Path) -> None:
    file = saved(tmp_path)
    content = bytearray(file.read_bytes())
    place = content.index(np.ones(3).tobytes())
    content[place] ^= 1
    file.write_bytes(content)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.step("a") == 5
    with pytest.raises(RunError, match="BadZipFile"):
        checkpoints.find("a")


def test_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", head=np.array([{}], object))
    with pytest.raises(RunError, match="ValueError"):
        Checkpoints(tmp_path).find("a")


def test_what_another_process_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".1234.77.npz").write_bytes(b"half")
    assert Checkpoints(tmp_path).find("a") is None


def test_a_save_that_fails_leaves_the_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, "ab", 3)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        save(checkpoints, "ab", 4)
    monkeypatch.undo()
    for known in (checkpoints, Checkpoints(tmp_path)):
        check(known, "a", 3)
    assert files(tmp_path) == 1
