"""What a mirror must know of the folder: what is fetched at once, and what is written in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The files of a folder by their paths in it, with slashes.

    `head`: the file without which the folder is none of ours; it is written after what it needs.
    `seal`: the name of the file that makes the others of its folder count: it is written after them
    and removed before them. `lock`: the name of the files that tell who writes, which are no part
    of the copy. `sent`: whether a file goes to the storage. `wanted`: whether a file is fetched
    with the others, for reading or, if the second argument is true, for writing; else it is when it
    is asked for.
    """

    head: str
    seal: str
    lock: str
    always: tuple[str, ...]
    """Folders that are sent with whatever is sent."""
    sent: Callable[[str], bool]
    wanted: Callable[[str, bool], bool]
