"""Runs on a real Ray cluster of several nodes on this machine, whatever is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ray_nodes import LEFT_BEHIND, NODE, two_nodes
from tests.worker_study import table, trimgrid_run

pytest.importorskip("ray")
pytestmark = LEFT_BEHIND


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_nodes() as found:
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(trimgrid_run(folder), cwd=folder, check=True, capture_output=True)
    return table(folder / "run")


def on(cluster: Any) -> tuple[str, ...]:
    return "--executor", "ray", "--ray-address", cluster.address, "--group", "1"


def test_a_cluster_gives_the_same_table_whoever_is_killed(
    tmp_path: Path, cluster: Any, alone: dict[str, tuple[Any, ...]]
) -> None:
    """Of four attempts one kills its worker once, and one always."""
    command = trimgrid_run(tmp_path, *on(cluster), killing=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = table(tmp_path / "run")
    (dead,) = [name for name, each in found.items() if each[3].startswith("worker failed")]
    assert "twice" in found[dead][3]
    assert list(found) == list(alone)
    assert {**found, dead: ()} == {**alone, dead: ()}
    assert "once more" in done.stderr
    assert done.stderr.count("\n") < 20, done.stderr  # nothing of Ray's own


def test_a_node_and_the_driver_are_lost(
    tmp_path: Path, cluster: Any, alone: dict[str, tuple[Any, ...]]
) -> None:
    leaving = cluster.add_node(**NODE)
    command = trimgrid_run(tmp_path, *on(cluster))
    driver = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    results = tmp_path / "run" / "attempts"
    _wait_for(lambda: len(list(results.glob("*/result.json"))) >= 1)
    cluster.remove_node(leaving, allow_graceful=False)
    _wait_for(lambda: len(list(results.glob("*/result.json"))) >= 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "run") == alone
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def _wait_for(happened: Any, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)
