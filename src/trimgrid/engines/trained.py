"""What an engine gives for a training, and how it tells of its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

OnEpoch = Callable[[Sequence[str], int, Sequence[float]], None]
"""Called after each epoch with the names of what trains together, the epoch's number, from 1, and
the training loss of each."""


@dataclass(frozen=True)
class Trained:
    """What a training gave: the model, its history, and why it failed (None if it did not).

    `stopped`: after which epoch, from 1, it was stopped as hopeless; None if it was not.

    `history` holds one value an epoch under "loss", "val_loss" and the metrics' names.
    """

    model: Any
    history: dict[str, list[float]]
    failure: str | None
    stopped: int | None = None
