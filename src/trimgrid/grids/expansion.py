"""A whole grid from lists of values, in the conventions of scikit-learn's ParameterGrid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain, product
from typing import Any, TypeAlias, overload

import numpy as np

from trimgrid.errors import InputError, told_of
from trimgrid.grids.grid import AttemptConfig, check_settings
from trimgrid.grids.names import SETTINGS, fill_template, name_attempts
from trimgrid.learning_rates import rate_from_table
from trimgrid.schedule_kinds import SCHEDULES
from trimgrid.schedules import Schedule
from trimgrid.suggestions import suggestion
from trimgrid.tfmot_schedules import known_schedule

Spec: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]
ARGUMENTS = {name: [field.name for field in fields(kind)] for name, kind in SCHEDULES.items()}
KEYS = ("schedule", *dict.fromkeys(chain(*ARGUMENTS.values())), *SETTINGS, "name")
"""What a grid from a file may name; from Python also `pruning_schedule`."""


class AttemptGrid(Sequence[AttemptConfig]):
    """The attempts of a grid in their order: with a length, an index and slices, as a list.

    >>> grid = expand_grid({"target_sparsity": [0.5, 0.8, 0.9]})
    >>> len(grid), grid[-1].name, grid[:2]
    (3, 'const sparsity 0.9', AttemptGrid('const sparsity 0.5', 'const sparsity 0.8'))
    """

    def __init__(self, attempts: Sequence[AttemptConfig]) -> None:
        self._attempts = tuple(attempts)

    def __len__(self) -> int:
        """How many attempts there are."""
        return len(self._attempts)

    @overload
    def __getitem__(self, index: int) -> AttemptConfig: ...
    @overload
    def __getitem__(self, index: slice) -> AttemptGrid: ...
    def __getitem__(self, index: int | slice) -> AttemptConfig | AttemptGrid:
        """The attempt at a place, or a grid of some of them."""
        if isinstance(index, slice):
            return AttemptGrid(self._attempts[index])
        return self._attempts[index]

    def __iter__(self) -> Iterator[AttemptConfig]:
        """The attempts in their order."""
        return iter(self._attempts)

    def __repr__(self) -> str:
        """The names, without the middle ones of many."""
        names = [repr(attempt.name) for attempt in self._attempts]
        if len(names) > 8:
            names[4:-2] = ["..."]
            return f"AttemptGrid of {len(self)} attempts: {', '.join(names)}"
        return f"AttemptGrid({', '.join(names)})"


def expand_grid(spec: Spec) -> AttemptGrid:
    """Return an attempt for each combination of the values of a dict, or of each of several dicts.

    Keys: `schedule`, "constant_sparsity", "polynomial_decay", "iterative_pruning" or "one_shot",
    where the first may be left away with a `target_sparsity` and the second with a
    `final_sparsity`; the arguments of that schedule; or in their place `pruning_schedule`, schedule
    objects; the settings of an `AttemptConfig`; and `name`, a format template such as
    "lr {learning_rate}" in place of the automatic names.

    A value is a list, a tuple, a range or an array of one dimension; anything else counts as a list
    of one. A learning rate may also be a dict of the name and the arguments of a schedule, such as
    {"name": "cosine", "peak": 0.002}. The order is that of scikit-learn's `ParameterGrid`: keys
    sorted, the last one varies fastest; one dict after the other.

    Raises `InputError` for unknown keys and schedules, arguments that the schedule does not take or
    lacks, empty lists, values that the schedule or `check_settings` refuses, attempts that are
    the same, and names that are.

    >>> grid = expand_grid({"target_sparsity": [0.5, 0.9], "learning_rate": [0.01, 0.001]})
    >>> for attempt in grid:
    ...     print(attempt.name)
    const sparsity 0.5, learning_rate 0.01
    const sparsity 0.9, learning_rate 0.01
    const sparsity 0.5, learning_rate 0.001
    const sparsity 0.9, learning_rate 0.001
    """
    single = isinstance(spec, Mapping)
    specs: Sequence[Any] = [spec] if single else spec  # type: ignore[assignment]
    if not isinstance(specs, list | tuple) or not specs:
        raise InputError(
            "A grid must be a dict of lists, or a list of such dicts. "
            f'Received: {spec!r}. Give for example {{"target_sparsity": [0.5, 0.8]}}.'
        )
    places = ["The grid" if single else f"Entry {i} of the grid" for i in range(1, len(specs) + 1)]
    return named_grid(
        [
            attempt
            for where, each in zip(places, specs, strict=True)
            for attempt in expand_one(each, where, (*KEYS, "pruning_schedule"))
        ]
    )


def named_grid(attempts: Sequence[AttemptConfig]) -> AttemptGrid:
    """Return attempts as a grid, with names for those whose name is empty.

    Raises `InputError` for attempts that are the same, and names that are.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> named_grid([AttemptConfig("", ConstantSparsity(0.5))])
    AttemptGrid('const sparsity 0.5')
    """
    grid = AttemptGrid(name_attempts(attempts))
    hashed: dict[int, list[AttemptConfig]] = {}
    names: set[str] = set()
    for attempt in grid:
        if attempt.name in names:
            raise InputError(
                "Names in a grid must differ, they tell the attempts apart. Received more than "
                f"once: {attempt.name!r}. Rename one of them; in a template, name what varies."
            )
        names.add(attempt.name)
        blank = replace(attempt, name="")
        alike = hashed.setdefault(_hash(blank), [])
        for other in alike:
            if replace(other, name="") == blank:
                raise InputError(
                    "The attempts of a grid must differ. Received twice: "
                    f"{other.name!r} and {attempt.name!r}. Leave one of them away."
                )
        alike.append(attempt)
    return grid


def expand_one(spec: Any, where: str, known: Sequence[str]) -> list[AttemptConfig]:
    """Return the attempts of one dict; those without a template have an empty name.

    `where` starts the message of an error; `known` are the keys that the dict may have.

    >>> [each.pruning_schedule.frequency for each in expand_one(
    ...     {"target_sparsity": 0.5, "frequency": [10, 20]}, "The grid", KEYS)]
    [10, 20]
    """
    if not isinstance(spec, Mapping):
        raise InputError(f"{where} must be a dict from names to lists. Received: {spec!r}.")
    for key in spec:
        if not isinstance(key, str) or key not in known:
            raise InputError(
                f"{where} must hold names that are known. Received: {key!r}. "
                f"{suggestion(str(key), known)}"
            )
    template = spec.get("name")
    if template is not None and (not isinstance(template, str) or not template.strip()):
        raise InputError(
            f"{where}: name must be one text for all its attempts. Received: name={template!r}. "
            "Give a template such as 'lr {learning_rate}', or leave it away."
        )
    lists = {key: _values(where, key, spec[key]) for key in sorted(spec) if key != "name"}
    attempts = []
    for values in product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        settings = {key: chosen.pop(key) for key in SETTINGS if key in chosen}
        with told_of(where):
            if isinstance(rate := settings.get("learning_rate"), Mapping):
                settings["learning_rate"] = rate_from_table(rate)
            attempt = AttemptConfig("", _schedule(chosen), **settings)
            check_settings(attempt)
            if template is not None:
                attempt = replace(attempt, name=fill_template(template, attempt))
        attempts.append(attempt)
    return attempts


def _values(where: str, key: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    elif isinstance(value, list | tuple | range):
        value = list(value)
    elif isinstance(value, np.ndarray | set | frozenset | Iterator):
        raise InputError(
            f"{where}: the values of {key} must be a list, which has an order. "
            f"Received: {type(value).__name__}. Give a list."
        )
    else:
        value = [value]
    values: list[Any] = value
    if not values:
        raise InputError(
            f"{where}: {key} must have at least one value. Received: {key}=[]. "
            "Give a value, or leave the key away."
        )
    for place, each in enumerate(values):
        if any(each is other or bool(each == other) for other in values[:place]):
            raise InputError(
                f"{where}: the values of {key} must differ. Received more than once: {each!r}. "
                "Leave all but one away."
            )
    return values


def _schedule(given: dict[str, Any]) -> Schedule:
    """Make a schedule from its name, or of the kind that its arguments tell."""
    if "pruning_schedule" in given:
        schedule = known_schedule(given.pop("pruning_schedule"))
        if given or not isinstance(schedule, Schedule):
            raise InputError(
                "pruning_schedule must be schedule objects, and stand alone. Received: "
                f"pruning_schedule={schedule!r} with {', '.join(given) or 'nothing else'}. "
                "Give the arguments to the schedules themselves."
            )
        return schedule
    kinds = {"target_sparsity": "constant_sparsity", "final_sparsity": "polynomial_decay"}
    told = [kind for key, kind in kinds.items() if key in given]
    name = given.pop("schedule") if "schedule" in given else None
    if name is None:
        if len(told) != 1:
            raise InputError(
                "A grid must tell its schedule. Received: "
                f"{' and '.join(key for key in kinds if key in given) or 'no sparsity'}. "
                "Give target_sparsity, or initial_sparsity and final_sparsity, or the schedule."
            )
        name = told[0]
    if not isinstance(name, str) or name not in SCHEDULES:
        raise InputError(
            f"schedule must be the name of one. Received: schedule={name!r}. "
            f"{suggestion(str(name), SCHEDULES)}"
        )
    foreign = [key for key in given if key not in ARGUMENTS[name]]
    needed = [key for key in ARGUMENTS[name] if key.endswith("_sparsity") and key not in given]
    if len(foreign) == 1 == len(needed) and foreign[0].endswith("_sparsity"):
        raise InputError(
            f"The sparsity of {name} is its {needed[0]}. "
            f"Received: {foreign[0]}={given[foreign[0]]!r}. Rename it."
        )
    if foreign:
        others = [kind for kind, arguments in ARGUMENTS.items() if {*given} <= {*arguments}]
        wanted = f", or give schedule={others[0]!r}" if others else ""
        raise InputError(
            f"{name} takes the arguments {', '.join(ARGUMENTS[name])}. Received: "
            f"{foreign[0]}={given[foreign[0]]!r}. Leave it away, or give each schedule a dict of "
            f"its own{wanted}."
        )
    if needed:
        raise InputError(f"{name} must have {' and '.join(needed)}. Received: {given!r}. Add it.")
    return SCHEDULES[name](**given)


def _hash(attempt: AttemptConfig) -> int:
    try:
        return hash(attempt)
    except TypeError:  # a schedule of the user's own need have no hash
        return 0
