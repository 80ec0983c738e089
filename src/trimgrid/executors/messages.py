"""What a worker process writes to the driver, one message after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Opened:
    """The worker is ready for units."""


@dataclass(frozen=True)
class NotOpened:
    """The worker can't do any unit; `bad_input`: because of what it was given."""

    reason: str
    bad_input: bool


@dataclass(frozen=True)
class Said:
    """What the unit told."""

    message: Any


@dataclass(frozen=True)
class Ended:
    """The unit is done, or raised: then `reason` is one line."""

    reason: str | None = None


Message: TypeAlias = Opened | NotOpened | Said | Ended
