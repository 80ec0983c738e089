"""Versions that the driver and all nodes must have in common, or results would differ."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata

from trimgrid.errors import InputError

_PACKAGES = (
    *("cloudpickle", "jax", "jaxlib", "keras", "numpy", "ray"),
    *("tensorflow", "tensorflow-cpu", "trimgrid"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of packages in this process.

    >>> versions()["python"] == ".".join(platform.python_version_tuple()[:2])
    True
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def check_same(node: str, there: Mapping[str, str], driver: Mapping[str, str]) -> None:
    """Raise `InputError` if a node's versions are not the driver's.

    >>> check_same("node a", {"keras": "3.12.0", "jax": "0.8"}, {"keras": "3.13.0", "jax": "0.8"})
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: All nodes must have the versions that the driver has. \
Received: keras 3.12.0 on node a, keras 3.13.0 here. Install the same versions.
    """
    other = [name for name in driver if there.get(name) != driver[name]]
    if other:
        received = ", ".join(f"{name} {there.get(name, 'not installed')}" for name in other)
        here = ", ".join(f"{name} {driver[name]}" for name in other)
        raise InputError(
            "All nodes must have the versions that the driver has. "
            f"Received: {received} on {node}, {here} here. Install the same versions."
        )
