"""What goes between the driver and workers on a Ray cluster, and the mailbox where news waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import TypeAlias

from trimgrid.executors.messages import Ended, NotOpened, Opened


@dataclass(frozen=True)
class Packed:
    """The work, pickled, as Ray's object store takes it and gives it without a copy.

    `versions`: those of the driver.
    """

    content: PickleBuffer
    arrays: Sequence[PickleBuffer]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Began:
    """Where a unit is done: the node, and the file there that takes what is printed."""

    node: str
    log: str


@dataclass(frozen=True)
class OtherCards:
    """The process had other graphics cards before: it ends, so that a new one takes the unit."""


@dataclass(frozen=True)
class Telling:
    """What the unit told, pickled; `number`: how many messages of it came before."""

    number: int
    message: bytes


@dataclass(frozen=True)
class End:
    """How a unit ended in its worker; `log`: what it printed last, unless it is done.

    `told`: all that it told, once more, because a mailbox may be lost, and come late.
    """

    end: Ended | NotOpened
    told: list[bytes]
    log: str = ""


News: TypeAlias = Began | Opened | OtherCards | Telling


class Mailbox:
    """An actor that takes news from workers until the driver fetches them.

    >>> mailbox = Mailbox()
    >>> mailbox.put(3, Telling(0, b"..."))
    >>> mailbox.take(), mailbox.take()
    ([(3, Telling(number=0, message=b'...'))], [])
    """

    def __init__(self) -> None:
        self._news: list[tuple[int, News]] = []

    def put(self, task: int, news: News) -> None:
        """Take news of a task."""
        self._news.append((task, news))

    def take(self) -> list[tuple[int, News]]:
        """Return what has come since the last call, in order."""
        news, self._news = self._news, []
        return news
