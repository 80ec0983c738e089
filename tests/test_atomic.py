from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from trimgrid.atomic import is_temporary, remove_leftovers, replacing, sync_folder


def test_the_file_is_on_the_disk_before_it_takes_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recap.txt"
    path.write_text("old", encoding="utf-8")
    calls = []
    sync, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        where = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append(("sync", where.name, path.read_text(encoding="utf-8")))
        sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append(("rename", Path(source).name, path.read_text(encoding="utf-8")))
        rename(source, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.replace", replace)
    with replacing(path) as unfinished:
        unfinished.write_text("new", encoding="utf-8")
    temporary = f".recap.{os.getpid()}.txt"
    assert calls == [
        ("sync", temporary, "old"),
        ("rename", temporary, "old"),
        ("sync", tmp_path.name, "new"),
    ]


@pytest.mark.parametrize("name", ["recap.txt", "no ending", "a.b.c", ".hidden", "model.weights.h5"])
def test_every_temporary_name_is_known(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as unfinished:
        unfinished.touch()
        assert is_temporary(unfinished.name)
        assert not is_temporary(name)
        remove_leftovers(tmp_path)
        assert not unfinished.exists()
        unfinished.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("place", ["write", "os.fsync", "os.replace"])
def test_an_error_names_the_file_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, place: str
) -> None:
    path = tmp_path / "recap.txt"
    path.write_text("old", encoding="utf-8")

    def fail(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    def write() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("new", encoding="utf-8")
            if place == "write":
                fail()

    if place != "write":
        monkeypatch.setattr(place, fail)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        write()
    assert str(caught.value) == f"[Errno {code}] {os.strerror(code)}: {str(path)!r}"
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_tells_the_name_that_people_know(tmp_path: Path) -> None:
    (tmp_path / "recap.txt").mkdir()
    with (
        pytest.raises(OSError, match=r"directory: '.*/recap\.txt'$"),
        replacing(tmp_path / "recap.txt") as unfinished,
    ):
        unfinished.touch()
    with pytest.raises(FileNotFoundError, match=r"'.*/none/recap\.txt'$"):  # noqa: SIM117
        with replacing(tmp_path / "none" / "recap.txt") as unfinished:
            unfinished.touch()


def test_an_error_about_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'.*/other'$"), replacing(tmp_path / "recap.txt"):
        (tmp_path / "other").read_bytes()


def test_a_disk_that_can_not_be_written_is_told_though_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "recap.txt"):
        raise OSError(errno.ENOSPC, "No space left")


def test_folders_that_can_not_be_synced_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", refuse)
    sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "leftover"),
    [
        (".manifest.4711.json", True),
        (".lock.1", True),
        (".model.weights.123456.h5", True),
        (".with space.99.txt", True),
        ("manifest.4711.json", False),
        (".manifest.json", False),
        (".gitignore", False),
        (".4711", False),
        (".a.0815.json", False),
        (".a.12b.json", False),
        (".a.-5.json", False),
        (".a.5.tar.gz", False),
        (".nfs000000000001", False),
    ],
)
def test_only_temporary_files_are_removed(tmp_path: Path, name: str, leftover: bool) -> None:
    (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).touch()
    remove_leftovers(tmp_path)
    assert (tmp_path / name).exists() is not leftover
    assert (tmp_path / "below" / name).exists()


def test_links_and_folders_stay(tmp_path: Path) -> None:
    (tmp_path / ".a.1.json").mkdir()
    (tmp_path / ".b.1.json").symlink_to(tmp_path / ".a.1.json")
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path / "none")
