"""The training of a group from its begin, or from checkpoints, to its end."""

from __future__ import annotations

import math
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
from trimgrid.halving import Halving
from trimgrid.run_directory.checkpoints import Checkpoint
from trimgrid.training import Task

History = dict[str, list[NDArray[Any]]]
"""Under each key a value for every epoch, of shape [attempts, ...]."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a row: its state at the end, and its history.

    `stopped`: after which epoch it was stopped as hopeless; None if it was not.
    """

    state: State
    history: dict[str, list[Any]]
    stopped: int | None = None


def train_group(
    program: GroupProgram,
    tasks: Sequence[Task],
    saving: Saving,
    checkpoints: Sequence[Checkpoint] = (),
    on_epoch: Callable[[int, Sequence[float]], None] | None = None,
    halving: Halving | None = None,
) -> list[Outcome]:
    """Train tasks of one length together; `saving` is called after each part.

    `checkpoints`: of all the tasks after the same step, from which they go on; none: they begin.
    `on_epoch` gets each epoch's number, from 1, and the tasks' losses, NaN for one that was
    stopped. `halving`: the rows of tasks that it finds hopeless are done no more.

    Raises `RunError` for the checkpoint of another training.
    """
    feeder, epochs = program.feeder, tasks[0].training.epochs
    length = feeder.source.steps
    plans = [_plan(task, length * epochs) for task in tasks]
    rows, history, done = _begin(program, tasks, plans, checkpoints)
    if done == length * epochs or (done % length == 0 and _all_bad([r.bad_step for r in rows])):
        return _outcomes(rows, history)
    outcomes: dict[int, Outcome] = {}
    running = list(range(len(tasks)))
    seeds = list(dict.fromkeys(task.training.seed for task in tasks))
    group, pace = program.begin(tasks, plans, rows, seeds), Pace()
    state, places = group.state, group.places
    window_begin, before = -1, None
    steps_before, ready = 0, 0.0

    def still(values: Sequence[Any]) -> list[Any]:
        """Of the values of all tasks those of the tasks that still train."""
        return [values[place] for place in running]

    def snapshot() -> tuple[list[NDArray[Any]], History]:
        arrays = [np.asarray(array)[places.of_attempt] for array in jax.tree.leaves(state)]
        return arrays, history

    rungs = () if halving is None else halving.rungs
    for call in feeder.calls(epochs, group.seeds, pace, done, rungs):
        if call.begin != window_begin:
            window_begin = call.begin
            differing = program.rows(still(tasks), still(plans), window_begin, group)
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
                losses = np.full(len(tasks), np.nan)
                losses[running] = history.get("loss", [losses[running]])[-1]
                on_epoch(epoch + 1, [float(loss) for loss in losses])
        done = call.begin + call.stop
        over = done == length * epochs
        if call.ended and not over:
            over = _all_bad(np.asarray(state.bad_step)[places.of_attempt])
        # A train_step of one's own need not log a loss: then there is nothing to compare.
        if call.ended and halving is not None and not over and "loss" in history:
            epoch = call.ended[-1][0] + 1
            names = [each.name for each in still(tasks)]
            bad = np.asarray(state.bad_step)[places.of_attempt] >= 0
            lost = halving.hopeless(epoch, names, _watched(history, bad))
            if lost:
                kept = [i for i, each in enumerate(still(tasks)) if each.name not in lost]
                found = _outcomes(unstack(places, state), history, epoch)
                outcomes |= {p: found[i] for i, p in enumerate(running) if i not in kept}
                if not kept:  # the others of the group had come further before the run stopped
                    return [outcomes[place] for place in range(len(tasks))]
                history = {key: [each[kept] for each in seen] for key, seen in history.items()}
                running = [running[place] for place in kept]
                saving.only([each.id for each in still(tasks)])
                group = program.begin(
                    still(tasks), still(plans), [found[place].state for place in kept], seeds
                )
                state, places = group.state, group.places
                differing = program.rows(still(tasks), still(plans), window_begin, group)
        saving.after(done, snapshot, over)
        if over:
            break
    outcomes |= dict(zip(running, _outcomes(unstack(places, state), history), strict=True))
    return [outcomes[place] for place in range(len(tasks))]


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


def _outcomes(rows: Sequence[State], history: History, stopped: int | None = None) -> list[Outcome]:
    def of(place: int) -> dict[str, list[Any]]:
        return {key: [value[place].tolist() for value in seen] for key, seen in history.items()}

    return [Outcome(row, of(place), stopped) for place, row in enumerate(rows)]


def _watched(history: History, bad: NDArray[np.bool_]) -> list[float]:
    """The rows' last loss on the validation data, or on the training data where there is none.

    That of a row which is `bad` is infinite, whatever it came back to.
    """
    watched = history.get("val_loss") or history["loss"]
    return [
        math.inf if wrong else float(loss) for loss, wrong in zip(watched[-1], bad, strict=True)
    ]


def _all_bad(bad_steps: Any) -> bool:
    """Whether no row has a finite loss any more."""
    return bool((np.asarray(bad_steps) >= 0).all())


def _plan(task: Task, steps: int) -> Plan:
    if task.schedule is None:
        return np.full(steps + 1, np.nan)
    return np.asarray(task.schedule.plan(steps), np.float32)
