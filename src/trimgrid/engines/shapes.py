"""The shapes in which the compiled program takes its state, its data and what differs by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimgrid.structures.kinds import Structure

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


class RowStart(NamedTuple):
    """What rows go back to: the trainable variables' values, and of the optimizer's those that do.

    The same for all rows: the arrays have no axis of rows.
    """

    trainable: list[Any]
    optimizer: list[Any]


class Rows(NamedTuple):
    """What differs between rows in a window of steps.

    `targets`: the sparsity due after each step, NaN where none is, shape [steps, rows]. `order`:
    which of the orders of the data a row follows, shape [rows]. `rates`: the learning rate of each
    step, NaN where the optimizer's stays as it is, shape [steps, rows]. `masks_epoch_ends`: whether
    pruned weights are zero where masks are chosen at the end of an epoch, shape [rows]. `sharing`:
    how each row shares its sparsity out among the tensors, a `Sharing` of arrays [rows, ...], None
    where no row does. `rewinds`: whether the weights go back after each step, [steps, rows]; None
    in a program where no row's do.
    """

    targets: Any
    order: Any
    rates: Any
    masks_epoch_ends: Any
    sharing: Any = None
    rewinds: Any = None


ROW_AXES = Rows(targets=1, order=0, rates=1, masks_epoch_ends=0, sharing=0, rewinds=1)
"""Which axis of the arrays of `Rows` counts the rows."""


class Window(NamedTuple):
    """A window of steps that is the same for all rows.

    `data`: examples, each array [examples, ...]. `take`: the examples of each batch, shape
    [orders, steps, batch]. Of each step: `kind`, which of the batch sizes it has, `fresh`, whether
    the metrics begin anew before it, `slot`, the epoch of the window that it ends, else the number
    of epochs. `validation`: as `data`, `validation_take` [batches, batch], `validation_kind`.
    `offset`: the window's first step in the training. `teacher`: the values of a teacher's
    trainable and other variables, None without distillation. `start`: what rows that rewind go back
    to, None in a program where none does.
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
    teacher: Any = None
    start: RowStart | None = None


@dataclass(frozen=True)
class Layout:
    """The static shape of a program.

    `pruned`: places of the pruned variables among the trainable ones. `rate`: place of the learning
    rate among the optimizer's variables, None where it follows a schedule of Keras. `sizes`: the
    sizes of batches that occur, largest first; `validation_sizes` likewise, empty without
    validation. `width`: rows of a block. `epochs`: slots for the history of a window. `metrics`:
    the values with which the metrics begin. `logs`: what a step logs, `validation_logs`: what a
    validation logs, as arrays' shapes and types. `train_step`: from the state of a row, a batch and
    the teacher to the logs and the new state. `rules`: the rules of allocation that rows may have,
    see `Sharing.kind`; empty where all tensors of all rows have the target for themselves.
    `state_places`: places, among the optimizer's variables, of those that go back where a row
    rewinds. `structure`: that of the masks of all rows.
    """

    pruned: tuple[int, ...]
    rate: int | None
    sizes: tuple[int, ...]
    validation_sizes: tuple[int, ...]
    width: int
    epochs: int
    metrics: list[Any]
    logs: dict[str, Any]
    validation_logs: dict[str, Any]
    train_step: Callable[[Any, Any, Any], Any]
    rules: tuple[int, ...]
    state_places: tuple[int, ...] = ()
    structure: Structure | None = None
