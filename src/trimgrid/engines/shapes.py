"""The shapes in which the compiled program takes its state, its data and what differs by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

AXIS = "attempts"
"""The name of the devices' axis, over which the rows are laid."""
Plan = NDArray[np.floating[Any]]
"""The sparsity due at each step of a training, from 0 to the last; NaN where no update is."""


class State(NamedTuple):
    """The state of all rows: the first axis of every array counts them.

    `model` is what `train_step` takes and gives: the values of the trainable, other, optimizer's
    and metrics' variables. `masks` belong to the pruned variables. `bad_step` is the step whose
    loss was the first that is not finite, -1 if there is none, and `bad_loss` that loss.
    """

    model: tuple[list[Any], list[Any], list[Any], list[Any]]
    masks: list[Any]
    bad_step: Any
    bad_loss: Any


class Begin(NamedTuple):
    """What rows go back to: the trainable variables' values, and of the optimizer's those that do.

    The same for all rows: the arrays have no axis of rows.
    """

    trainable: list[Any]
    optimizer: list[Any]


class Rows(NamedTuple):
    """What differs between rows in a window of steps.

    `targets`: the sparsity due after each step, NaN where none is, shape [steps, rows]. `order`:
    which of the orders of the data a row follows, shape [rows]. `rewinds`: whether the weights go
    back after each step, [steps, rows]; None in a program where no row's do.
    """

    targets: Any
    order: Any
    rewinds: Any = None


class Window(NamedTuple):
    """A window of steps that is the same for all rows.

    `data`: examples, each array [examples, ...]. `take`: the examples of each batch, shape
    [orders, steps, batch]. Of each step: `kind`, which of the batch sizes it has, `fresh`, whether
    the metrics begin anew before it, `slot`, the epoch of the window that it ends, else the number
    of epochs. `validation`: as `data`, `validation_take` [batches, batch], `validation_kind`.
    `offset`: the window's first step in the training. `begin`: what rows that rewind go back to,
    None in a program where none does.
    """

    data: Any
    take: Any
    kind: Any
    fresh: Any
    slot: Any
    offset: Any
    validation: Any
    validation_take: Any
    validation_kind: Any
    begin: Begin | None = None


@dataclass(frozen=True)
class Layout:
    """The static shape of a program.

    `pruned`: places of the pruned variables among the trainable ones. `sizes`: the sizes of
    batches that occur, largest first; `validation_sizes` likewise, empty without validation.
    `width`: rows of a block. `epochs`: slots for the history of a window. `metrics`: the values
    with which the metrics begin. `logs`: what a step logs, `validation_logs`: what a validation
    logs, as arrays' shapes and types. `state_places`: places, among the optimizer's variables, of
    those that go back where a row rewinds.
    """

    pruned: tuple[int, ...]
    sizes: tuple[int, ...]
    validation_sizes: tuple[int, ...]
    width: int
    epochs: int
    metrics: list[Any]
    logs: dict[str, Any]
    validation_logs: dict[str, Any]
    state_places: tuple[int, ...] = ()
