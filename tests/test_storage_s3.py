"""Run directories in an S3-compatible server: killed, gone on with elsewhere, read and shipped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="the development group has it")
import fsspec

from tests.killing.killer import check_nothing_trained_twice, finish, start
from tests.worker_study import table, trimgrid_run
from trimgrid import load_results
from trimgrid.cli import main
from trimgrid.errors import InputError
from trimgrid.run_directory.elsewhere import local_folder
from trimgrid.run_directory.store import RunDirectory
from trimgrid.storage.filesystem import Storage

URL = "s3://bucket/runs/killed"
ATTEMPTS = 4
# In a process of its own, which ends with its standard input.
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert process.stdout is not None
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{int(process.stdout.readline())}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("TRIMGRID_CACHE", str(tmp_path_factory.mktemp("reader")))
        fsspec.filesystem("s3").mkdir("bucket")
        yield
        process.kill()


@pytest.fixture(scope="module")
def killed_and_finished(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of a run that was killed on one machine and finished on another."""
    folder = tmp_path_factory.mktemp("killed")
    machines = [
        {"TRIMGRID_CACHE": str(folder / name), "TRAINED": str(folder / "trained")}
        for name in ("first", "second")
    ]
    storage = Storage(URL)
    process = start(URL, "vectorized", ATTEMPTS, **machines[0])
    while not any(name.startswith("checkpoints/") for name in storage.listing()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    with pytest.raises(InputError, match=rf"'{URL}', in use by process {process.pid} on"):
        RunDirectory(local_folder(URL), {}, {}).__enter__()
    assert load_results(URL).folder.is_relative_to(os.environ["TRIMGRID_CACHE"])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "lock" in storage.names()
    assert len(load_results(URL)) <= ATTEMPTS, "it was under way"
    time.sleep(2.5)  # its lease lasts a second, by a clock of seconds
    found = finish(start(URL, "vectorized", ATTEMPTS, **machines[1]))
    check_nothing_trained_twice(folder, ATTEMPTS, folder / "trained")
    return found


@pytest.mark.slow
def test_the_table_is_that_of_a_local_run(
    killed_and_finished: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert killed_and_finished == finish(start(tmp_path / "run", "vectorized", ATTEMPTS))
    found = {name for name in Storage(URL).listing() if not name.startswith("attempts/")}
    assert found == {"manifest.json", "progress.json", "report.html", "samples.npz"}
    local = {
        path.relative_to(tmp_path / "run").as_posix(): path
        for path in (tmp_path / "run").rglob("attempts/*/*")
    }
    assert found | local.keys() == Storage(URL).listing().keys()
    for attempt, there in zip(load_results(tmp_path / "run"), load_results(URL), strict=True):
        assert attempt.files == there.files
        assert there.model_file.read_bytes() == attempt.model_file.read_bytes()


def test_workers_write_there(tmp_path: Path) -> None:
    """Each worker has a copy of its own, and sends its attempts; the driver fetches them."""
    for name, options in (("alone", ()), ("workers", ("--workers", "2", "--group", "2"))):
        command = trimgrid_run(tmp_path / name, *options)
        if name == "workers":
            command += ["--run-dir", "s3://bucket/runs/workers"]
        done = subprocess.run(
            command, cwd=tmp_path / name, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert table("s3://bucket/runs/workers") == table(tmp_path / "alone" / "run")
    there = load_results("s3://bucket/runs/workers")
    for attempt, here in zip(there, load_results(tmp_path / "alone" / "run"), strict=True):
        assert attempt.model_file.read_bytes() == here.model_file.read_bytes()
    names = Storage("s3://bucket/runs/workers").listing()
    assert not any(name.startswith(("checkpoints", "worker-logs", "work/")) for name in names)
    assert "report.html" in names


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_the_commands(
    killed_and_finished: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert run_main("show", URL, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["error"] for each in shown] == [each["error"] for each in killed_and_finished]
    name = shown[1]["name"]
    assert run_main("export", URL, name, "-o", str(tmp_path / "small.keras")) == 0
    assert f"Exporting {name}" in capsys.readouterr().err
    result = json.loads(Storage(URL).read(f"attempts/{shown[1]['id']}/result.json") or b"")
    assert [each["file"] for each in result["exports"]] == [str(tmp_path / "small.keras")]
    assert run_main("best", URL, "--max-increase", "500%", "--json") == 0
    best = json.loads(capsys.readouterr().out)["name"]
    assert run_main("report", URL) == 0
    assert run_main("rm", URL, best) == 0
    assert best not in load_results(URL)
    assert not [each for each in Storage(URL).listing() if "lock" in each]


@pytest.mark.parametrize(
    ("url", "variables", "message"),
    [
        ("s3://no-such-bucket/run", {}, "bucket does not exist.*Make the bucket first"),
        (
            "s3://bucket/new",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "Could not connect.*Check the address and the network",
        ),
    ],
)
def test_what_can_not_be_reached(
    url: str, variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(InputError, match=f"Received: '{url}'.*{message}"):
            RunDirectory(local_folder(url), {}, {}).__enter__()
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
