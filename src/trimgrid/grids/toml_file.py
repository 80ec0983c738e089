"""A grid that is written down in a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from trimgrid.distillation import Distillation
from trimgrid.errors import InputError, told_of
from trimgrid.grids.expansion import KEYS, AttemptGrid, expand_one, named_grid
from trimgrid.grids.grid import AttemptConfig, article_grid
from trimgrid.suggestions import suggestion

PRESETS = ("article", "recommended")
Recommended: TypeAlias = Callable[[], Sequence[AttemptConfig]]


def load_grid(path: str | Path, recommended: Recommended | None = None) -> AttemptGrid:
    """Return the attempts that a TOML file describes.

    `preset = "article"` at the top gives the attempts of `article_grid()` first, and "recommended"
    those that `recommended` gives, which is called for them: they depend on the model and the
    training, so take `study.recommended_grid`. Each table
    `[[grid]]` holds lists that are combined as by `expand_grid`, each table `[[attempt]]` one
    attempt with a `name`; the order is: preset, grids, attempts. An optimizer, and a schedule of
    learning rates, is a name, or a table of a name and its arguments; a distillation is a table of
    its arguments; a structure is told in words, or in a table of its name and its arguments::

        preset = "article"

        [[grid]]
        initial_sparsity = 0.1
        final_sparsity = [0.5, 0.8]
        learning_rate = [1e-3, "rewind", { name = "cosine", peak = 0.002 }]

        [[attempt]]
        name = "slow"
        target_sparsity = 0.9
        optimizer = { name = "sgd", learning_rate = 0.01, momentum = 0.9 }
        distillation = { temperature = 4.0, weight = 0.7 }
        structure = "2:4"

    Raises `InputError`, which names the file, if it can't be read, is no TOML (with the line), has
    unknown keys, or describes what `expand_grid` refuses.

    >>> load_grid("grids.toml")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A grid must be a TOML file. Received: 'grids.toml', which does not \
exist. Check the path.
    """
    described = _read(Path(path))
    with told_of(str(path)):
        return named_grid(_attempts(described, recommended))


def _read(path: Path) -> dict[str, Any]:
    rule = f"A grid must be a TOML file. Received: {str(path)!r}"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{rule}, which does not exist. Check the path.") from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise InputError(f"{rule}, which can't be read: {reason}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{rule}, which is not text in UTF-8. Save it as such.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) or "tables in tables without an end"
        raise InputError(f"{rule}, which is none: {reason}. Mend it there.") from error


def _attempts(described: Mapping[str, Any], recommended: Recommended | None) -> list[AttemptConfig]:
    known = ("preset", "grid", "attempt")
    for key in described:
        if key not in known:
            raise InputError(
                "A file of a grid must hold tables [[grid]] and [[attempt]], or a preset. "
                f"Received: {key!r}. {suggestion(key, known)}"
            )
    attempts: list[AttemptConfig] = []
    if "preset" in described:
        preset = described["preset"]
        if not isinstance(preset, str) or preset not in PRESETS:
            raise InputError(
                "A preset must be the name of one. "
                f"Received: preset={preset!r}. {suggestion(str(preset), PRESETS)}"
            )
        attempts += article_grid() if preset == "article" else _recommended(recommended)
    for place, table in enumerate(_tables(described, "grid"), 1):
        where = f"[[grid]] {place}"
        attempts += expand_one(_with_objects(table, where), where, KEYS)
    for place, table in enumerate(_tables(described, "attempt"), 1):
        attempts.append(_attempt(table, f"[[attempt]] {place}"))
    if not attempts:
        raise InputError(
            "A grid must hold at least one attempt. Received: a file without one. "
            "Add a table [[grid]] or [[attempt]]."
        )
    return attempts


def _recommended(recommended: Recommended | None) -> Sequence[AttemptConfig]:
    if recommended is None:
        raise InputError(
            "The recommended attempts depend on the model and the length of the training. "
            "Received: preset='recommended' without them. Give "
            "load_grid(path, study.recommended_grid)."
        )
    return recommended()


def _tables(described: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    tables = described.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(
            f"{name} must be tables, each with two brackets. "
            f"Received: {name} = {tables!r}. Write [[{name}]]."
        )
    return tables


def _attempt(table: dict[str, Any], where: str) -> AttemptConfig:
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f'{where} must have a name that can be read. Received: name={name!r}. Add name = "...".'
        )
    for key, value in table.items():
        if isinstance(value, list):
            raise InputError(
                f"{where} must have one value for each key. "
                f"Received: {key} = {value!r}. Use [[grid]] for lists."
            )
    rest = {key: value for key, value in table.items() if key != "name"}
    (attempt,) = expand_one(_with_objects(rest, where), where, KEYS)
    return replace(attempt, name=name)  # as it is: no template


def _with_objects(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Put what tables describe in their places: optimizers as Keras reads them, distillations."""
    made = dict(table)
    for key, make in (("optimizer", _optimizer), ("distillation", _distillation)):
        if key in table:
            found = table[key]
            made[key] = [make(e, where) for e in (found if isinstance(found, list) else [found])]
    return made


def _distillation(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    known = [field.name for field in fields(Distillation)]
    for key in value:
        if key not in known:
            raise InputError(
                f"{where}: a distillation must have arguments that are known. "
                f"Received: {key!r}. {suggestion(key, known)}"
            )
    with told_of(where):
        return Distillation(**value)


def _optimizer(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(
            f"{where}: an optimizer must have a name. Received: optimizer = {value!r}. "
            'Write { name = "adam", learning_rate = 0.001 }.'
        )
    config = {key: each for key, each in value.items() if key != "name"}
    return {"class_name": name.lower(), "config": config}
