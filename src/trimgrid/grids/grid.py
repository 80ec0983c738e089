"""The attempts of a search: a list of named schedules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from trimgrid.arguments import check_integer
from trimgrid.errors import InputError
from trimgrid.iterative import planned_rewinds
from trimgrid.schedule_kinds import is_trained
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule


@dataclass(frozen=True)
class AttemptConfig:
    """One element of the grid: its name in every table and plot, and its pruning schedule.

    What an attempt has of its own may be given as well; `None` takes it from the training:
    `learning_rate` is a number above 0 in place of the one of the training's optimizer, which must
    then not follow a learning-rate schedule; `optimizer` is a Keras optimizer or its name;
    `seed` is an integer of at least 0 for the order of the data and the random layers.

    Nothing is checked here: see `check_grid`. Optimizers are equal only if they are the same
    object or have the same name.

    >>> AttemptConfig("half", ConstantSparsity(0.5)).name
    'half'
    >>> AttemptConfig("slow", ConstantSparsity(0.5), learning_rate=1e-4).learning_rate
    0.0001
    """

    name: str
    pruning_schedule: Schedule
    _: KW_ONLY
    learning_rate: float | None = None
    optimizer: Any = field(default=None, hash=False)  # the config of one is a dict
    seed: int | None = None


def article_grid(end_step: int | None = None) -> list[AttemptConfig]:
    """Return the 11 attempts of the article "Pruning of neural networks with TensorFlow".

    Six polynomial decays and five constant sparsities, all from step 0 to ``end_step`` with an
    update every 100 steps. ``None`` is the last step of the training, as the article has it.

    Raises `InputError` for an ``end_step`` that is not an integer of at least 0.

    >>> grid = article_grid()
    >>> len(grid), grid[0].name, grid[-1].name
    (11, 'poly decay 10/50', 'const sparsity 0.9')
    """
    percents = [(10, 50), (20, 50), (30, 60), (30, 70), (40, 50), (10, 90)]
    decays = [
        AttemptConfig(
            f"poly decay {initial}/{final}",
            PolynomialDecay(initial / 100, final / 100, end_step=end_step),
        )
        for initial, final in percents
    ]
    constants = [
        AttemptConfig(f"const sparsity {target}", ConstantSparsity(target, end_step=end_step))
        for target in (0.1, 0.4, 0.5, 0.6, 0.9)
    ]
    return decays + constants


def check_grid(grid: Sequence[AttemptConfig], steps: int) -> None:
    """Check before any training that every attempt of the grid can run for ``steps`` batches.

    Raises `InputError` for what is no sequence of attempts, an empty one, a name that is blank or
    used twice, a schedule without a ``plan``, a schedule that refuses its plan, and for a learning
    rate, an optimizer or a seed that an attempt can't have; from the schedule on the message starts
    with the attempt's name.

    >>> check_grid(article_grid(), steps=600)
    >>> check_grid([], steps=600)
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A grid must hold at least one attempt. Received: grid=[]. \
Add an AttemptConfig, or take article_grid().
    """
    if isinstance(grid, str) or not isinstance(grid, Sequence):
        raise InputError(
            "A grid must be a list of attempts. "
            f"Received: {type(grid).__name__}. Make it with expand_grid(...), which takes a dict, "
            "or give [AttemptConfig(name, schedule)]."
        )
    if not grid:
        raise InputError(
            f"A grid must hold at least one attempt. Received: grid={grid!r}. "
            "Add an AttemptConfig, or take article_grid()."
        )
    for attempt in grid:
        if not isinstance(attempt, AttemptConfig):
            raise InputError(
                "A grid must hold attempts. "
                f"Received: {type(attempt).__name__} in it, {attempt!r}. "
                "Make each with AttemptConfig(name, schedule), or all with expand_grid(...)."
            )
        if not isinstance(attempt.name, str) or not attempt.name.strip():
            raise InputError(
                "An attempt needs a name that can be read. "
                f"Received: name={attempt.name!r}. Give it some text."
            )
    twice = [name for name, count in Counter(attempt.name for attempt in grid).items() if count > 1]
    if twice:
        raise InputError(
            "Names in a grid must differ, they tell the attempts apart. "
            f"Received more than once: {', '.join(map(repr, twice))}. Rename all but one of each."
        )
    for attempt in grid:
        if not isinstance(attempt.pruning_schedule, Schedule):
            raise InputError(
                f"{attempt.name}: a pruning schedule must have a plan. "
                f"Received: pruning_schedule={attempt.pruning_schedule!r}. "
                "Give a ConstantSparsity or a PolynomialDecay."
            )
        try:
            _check_plan(attempt.pruning_schedule, steps)
            check_settings(attempt)
        except InputError as error:
            raise InputError(f"{attempt.name}: {error}") from error


def _check_plan(schedule: Schedule, steps: int) -> None:
    """Check what a schedule plans: those of others may plan anything."""
    plan = np.asarray(schedule.plan(steps))
    due = plan[~np.isnan(plan)] if plan.dtype.kind == "f" else plan
    fits = plan.shape == (steps + 1,) and plan.dtype.kind in "fiu"
    # In float32, as masks count: a fraction just below 1 may be 1 there.
    if not fits or not due.size or not ((due >= 0) & (due.astype(np.float32) < 1)).all():
        raise InputError(
            "A plan must give a sparsity in [0, 1) or NaN for each of the steps 0 to the last, and "
            f"a sparsity at least once. Received: {schedule!r}, which gives an array of shape "
            f"{plan.shape} with {due.size} sparsities for {steps} steps."
        )
    planned_rewinds(schedule, steps)


def check_settings(attempt: AttemptConfig) -> None:
    """Check the learning rate, the optimizer and the seed that an attempt has of its own.

    Raises `InputError` for a rate that is no finite number above 0, what is no optimizer, a seed
    that is no integer of at least 0, for a rate next to an optimizer, and for either in an attempt
    that is not trained.

    >>> check_settings(AttemptConfig("half", ConstantSparsity(0.5), learning_rate=0.01))
    """
    rate, optimizer = attempt.learning_rate, attempt.optimizer
    if rate is not None and optimizer is not None:
        raise InputError(
            "An attempt has a learning rate or an optimizer of its own, not both. "
            f"Received: learning_rate={rate!r}, optimizer={optimizer!r}. "
            "Give the optimizer the learning rate."
        )
    if rate is not None and not _is_positive(rate):
        raise InputError(
            "learning_rate must be a finite number above 0. "
            f"Received: learning_rate={rate!r}. Give a number, or an optimizer that has a schedule."
        )
    if (rate is not None or optimizer is not None) and not is_trained(attempt.pruning_schedule):
        raise InputError(
            "An attempt that is not trained has neither learning rate nor optimizer. Received: "
            f"{attempt.pruning_schedule!r} with learning_rate={rate!r}, optimizer={optimizer!r}. "
            "Leave them away, or take a ConstantSparsity, which is trained."
        )
    # Floor 0 knows no Keras: what is told apart here is told by its shape.
    named = isinstance(optimizer, str | dict) and bool(optimizer)
    made = hasattr(optimizer, "get_config") and not isinstance(optimizer, type)
    if optimizer is not None and not named and not made:
        raise InputError(
            "optimizer must be a Keras optimizer or its name. "
            f'Received: optimizer={optimizer!r}. Give "adam" or keras.optimizers.Adam(0.01).'
        )
    if attempt.seed is not None:
        check_integer("seed", attempt.seed, minimum=0)


def _is_positive(number: object) -> bool:
    if isinstance(number, bool) or not isinstance(number, Real):
        return False
    try:
        return 0 < float(number) < math.inf
    except OverflowError:  # a whole number that no float holds
        return False
