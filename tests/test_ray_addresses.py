"""Addresses with no cluster behind them: one message, within seconds."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from trimgrid.errors import InputError
from trimgrid.executors.ray_cluster import RayExecutor

pytest.importorskip("ray")


@pytest.mark.parametrize(
    ("address", "received"),
    [
        ("nonsense", r"The address of a cluster is .* Received: 'nonsense'"),
        ("ray://host:port", r"The address of a cluster is .* Received: 'ray://host:port'"),
        ("127.0.0.1:1", r"Received: address='127.0.0.1:1', .*Connection refused"),
        ("ray://127.0.0.1:1", r"Received: address='ray://127.0.0.1:1', .*Connection refused"),
    ],
)
def test_an_address_with_no_cluster(address: str, received: str) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match=received):
        _ = RayExecutor(address).slots
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_port_without_ray_behind_it(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"no Ray cluster answered in 1\.5 s"):
            _ = RayExecutor(f"{scheme}127.0.0.1:{server.getsockname()[1]}", timeout=1.5).slots
    assert time.monotonic() - begin < 10


def test_ray_address_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match=r"address='127\.0\.0\.1:1'"):
        _ = RayExecutor().slots


def test_ray_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"Running on a cluster needs ray\. .*'trimgrid\[ray\]'"):
        _ = RayExecutor().slots
