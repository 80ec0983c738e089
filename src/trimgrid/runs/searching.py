"""The loop of a search: ask for a batch, train it as a grid, learn from what came out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from trimgrid.allocation.setting import ALLOCATIONS
from trimgrid.arguments import check_integer
from trimgrid.choosing import check_size, error_limit, has_error
from trimgrid.digests import digest
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.halving import Halving, rungs_of
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.models import copy_model
from trimgrid.prunable import check_prunable_model
from trimgrid.run_directory.search_file import (
    SearchRecord,
    read_search,
    search_path,
    write_search,
)
from trimgrid.run_directory.sensitivity_file import SENSITIVITY
from trimgrid.runs.asking import Known, ask, check_sampler, importances
from trimgrid.runs.recommending import recommended_grid
from trimgrid.runs.results import load_results
from trimgrid.runs.run_options import RunOptions, Subject
from trimgrid.runs.search import Search
from trimgrid.runs.search_space import Params, SearchSpace
from trimgrid.runs.sensing import sensitivity_of
from trimgrid.runs.stored_run import StoredRun, reported
from trimgrid.sensitivity import SPARSITIES, Sensitivity
from trimgrid.shrunk_info import SHRUNK_SIZES

_PREFIX = "search "
BATCH = 16
"""How many attempts are asked for at once, and train together."""


@dataclass(frozen=True)
class SearchOptions:
    """What is searched for, and how: see `trimgrid.Study.search`.

    Raises `InputError` for what is none of it.
    """

    max_error: float | None
    max_increase: float | None
    size: str
    budget: int
    batch: int
    seed: int
    sampler: str

    def __post_init__(self) -> None:
        check_size(self.size)
        if not self.size.startswith("zipped_") and self.size not in SHRUNK_SIZES:
            raise InputError(
                "A search looks for a size that depends on zeros. "
                f"Received: size={self.size!r}, which is the same however much is pruned. "
                f"Give size='zipped_{self.size}'."
            )
        check_sampler(self.sampler)
        for name in ("budget", "batch"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("seed", self.seed, minimum=0)
        error_limit(1.0, self.max_error, self.max_increase)

    def path(self, folder: Path) -> Path:
        """The file in a run directory in which the search is kept."""
        return search_path(folder, digest([self.settings])[:16])

    @property
    def settings(self) -> dict[str, Any]:
        """What tells a search from others: all but its budget, which may grow."""
        return {
            "max_error": self.max_error,
            "max_increase": self.max_increase,
            "size": self.size,
            "batch": self.batch,
            "seed": self.seed,
            "sampler": self.sampler,
        }


class Searcher:
    """Searches in a run that is open, or goes on with a search that was stopped.

    `epochs`: of a training, which tells where hopeless attempts are stopped.
    """

    def __init__(
        self,
        run: StoredRun,
        record: SearchRecord,
        space: SearchSpace,
        options: SearchOptions,
        epochs: int,
    ) -> None:
        self._run = run
        self._space = space
        self._options = options
        self._rungs = rungs_of(epochs)
        self._path = options.path(run.folder)
        self._record = record
        original = load_results(run.folder).find_original()
        error = np.nan if original is None else original.error
        self._limit = error_limit(error, options.max_error, options.max_increase)

    def search(self) -> list[Known]:
        """Ask and train until the budget is spent; what was asked before is taken up first.

        Returns what is known of the attempts in the end. Raises what training a grid raises.
        """
        known: dict[str, Known] = {}
        trained: set[str] = set()
        for place in itertools.count():
            left = self._options.budget - len(trained)
            if left <= 0:
                break
            if place == len(self._record.batches):
                asked = self._ask([*known.values()], min(self._options.batch, left))
                batch = self._named(asked)
                if {each["name"] for each in batch} <= trained:
                    break  # the sampler has nothing new any more
                self._record.batches.append(batch)
                self._write()
            batch = self._record.batches[place]
            known |= self._train(batch)
            trained |= {each["name"] for each in batch}
        return [*known.values()]

    @property
    def params(self) -> dict[str, Params]:
        """What stands for each attempt that was asked for, by its name."""
        return {each["name"]: each["params"] for each in self._record.asked}

    def _ask(self, known: Sequence[Known], count: int) -> list[Params]:
        options = self._options
        first: list[Params] = []
        if not self._record.batches and options.sampler != "random":
            first = self._space.first(count // 2, options.max_error, options.max_increase)
        return first + ask(
            self._space,
            known,
            count - len(first),
            limit=self._limit,
            # Other searches in the directory are to try other attempts.
            seed=digest([options.settings, len(self._record.batches)]),
            sampler=options.sampler,
        )

    def _named(self, asked: Sequence[Params]) -> list[dict[str, Any]]:
        """What is asked for, with the names of the attempts: those that the directory has."""
        before = {_key(each["params"]): each["name"] for each in self._record.asked}
        number = max(map(_number, self._run.names), default=0)
        for params in asked:
            if _key(params) not in before:
                number += 1
                (attempt,) = self._run.named([self._space.attempt(number, params)])
                before[_key(params)] = attempt.name
        return [{"name": before[_key(params)], "params": params} for params in asked]

    def _train(self, batch: Sequence[dict[str, Any]]) -> dict[str, Known]:
        attempts = {each["name"]: self._attempt(each) for each in batch}
        kept = {name: params["density"] for name, params in self.params.items()}
        self._run.train(
            list(attempts.values()),
            Halving(self._rungs, kept, self._record.decisions, lambda _: self._write()),
        )
        results = load_results(self._run.folder)
        found = {}
        for each in batch:
            result = results[each["name"]]
            size = getattr(result, self._options.size)
            if has_error(result) and size is not None:
                found[result.name] = Known(each["params"], result.error, size)
        return found

    def _attempt(self, asked: dict[str, Any]) -> AttemptConfig:
        return replace(self._space.attempt(0, asked["params"]), name=asked["name"])

    def _write(self) -> None:
        write_search(self._path, self._record)


def _number(name: str) -> int:
    """The number of an attempt of a search, 0 of another one."""
    found = re.match(rf"{_PREFIX}(\d+),", name)
    return int(found[1]) if found else 0


def _key(params: Params) -> tuple[Any, ...]:
    return tuple(sorted(params.items()))


def run_search(
    subject: Subject,
    folder: Path,
    run_options: RunOptions,
    options: SearchOptions,
    measure: ErrorMeasure,
    peak: float,
) -> Search:
    """Search in a run directory: see `trimgrid.Study.search`.

    `measure`: of the error. `peak`: the highest learning rate with which the original was trained.

    Raises what training a grid raises.
    """
    model, steps = subject.model, subject.lengths.steps
    expected = [
        replace(each, allocation=allocation)
        for each, allocation in zip(
            recommended_grid(model, steps, learning_rate=peak) * options.batch,
            cycle(ALLOCATIONS),
            strict=False,
        )
    ]
    with (
        StoredRun(subject, folder, run_options, expected[: options.batch]) as run,
        ExitStack() as stack,
    ):
        path = options.path(run.folder)
        record = read_search(path) if path.exists() else None
        missing = options.budget
        if record is not None:
            finished = {each.name for each in load_results(run.folder)}
            missing = record.missing(options.budget, finished)
        stack.enter_context(run.together(missing))
        run.train([])
        if record is None:
            record = SearchRecord(options.settings, _sensitivity(run.folder, subject, measure))
        record.budget = options.budget
        if not (run.folder / SENSITIVITY).exists():
            run.write_sensitivity(record.sensitivity)
        shapes = [each.shape for each in check_prunable_model(model) if each.reason is None]
        space = SearchSpace.of(shapes, steps, peak, record.sensitivity)
        searcher = Searcher(run, record, space, options, subject.training.epochs)
        asked = len(record.names)
        run.say(
            f"Going on with a search: {asked} of {options.budget} attempts are asked for."
            if asked
            else f"A new search: {options.budget} attempts in batches of {options.batch}."
        )
        known = searcher.search()
    return Search(
        reported(folder, run.say),
        searcher.params,
        options.size,
        options.max_error,
        options.max_increase,
        importances(space, known),
        record.sensitivity,
    )


def _sensitivity(folder: Path, subject: Subject, measure: ErrorMeasure) -> Sensitivity:
    """That of the original as it was trained."""
    original = copy_model(subject.model)
    original.load_weights(load_results(folder)[0].model_file)
    test = subject.data.test or subject.data.train
    return sensitivity_of(original, measure, test, SPARSITIES)
