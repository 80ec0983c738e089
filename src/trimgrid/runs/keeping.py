"""What a run keeps in its run directory, and what it finds there when it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from trimgrid.errors import RunError, first_line
from trimgrid.results import GIVEN_UP, AttemptInfo
from trimgrid.run_directory.attempt_files import result_dict
from trimgrid.run_directory.attempt_store import AttemptStore
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.run_directory.details import Details, Updates
from trimgrid.run_directory.elsewhere import fetch_attempt
from trimgrid.run_directory.manifest import Planned
from trimgrid.run_directory.paths import CHOICES
from trimgrid.runs.checking import Say
from trimgrid.runs.measuring import Measured
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt

KEPT_FILES = ("model.keras", "model.tflite")


class Logger(Protocol):
    """Takes each result once it is kept, perhaps more than once; see `trimgrid.loggers`."""

    def log(self, attempt: StoredAttempt) -> None:
        """Take a result, unless it was taken before."""

    def close(self) -> None:
        """Take note that the run has ended."""


class RunKeeper:
    """Keeps the results of a run in a run directory that is open.

    `planned`: the original and the attempts, by their names, and `seeds` those of their trainings.
    `updates`: the steps at which masks are chosen, with the sparsity, by the attempts' names.
    `steps`: the batches of an attempt's training.
    `seconds`: of training between two checkpoints. `say` is called with a line on what could not be
    logged. `loggers` get each result once it is safe on the disk.
    """

    def __init__(
        self,
        store: AttemptStore,
        planned: Mapping[str, Planned],
        seeds: Mapping[str, Sequence[int]],
        updates: Mapping[str, Updates],
        steps: int,
        seconds: float,
        say: Say,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self._store = store
        self._planned = planned
        self._seeds = seeds
        self._updates = updates
        self._steps = steps
        self._say = say
        self._loggers = loggers
        self.work = store.work
        self.choices = store.folder / CHOICES
        self.checkpoints = Checkpoints(store.checkpoints, seconds)
        self._forget_needless()
        for name in planned:
            kept = self.finished(name)
            # A process may have died between keeping a result and telling of it.
            if kept is not None:
                self._log(kept)

    def training_id(self, name: str, repeat: int) -> str:
        """Return the id of one training of an attempt; repeats count from 0."""
        return f"{self._planned[name].id}-{repeat}"

    def finished(self, name: str) -> StoredAttempt | None:
        """Return the result of an attempt that was finished before, else None."""
        return StoredAttempt.read(self._store.folder, self._planned[name])

    def load_original(self, model: Any) -> None:
        """Put the weights of the finished original into a copy of it.

        Raises `RunError` for a model file that is damaged.
        """
        original = self.finished(next(iter(self._planned)))
        assert original is not None
        path = original.model_file
        try:
            model.load_weights(path)
        except Exception as error:  # a damaged file fails in zipfile, h5py or Keras
            raise RunError(
                f"{shown(path)} can't be read: {type(error).__name__}: {first_line(error)} "
                "Take another run directory."
            ) from error

    def keep(self, measured: Measured, info: AttemptInfo) -> AttemptInfo:
        """Keep a result and its files for good; return the result as it is kept."""
        planned = self._planned[info.name]
        if self._store.is_finished(planned.id):  # a worker of a run that was killed was quicker
            found = self.finished(info.name)
            assert found is not None
            return found
        self._store.write_attempt(planned)
        self._store.write_history(planned.id, _columns(self._seeds[info.name], measured.histories))
        if info.y_pred is not None:
            self._store.write_predictions(planned.id, info.y_pred)
        for name in KEPT_FILES:
            if measured.files is not None and (measured.files / name).exists():
                self._store.adopt(planned.id, measured.files / name)
        updates = self._updates.get(info.name, ())
        details = Details(measured.tensors, measured.histogram, self._steps, updates)
        self._store.write_details(planned.id, details)
        folder = self._store.attempt_folder(planned.id)
        seeds = self._seeds[info.name]
        self._store.finish(planned.id, result_dict(folder, planned.id, info, seeds=seeds))
        kept = self.finished(info.name)
        assert kept is not None
        repeats = range(len(self._seeds[info.name]))
        self.checkpoints.forget(self.training_id(info.name, repeat) for repeat in repeats)
        self._log(kept)
        return kept

    def fetched(self, name: str) -> StoredAttempt | None:
        """Return the result of an attempt that a worker may have finished, wherever it did."""
        fetch_attempt(self._store.folder, self._planned[name].id)
        return self.finished(name)

    def kept(self, name: str) -> StoredAttempt:
        """Return the result of an attempt that a worker has finished; loggers get it."""
        kept = self.fetched(name)
        assert kept is not None
        self._log(kept)
        return kept

    def give_up(self, name: str, reason: str) -> None:
        """Keep as the result of an attempt that its workers failed, for the next run to try again.

        Its weights are counted as the original's: there is no model of its own.
        """
        planned = self._planned[name]
        original = self.finished(next(iter(self._planned)))
        assert original is not None
        total = original.total_weights
        info = AttemptInfo(name, total, total, 0, None, None, None, None, None, math.nan)
        info.status = f"{GIVEN_UP}{reason}"
        self._store.write_attempt(planned)
        folder = self._store.attempt_folder(planned.id)
        self._store.finish(
            planned.id, result_dict(folder, planned.id, info, seeds=self._seeds[name])
        )

    def _forget_needless(self) -> None:
        """Let go of the checkpoints of attempts that are finished, or not planned any more."""
        planned = {each.id for each in self._store.planned}
        for training in self.checkpoints.ids:
            attempt = training.rpartition("-")[0]
            if attempt not in planned or self._store.is_finished(attempt):
                self.checkpoints.forget([training])

    def _log(self, kept: StoredAttempt) -> None:
        if kept.damaged or kept.given_up:  # the next run has something to log
            return
        for logger in self._loggers:
            try:
                logger.log(kept)
            except RunError as error:  # a file of this attempt that is damaged: the others go on
                self._say(f"Not logged: {error}")


def _columns(
    seeds: Sequence[int], histories: Sequence[Mapping[str, Sequence[Any]]]
) -> dict[str, list[Any]]:
    """The histories of all seeds as columns: seed, epoch, and a value an epoch for each key.

    A metric of several values, such as one a class, has a column for each: "f1_score_0", ...
    """
    scalars = [_by_number(history) for history in histories]
    columns: dict[str, list[Any]] = {"seed": [], "epoch": []}
    keys = list(dict.fromkeys(key for history in scalars for key in history))
    columns.update({key: [] for key in keys})
    for seed, history in zip(seeds, scalars, strict=True):
        epochs = max((len(values) for values in history.values()), default=0)
        columns["seed"] += [seed] * epochs
        columns["epoch"] += range(1, epochs + 1)
        for key in keys:
            columns[key] += history.get(key, [float("nan")] * epochs)
    return columns


def _by_number(history: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for key, values in history.items():
        rows = np.asarray(values, np.float64).reshape(len(values), -1)
        one = rows.shape[1] == 1
        for place, column in enumerate(rows.T):
            found[key if one else f"{key}_{place}"] = column.tolist()
    return found
