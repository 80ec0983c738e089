"""Scratch folders: gone at the end, and those of processes that were killed removed later."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trimgrid.scratch import make_scratch, remove_stale_scratch, scratch_folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_is_removed_with_what_is_in_it_also_after_an_error(temporary: Path) -> None:
    def fail() -> None:
        with scratch_folder() as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(temporary.iterdir()) == []


def test_only_what_dead_processes_left_is_removed(temporary: Path, tmp_path: Path) -> None:
    dead = dead_pid()
    mine = make_scratch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    kept = {mine.name, "elsewhere", "trimgrid-notes", f"trimgrid-{dead}", f"trimgrid-{dead}-file"}
    kept |= {f"trimgrid-{os.getppid()}-a", f"other-{dead}-a", f"trimgrid-{dead}-link"}
    for name in ("trimgrid-notes", f"trimgrid-{dead}", f"trimgrid-{os.getppid()}-a"):
        (temporary / name).mkdir()
    (temporary / f"other-{dead}-a").mkdir()
    (temporary / f"trimgrid-{dead}-file").write_text("x")
    (temporary / f"trimgrid-{dead}-link").symlink_to(elsewhere)
    for name in (f"trimgrid-{dead}-a", f"trimgrid-{dead}-b", f"trimgrid-{10**30}-a"):
        (temporary / name / "inner").mkdir(parents=True)
        (temporary / name / "inner" / "file").write_text("x")
    remove_stale_scratch()
    assert {each.name for each in temporary.iterdir()} == kept
    assert (elsewhere / "file").exists()


def test_a_folder_that_can_t_be_listed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    remove_stale_scratch()
