"""How much memory training may take, and how much a compiled program needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from trimgrid.errors import InputError

SHARE = 0.6
_CGROUP = Path("/sys/fs/cgroup")
# Limit, use, statistics, and in these the name of idle files' bytes, of versions 2 and 1.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


class NoRoomError(InputError):
    """Not even the smallest program keeps within the memory."""


def budget(memory: int | None, devices: Sequence[Any]) -> int:
    """The bytes that training may take on all devices together: `memory`, or 60 % of what is free.

    `devices` are JAX devices: on a CPU they share the machine's memory, others have their own.

    Raises `InputError` for a budget that is not positive.
    """
    if memory is not None:
        if memory <= 0:
            raise InputError(
                "The memory for training must be above 0 bytes. "
                f"Received: memory={memory}. Leave it away for 60 % of what is free."
            )
        return memory
    statistics = [device.memory_stats() for device in devices]
    if all(each and "bytes_limit" in each for each in statistics):
        free = sum(each["bytes_limit"] - each.get("bytes_in_use", 0) for each in statistics)
    else:
        free = free_memory()
    return int(SHARE * free)


def free_memory() -> int:
    """The bytes of main memory that this process can still have: the machine's, or its group's.

    >>> 0 < free_memory() <= psutil.virtual_memory().total
    True
    """
    free = [int(psutil.virtual_memory().available)]
    for limit, used, statistics, files in _CGROUP_FILES:
        try:
            room = int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text())
            # What is used counts files that were read, and of these the idle ones can go.
            lines = (_CGROUP / statistics).read_text().splitlines()
            idle = dict(line.split(" ", 1) for line in lines).get(files, "0")
            free.append(room + int(idle))
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
    return max(1, min(free))


def needed(compiled: Any) -> int:
    """The bytes that a compiled program needs on one device.

    State that is given away to the program and comes back counts once.
    """
    sizes = compiled.memory_analysis()
    return int(
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        - sizes.alias_size_in_bytes
        + sizes.temp_size_in_bytes
    )


def readable(size: float) -> str:
    """Bytes for people.

    >>> readable(1_500_000), readable(20)
    ('1.5 MB', '20 bytes')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"
