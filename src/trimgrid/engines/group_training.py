"""The training of a group from its begin, or from checkpoints, to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from trimgrid.engines.feeding import Pace
from trimgrid.engines.group import GroupProgram
from trimgrid.engines.rows import unstack
from trimgrid.engines.saving import Saving, check_fits
from trimgrid.engines.shapes import Plan, State
from trimgrid.run_directory.checkpoints import Checkpoint
from trimgrid.training import Task

History = dict[str, list[NDArray[Any]]]
"""Under each key a value for every epoch, of shape [attempts, ...]."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a row: its state at the end, and its history."""

    state: State
    history: dict[str, list[Any]]


def train_group(
    program: GroupProgram,
    tasks: Sequence[Task],
    saving: Saving,
    checkpoints: Sequence[Checkpoint] = (),
    on_epoch: Callable[[int, Sequence[float]], None] | None = None,
) -> list[Outcome]:
    """Train tasks of one length together; `saving` is called after each part.

    `checkpoints`: of all the tasks after the same step, from which they go on; none: they begin.
    `on_epoch` gets each epoch's number, from 1, and the tasks' losses.

    Raises `RunError` for the checkpoint of another training.
    """
    feeder, epochs = program.feeder, tasks[0].training.epochs
    length = feeder.source.steps
    plans = [_plan(task, length * epochs) for task in tasks]
    rows, history, done = _begin(program, tasks, plans, checkpoints)
    if done == length * epochs or (done % length == 0 and _all_bad([r.bad_step for r in rows])):
        return _outcomes(rows, history)
    group, pace = program.begin(tasks, rows), Pace()
    state, places = group.state, group.places
    window_begin, before = -1, None
    steps_before, ready = 0, 0.0

    def snapshot() -> tuple[list[NDArray[Any]], History]:
        arrays = [np.asarray(array)[places.of_attempt] for array in jax.tree.leaves(state)]
        return arrays, history

    for call in feeder.calls(epochs, group.seeds, pace, done):
        if call.begin != window_begin:
            window_begin = call.begin
            differing = program.rows(tasks, plans, window_begin, group)
        began = time.perf_counter()
        state, seen = program.call(group, state, differing, call)
        if call.ended or feeder.source.resident:
            seen = {key: np.asarray(value) for key, value in seen.items()}  # waits for the call
            pace.took(call.stop - call.first, time.perf_counter() - began)
        else:
            # At most two calls under way: the devices have the next while this one is waited for.
            jax.block_until_ready(before)
            if before is not None:
                pace.took(steps_before, time.perf_counter() - ready)
            before, steps_before, ready = seen, call.stop - call.first, time.perf_counter()
        for epoch, slot in call.ended:
            for key, values in seen.items():
                history.setdefault(key, []).append(values[slot][places.of_attempt])
            if on_epoch is not None:
                losses = history.get("loss", [np.full(len(tasks), np.nan)])[-1]
                on_epoch(epoch + 1, [float(loss) for loss in losses])
        done = call.begin + call.stop
        over = done == length * epochs
        if call.ended and not over:
            over = _all_bad(np.asarray(state.bad_step)[places.of_attempt])
        saving.after(done, snapshot, over)
        if over:
            break
    return _outcomes(unstack(places, state), history)


def _begin(
    program: GroupProgram,
    tasks: Sequence[Task],
    plans: Sequence[Plan],
    checkpoints: Sequence[Checkpoint],
) -> tuple[list[State], History, int]:
    """The states of the rows, the history so far, and how many steps are done."""
    if not checkpoints:
        return program.starts(tasks, plans), {}, 0
    (example,) = program.starts(tasks[:1], [np.full(1, np.nan)])
    leaves, structure = jax.tree.flatten(example)
    for each in checkpoints:
        check_fits(each, leaves)
    rows = [jax.tree.unflatten(structure, each.arrays) for each in checkpoints]
    first = checkpoints[0]
    history = {
        key: [
            np.asarray([each.history[key][epoch] for each in checkpoints])
            for epoch in range(len(values))
        ]
        for key, values in first.history.items()
    }
    return rows, history, first.step


def _outcomes(rows: Sequence[State], history: History) -> list[Outcome]:
    def of(place: int) -> dict[str, list[Any]]:
        return {key: [value[place].tolist() for value in seen] for key, seen in history.items()}

    return [Outcome(row, of(place)) for place, row in enumerate(rows)]


def _all_bad(bad_steps: Any) -> bool:
    """Whether no row has a finite loss any more."""
    return bool((np.asarray(bad_steps) >= 0).all())


def _plan(task: Task, steps: int) -> Plan:
    if task.schedule is None:
        return np.full(steps + 1, np.nan)
    return np.asarray(task.schedule.plan(steps), np.float32)
