"""Names for attempts that have none: short, unique, in the article's style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from numbers import Real
from string import Formatter
from typing import Any

from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.schedule_kinds import KnownSchedule, short_name
from trimgrid.schedules import Schedule
from trimgrid.suggestions import suggestion

SETTINGS = tuple(
    field.name for field in fields(AttemptConfig) if field.name not in ("name", "pruning_schedule")
)
"""What an attempt may have of its own, next to its schedule."""
_IN_THE_NAME = ("target_sparsity", "initial_sparsity", "final_sparsity")


def name_attempts(attempts: Sequence[AttemptConfig]) -> list[AttemptConfig]:
    """Return the attempts with a name for each that has an empty one.

    A name starts with the schedule, "const sparsity 0.5" or "poly decay 10/50", and goes on with
    what differs between the attempts: arguments of the schedule between those of one kind, settings
    of their own between all. What is the same even so gets a number.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> half = ConstantSparsity(0.5)
    >>> attempts = [AttemptConfig("", half), AttemptConfig("", half, learning_rate=0.001)]
    >>> [attempt.name for attempt in name_attempts(attempts)]
    ['const sparsity 0.5', 'const sparsity 0.5, learning_rate 0.001']
    """
    arguments: dict[type, list[dict[str, Any]]] = {}
    for attempt in attempts:
        schedule = attempt.pruning_schedule
        arguments.setdefault(type(schedule), []).append(_arguments(schedule))
    differing = {kind: _differing(found) for kind, found in arguments.items()}
    own = _differing([_settings(attempt) for attempt in attempts])

    def full_name(attempt: AttemptConfig) -> str:
        schedule = attempt.pruning_schedule
        shown = {
            **{key: _arguments(schedule)[key] for key in differing[type(schedule)]},
            **{key: _settings(attempt)[key] for key in own},
        }
        parts = [
            f"{key} {shown_value(value)}"
            for key, value in shown.items()
            if value is not None and key not in _IN_THE_NAME
        ]
        return ", ".join([short_name(schedule), *parts])

    taken = Counter(attempt.name for attempt in attempts if attempt.name)
    named = []
    for attempt in attempts:
        if not attempt.name:
            name = wanted = full_name(attempt)
            while taken[name]:
                taken[wanted] += 1
                name = f"{wanted} ({taken[wanted]})"
            taken[name] += 1
            attempt = replace(attempt, name=name)
        named.append(attempt)
    return named


def has_automatic_name(attempt: AttemptConfig) -> bool:
    """Tell whether an attempt's name is one that `name_attempts` would give: its schedule's first.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> half = ConstantSparsity(0.5)
    >>> names = "const sparsity 0.5, seed 3", "half"
    >>> [has_automatic_name(AttemptConfig(name, half)) for name in names]
    [True, False]
    """
    short = short_name(attempt.pruning_schedule)
    return attempt.name == short or attempt.name.startswith((f"{short}, ", f"{short} ("))


def fill_template(template: str, attempt: AttemptConfig) -> str:
    """Return a name made of a format template and what an attempt has.

    `{learning_rate}`, `{final_sparsity:.0%}`: names of arguments and settings, with a format. No
    attributes and no items of them: a template may come from another's file.

    Raises `InputError` for names that the attempt has not and formats that its values have not.

    >>> from trimgrid.schedules import ConstantSparsity
    >>> fill_template("{target_sparsity:.0%} zeros", AttemptConfig("", ConstantSparsity(0.5)))
    '50% zeros'
    """
    facts = {**_arguments(attempt.pruning_schedule), **_settings(attempt)}
    parts = []
    try:
        for text, field, form, conversion in Formatter().parse(template):
            parts.append(text)
            if field is None:
                continue
            if field not in facts or conversion or "{" in (form or ""):
                raise InputError(
                    "A template for names holds arguments and settings in braces. "
                    f"Received: name={template!r} with {field!r}. {suggestion(field, facts)}"
                )
            value = facts[field]
            parts.append(format(value, form) if form else shown_value(value))
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "A template for names must be a format of Python. "
            f"Received: name={template!r}: {error}. Give for example 'lr {{learning_rate}}'."
        ) from error
    return "".join(parts)


def shown_value(value: Any) -> str:
    """Return a value for a name: a number or text as it is, an object by its class.

    >>> shown_value({"class_name": "sgd", "config": {"learning_rate": 0.1}})
    'sgd(0.1)'
    """
    if isinstance(value, Mapping) and "class_name" not in value and "config" not in value:
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, Mapping):
        kind, config = str(value.get("class_name", "config")), value.get("config")
    elif hasattr(value, "get_config"):
        kind, config = type(value).__name__, value.get_config()
    else:
        return str(value)
    rate = config.get("learning_rate") if isinstance(config, Mapping) else None
    if isinstance(rate, Mapping):
        rate = rate.get("class_name")
    # Optimizers keep the rate in float32: 0.001 comes back with nine more digits.
    shown = f"{rate:.7g}" if isinstance(rate, Real) else str(rate)
    return kind if rate is None else f"{kind}({shown})"


def _arguments(schedule: Schedule) -> dict[str, Any]:
    return asdict(schedule) if isinstance(schedule, KnownSchedule) else {}


def _settings(attempt: AttemptConfig) -> dict[str, Any]:
    return {key: getattr(attempt, key) for key in SETTINGS}


def _differing(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys with more than one value."""
    first = found[0] if found else {}
    return [
        key
        for key in first
        if any(key not in each or bool(each[key] != first[key]) for each in found)
    ]
