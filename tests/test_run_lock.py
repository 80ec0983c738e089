from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trimgrid.errors import InputError
from trimgrid.run_directory.holder import read_holder
from trimgrid.run_directory.lock import RunLock

HOLD = """
import sys
from trimgrid.run_directory.lock import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_file_tells_who_holds_it_and_is_gone_afterwards(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        holder = json.loads((tmp_path / "lock").read_text(encoding="utf-8"))
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", holder["started"])
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        with (
            pytest.raises(
                InputError,
                match=rf"in use by process {process.pid} on {re.escape(socket.gethostname())} "
                r"\(since \d{4}-.*\)\. Wait for it to end, or use another run directory\.",
            ),
            RunLock(tmp_path),
        ):
            pass
        assert (tmp_path / "lock").exists()
        process.communicate("")
    with RunLock(tmp_path):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert json.loads((tmp_path / "lock").read_text(encoding="utf-8"))["pid"] == process.pid
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_anyone_may_read_who_holds_it(tmp_path: Path) -> None:
    assert read_holder(tmp_path) is None
    with hold(tmp_path) as process:
        holder = read_holder(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.host) == (process.pid, socket.gethostname())
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert read_holder(tmp_path) == holder  # a killed process leaves its lock
    with RunLock(tmp_path):  # reading has not taken it
        assert read_holder(tmp_path) != holder
    assert read_holder(tmp_path) is None


def test_the_same_process_and_its_threads_are_refused(tmp_path: Path) -> None:
    refused = []

    def enter() -> None:
        with pytest.raises(InputError, match=rf"process {os.getpid()}, which is this one") as error:
            RunLock(tmp_path).__enter__()
        refused.append(error)

    lock = RunLock(tmp_path)
    with lock:
        enter()
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        with pytest.raises(InputError, match="in use"):
            lock.__enter__()
    assert len(refused) == 2
    with lock:
        assert (tmp_path / "lock").exists()


def test_a_lock_of_another_machine_is_refused_and_stays(tmp_path: Path) -> None:
    text = json.dumps({"pid": 12, "host": "elsewhere", "started": "2026-01-01T00:00:00+00:00"})
    (tmp_path / "lock").write_text(text, encoding="utf-8")
    for _ in range(2):
        with (
            pytest.raises(
                InputError, match=r"process 12 on elsewhere .* If it does not, remove '.*/lock'\."
            ),
            RunLock(tmp_path),
        ):
            pass
        assert (tmp_path / "lock").read_text(encoding="utf-8") == text
    (tmp_path / "lock").unlink()
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\0", b"[]", b"4", b'{"pid": 1}', b'{"pid": null, "host": 1, "started": 1}'],
)
def test_a_damaged_lock_that_nobody_holds_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    assert read_holder(tmp_path) is None
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_longer_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    holder = {"pid": 1, "host": socket.gethostname(), "started": "x" * 500}
    (tmp_path / "lock").write_text(json.dumps(holder), encoding="utf-8")
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()


def test_a_damaged_lock_that_is_held_is_refused(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(InputError, match="in use by another process"), RunLock(tmp_path):
            pass


def test_a_lock_that_was_removed_by_hand_does_not_remove_the_next(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    with first:
        (tmp_path / "lock").unlink()
        with second:
            first.__exit__(None, None, None)
            assert (tmp_path / "lock").exists()
            with pytest.raises(InputError, match="in use"):
                first.__enter__()
        first.__enter__()


def test_the_file_is_opened_again_if_its_holder_removes_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, list[str]()

    def flock(descriptor: int, how: int) -> None:
        if not removed:
            (tmp_path / "lock").unlink()
            removed.append("lock")
        real(descriptor, how)

    monkeypatch.setattr("fcntl.flock", flock)
    with RunLock(tmp_path), pytest.raises(InputError, match="in use"), RunLock(tmp_path):
        pass
    assert removed == ["lock"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("{}", encoding="utf-8")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="lock"), RunLock(tmp_path):
        pass
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_can_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(code, os.strerror(code), "lock")

    monkeypatch.setattr("os.open", refuse)
    message = rf"can be written\. Received: '{re.escape(str(tmp_path))}' \({os.strerror(code)}\)"
    with pytest.raises(InputError, match=message), RunLock(tmp_path):
        pass


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Received: '.*/none' \(No such file"):
        RunLock(tmp_path / "none").__enter__()


def test_a_full_disk_is_told_with_the_file_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*/lock'"):
            RunLock(tmp_path).__enter__()
    with RunLock(tmp_path):
        pass


def test_of_many_processes_one_at_a_time_gets_it(tmp_path: Path) -> None:
    """Each adds 1 to a number, reading and writing apart, whenever it gets the lock."""
    code = """
import sys
from pathlib import Path
from trimgrid.errors import InputError
from trimgrid.run_directory.lock import RunLock
number = Path(sys.argv[1]) / "number"
done = 0
while done < 100:
    try:
        with RunLock(sys.argv[1]):
            number.write_text(str(int(number.read_text()) + 1))
            done += 1
    except InputError:
        pass
"""
    (tmp_path / "number").write_text("0", encoding="utf-8")
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text(encoding="utf-8") == "300"
    assert not (tmp_path / "lock").exists()
