"""The attempts of a search: a list of named schedules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from trimgrid.allocation.setting import allocation_of, check_allocation
from trimgrid.arguments import check_integer
from trimgrid.distillation import Distillation, check_distillation
from trimgrid.errors import InputError, told_of
from trimgrid.iterative import planned_rewinds, rewinds_rates
from trimgrid.learning_rates import AS_IS, Cosine, LearningRate, OneCycle, check_name
from trimgrid.schedule_kinds import is_trained
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule
from trimgrid.structures.kinds import Structure, structure_of
from trimgrid.terminal_text import printable
from trimgrid.tfmot_schedules import known_schedule


@dataclass(frozen=True)
class AttemptConfig:
    """One element of the grid: its name in every table and plot, and its pruning schedule.

    What an attempt has of its own may be given as well; `None` takes it from the training:
    `learning_rate` is a number above 0 in place of the one of the training's optimizer, which must
    then not follow a learning-rate schedule; a `Cosine` or `OneCycle` with a rate for each batch;
    "rewind", the rates of the original's training run through once more, over all of this one;
    or "as_is", the optimizer's own, which is what `None` is. In an `IterativePruning` that rewinds
    all but numbers and "as_is" run anew in each round. `optimizer` is a Keras optimizer or its
    name; `seed` is an integer of at least 0 for the order of the data and the random layers.
    `distillation` lets the attempt learn from the trained original's outputs too. `allocation`
    ("uniform", "erdos_renyi", "global_magnitude" or "lamp"), `min_kept` and `overrides` share the
    schedule's sparsity out among the tensors, see `trimgrid.Allocation`; without any of them each
    tensor has it for itself. `structure`, a `trimgrid.Blocks`, `NofM` or `Units`, or one of them in
    words, such as "blocks 1x4", "2:4" or "units", lets groups of weights stay or go as one.

    `pruning_schedule` may also be one of the TensorFlow Model Optimization toolkit, or its config:
    it is kept as the one here that prunes at the same steps, with ``timing="tfmot"``.

    Raises `InputError` for a structure that is none. Nothing else is checked here: see
    `check_grid`. Optimizers are equal only if they are the same object or have the same name.

    >>> AttemptConfig("half", ConstantSparsity(0.5)).name
    'half'
    >>> AttemptConfig("slow", ConstantSparsity(0.5), learning_rate=1e-4).learning_rate
    0.0001
    """

    name: str
    pruning_schedule: Schedule
    _: KW_ONLY
    learning_rate: LearningRate | None = None
    optimizer: Any = field(default=None, hash=False)  # the config of one is a dict
    seed: int | None = None
    distillation: Distillation | None = None
    allocation: str | None = None
    min_kept: int | None = None
    overrides: Mapping[str, float] | None = field(default=None, hash=False)
    structure: Structure | str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        with told_of(str(self.name)):
            schedule = known_schedule(self.pruning_schedule)
            structure = structure_of(self.structure)
        object.__setattr__(self, "pruning_schedule", schedule)
        object.__setattr__(self, "structure", structure)


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


def with_allocation(grid: Sequence[AttemptConfig], allocation: str) -> list[AttemptConfig]:
    """Return the attempts with an allocation for those that have none of their own.

    Raises `InputError` for an unknown one.

    >>> {attempt.allocation for attempt in with_allocation(article_grid(), "lamp")}
    {'lamp'}
    """
    check_allocation(allocation)
    return [
        attempt if attempt.allocation else replace(attempt, allocation=allocation)
        for attempt in grid
    ]


def with_structure(
    grid: Sequence[AttemptConfig], structure: Structure | str
) -> list[AttemptConfig]:
    """Return the attempts with a structure for those that have none of their own.

    Raises `InputError` for one that is none.

    >>> {str(attempt.structure) for attempt in with_structure(article_grid(), "2:4")}
    {'2:4'}
    """
    made = structure_of(structure)
    return [attempt if attempt.structure else replace(attempt, structure=made) for attempt in grid]


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
                f"{printable(attempt.name)}: a pruning schedule must have a plan. "
                f"Received: pruning_schedule={attempt.pruning_schedule!r}. "
                "Give a ConstantSparsity or a PolynomialDecay."
            )
        with told_of(attempt.name):
            _check_plan(attempt.pruning_schedule, steps)
            check_settings(attempt)


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
    """Check the settings that an attempt has of its own, each by itself.

    Raises `InputError` for a rate that is no finite number above 0, no schedule and no name of one,
    what is no optimizer, a seed that is no integer of at least 0, what is no `Distillation`, an
    allocation that is unknown, for a number for a rate next to an optimizer, and for what only
    training needs in an attempt that is not trained.

    >>> check_settings(AttemptConfig("half", ConstantSparsity(0.5), learning_rate=0.01))
    """
    rate, optimizer = attempt.learning_rate, attempt.optimizer
    _check_rate(rate)
    if isinstance(rate, Real) and optimizer is not None:
        raise InputError(
            "An attempt has a learning rate or an optimizer of its own, not both. "
            f"Received: learning_rate={rate!r}, optimizer={optimizer!r}. "
            "Give the optimizer the learning rate."
        )
    if not is_trained(attempt.pruning_schedule):
        _check_untrained(attempt)
    if rewinds_rates(attempt.pruning_schedule) and (
        rate in (None, AS_IS) or isinstance(rate, Real)
    ):
        raise InputError(
            "Rounds can rewind a learning rate that is planned. "
            f"Received: {attempt.pruning_schedule!r} with learning_rate={rate!r}. Give the attempt "
            "learning_rate='rewind', a Cosine(peak=0.002) or a OneCycle(peak=0.002)."
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
    check_distillation(attempt.distillation)
    allocation_of(attempt.allocation, attempt.min_kept, attempt.overrides)


def _check_untrained(attempt: AttemptConfig) -> None:
    for name in ("learning_rate", "optimizer", "distillation"):
        value = getattr(attempt, name)
        if value is not None and value != AS_IS:
            raise InputError(
                "An attempt that is not trained has no settings of a training. Received: "
                f"{attempt.pruning_schedule!r} with {name}={value!r}. Leave it away, or take a "
                "ConstantSparsity, which is trained."
            )


def _check_rate(rate: object) -> None:
    if rate is None or type(rate) in (Cosine, OneCycle):
        return
    if isinstance(rate, str):
        check_name(rate)
    elif not _is_positive(rate):
        raise InputError(
            "learning_rate must be a finite number above 0. "
            f"Received: learning_rate={rate!r}. Give a number, a Cosine(peak=0.002) or a "
            "OneCycle(peak=0.002)."
        )


def _is_positive(number: object) -> bool:
    if isinstance(number, bool) or not isinstance(number, Real):
        return False
    try:
        return 0 < float(number) < math.inf
    except OverflowError:  # a whole number that no float holds
        return False
