"""A run directory that is read again and again: what changed is read anew, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_runs import write_run
from trimgrid.errors import InputError
from trimgrid.run_directory.attempt_files import add_export
from trimgrid.run_directory.store import remove_attempt
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.following import Following


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the attempts that are read, in turn."""
    seen: list[str] = []
    real = StoredAttempt.read

    def noted(folder: Path, planned: Any) -> Any:
        seen.append(planned.name)
        return real(folder, planned)

    monkeypatch.setattr(StoredAttempt, "read", noted)
    return seen


def test_what_is_known_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    write_run(tmp_path, unfinished=["late"])
    following = Following(tmp_path)
    first = following.results()
    assert read == ["original", "half", "most", "worse"]
    assert first.unfinished == ["late"]
    again = following.results()
    assert read == ["original", "half", "most", "worse"]
    assert again.to_dicts() == first.to_dicts()
    read.clear()
    add_export(tmp_path / "attempts" / "1", {"file": "/half.tflite"})
    assert following.results()["half"].exports == [{"file": "/half.tflite"}]
    assert read == ["half"]


def test_attempts_that_come_and_go(tmp_path: Path, read: list[str]) -> None:
    write_run(tmp_path, table=[("original", 1000, 0.1)], unfinished=["half"])
    following = Following(tmp_path)
    assert [each.name for each in following.results()] == ["original"]
    (tmp_path / "attempts/1").mkdir()
    result = (tmp_path / "attempts/0/result.json").read_text(encoding="utf-8")
    result = result.replace('"id": "0"', '"id": "1"').replace('"original"', '"half"')
    (tmp_path / "attempts/1/result.json").write_text(result, encoding="utf-8")
    assert [each.name for each in following.results()] == ["original", "half"]
    (tmp_path / "attempts/1/result.json").write_text("{", encoding="utf-8")
    assert following.results()["half"].damaged
    remove_attempt(tmp_path, "half")
    assert [each.name for each in following.results()] == ["original"]
    assert following.results().unfinished == []
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"A run directory has a manifest\.json"):
        following.results()
