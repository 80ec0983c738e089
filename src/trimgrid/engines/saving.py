"""When the state of a training is saved: now and then, at its end, and when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from trimgrid.errors import InputError, RunError
from trimgrid.interruption import Interruption, interruptible
from trimgrid.run_directory.checkpoints import Checkpoint, Checkpoints
from trimgrid.training import Task

Snapshot = Callable[[], tuple[Sequence[NDArray[Any]], Mapping[str, Sequence[Any]]]]
"""Gives arrays and history as `Checkpoints.save` takes them."""


class Saving:
    """What a training calls after each of its parts. Without checkpoints it does nothing."""

    def __init__(
        self, checkpoints: Checkpoints | None, ids: Sequence[str], interruption: Interruption
    ) -> None:
        self._checkpoints = checkpoints
        self._ids = ids
        self._interruption = interruption

    def only(self, ids: Sequence[str]) -> None:
        """Go on with some of the trainings: what is saved from now on is theirs."""
        self._ids = ids

    def after(self, step: int, snapshot: Snapshot, ended: bool = False) -> None:
        """Save the state after `step` batches, if it is due or the process is to end.

        Raises `KeyboardInterrupt` in the latter case.
        """
        if self._checkpoints is None:
            return
        requested = self._interruption.requested
        due = self._checkpoints.due_at_end() if ended else self._checkpoints.due()
        if due or requested:
            self._checkpoints.save(self._ids, step, *snapshot())
        if requested:
            raise KeyboardInterrupt


@contextmanager
def saving(checkpoints: Checkpoints | None, tasks: Sequence[Task]) -> Iterator[Saving]:
    """Give what saves tasks that train together. With checkpoints signals wait inside the block."""
    ids = [task.id for task in tasks]
    if checkpoints is None:
        yield Saving(None, ids, Interruption())
        return
    with interruptible() as interruption:
        checkpoints.begin()
        yield Saving(checkpoints, ids, interruption)


def check_ids(tasks: Sequence[Task]) -> None:
    """Check that trainings can be told apart among checkpoints.

    Raises `InputError` if not.
    """
    ids = [task.id for task in tasks]
    if "" in ids or len(set(ids)) < len(ids):
        raise InputError(
            "Trainings with checkpoints must have ids of their own. "
            f"Received: {len(ids)} tasks with {len(set(ids) - {''})} ids. Give Task(..., id=)."
        )


def check_fits(checkpoint: Checkpoint, arrays: Sequence[Any]) -> None:
    """Check that a checkpoint's first arrays have the shapes and types of a training's state.

    Raises `RunError` if it is another training's, such as one by another engine.
    """
    saved = [(tuple(each.shape), each.dtype.name) for each in checkpoint.arrays[: len(arrays)]]
    if saved != [(tuple(each.shape), _name(each.dtype)) for each in arrays]:
        raise RunError(
            "A checkpoint must be of the training that goes on from it. Received: "
            f"{str(checkpoint.file)!r}, made by another version, engine or model. Remove the "
            "file: its trainings then begin anew."
        )


def _name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else str(dtype.name)
