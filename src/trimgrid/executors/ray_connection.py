"""The way to a Ray cluster: found within seconds, or one error that says why not."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from trimgrid.cores import usable_cores
from trimgrid.errors import InputError, first_line
from trimgrid.optional import optional_modules

# Where a port is open and no Ray behind it, Ray ends the process that calls it after a minute. So
# another process calls first.
_CALL = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
ray.nodes()
"""
_OWN = "local"  # what Ray calls a cluster that it starts on this machine


@dataclass(frozen=True)
class Connection:
    """A cluster that this process is connected to; `ours`: nobody had connected it before."""

    ray: Any
    ours: bool

    def close(self) -> None:
        """Disconnect, if the connection is ours; a cluster that was started for it ends."""
        if self.ours and self.ray.is_initialized():
            with _signals_as_before():
                self.ray.shutdown()
            _let_ray_print(True)


def connect(address: str | None, timeout: float) -> Connection:
    """Connect to a cluster; see `RayExecutor` for which one.

    Raises `InputError` if Ray is missing, or the cluster can't be reached within so many seconds.
    """
    (ray,) = optional_modules("Running on a cluster", "ray", "ray", "ray")
    if ray.is_initialized():
        if address is not None and address != (here := ray.get_runtime_context().gcs_address):
            raise InputError(
                "A process can be connected to one cluster. "
                f"Received: address={address!r}, while connected to {here!r}. "
                "Leave the address out, or call ray.shutdown() before."
            )
        return Connection(ray, ours=False)
    address = address or os.environ.get("RAY_ADDRESS") or _OWN
    settings: dict[str, Any] = {}
    if address == _OWN:
        settings = {"include_dashboard": False, "num_cpus": usable_cores()}
    else:
        _reach(address, timeout)
    with _signals_as_before(), _no_usage_statistics(), warnings.catch_warnings():
        # What Ray forks runs another program at once.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
        except Exception as error:  # of many kinds, by the kind of address
            raise _unreachable(address, first_line(error)) from error
    _let_ray_print(False)
    return Connection(ray, ours=True)


def _reach(address: str, timeout: float) -> None:
    """Make sure that a cluster answers."""
    until = time.monotonic() + timeout
    scheme, _, rest = address.rpartition("://")
    if address != "auto" and scheme in ("", "ray"):
        try:
            place = urlsplit(f"//{rest}")
            host, port = place.hostname, place.port
        except ValueError:
            host, port = None, None
        if host is None or port is None:
            raise InputError(
                "The address of a cluster is 'host:port', 'ray://host:port', 'auto' or 'local'. "
                f"Received: {address!r}. Give the one that `ray start` printed."
            )
        try:
            socket.create_connection((host, port), timeout=timeout).close()
        except OSError as error:
            raise _unreachable(address, first_line(error)) from error
    try:
        subprocess.run(
            [sys.executable, "-c", _CALL, address],
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(until - time.monotonic(), 0.1),
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no Ray cluster answered in {timeout:g} s.") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise _unreachable(address, f"{lines[-1].rstrip('.')}.") from error


def _unreachable(address: str, why: str) -> InputError:
    return InputError(
        "The Ray cluster must be there, and be reached from here. "
        f"Received: address={address!r}, {why} "
        "See with `ray status` on its head node whether it runs, and give host:port from there."
    )


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """Put back what handles SIGTERM: Ray ends the process at once, without saving anything."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _no_usage_statistics() -> Iterator[None]:
    """Tell a cluster that is started in the block to send nobody statistics, unless asked to."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _let_ray_print(printing: bool) -> None:
    """Let Ray print, or not, when a worker dies: it does on standard output, and has no setting.

    A version of Ray that has no such variable prints.
    """
    module: Any = sys.modules.get("ray._private.worker")
    if hasattr(module, "_worker_logs_enabled"):
        module._worker_logs_enabled = printing
