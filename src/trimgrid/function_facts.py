"""What tells a function from another in another process: its name, source and settings."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from trimgrid.digests import array_digest
from trimgrid.json_values import JSON, json_value


def function_facts(function: Callable[..., Any]) -> dict[str, JSON]:
    """Return the name of a function, the SHA-256 of its source, and the values that it uses.

    "source" is None where there is none to read. "values" are what the function names from outside,
    its default arguments, the arguments of a `functools.partial`, and the attributes of an object
    that can be called, as far as they are numbers, texts, arrays, or lists and dicts of such;
    functions of the same module that it names count likewise. Other objects are not looked into.

    Its module is left out: that of a program has another name where it is imported.

    Raises `InputError` for a partial whose arguments can't be told.

    >>> facts = function_facts(max)
    >>> facts["function"], facts["source"], facts["values"]
    ('max', None, {})
    """
    return _facts(function, [])


def _facts(function: Any, above: list[Any]) -> dict[str, JSON]:
    values: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        values = {**values, "": [*function.args, values.get("", [])], **function.keywords}
        function = function.func
    kind: Any = function if hasattr(function, "__qualname__") else type(function)
    named: dict[str, Any] = {}
    if kind is not function:
        named |= getattr(function, "__dict__", {})
        function = vars(kind).get("__call__")
    with contextlib.suppress(TypeError):  # built in
        outer = inspect.getclosurevars(function)
        named |= {**outer.globals, **outer.nonlocals}
    defaults = getattr(function, "__defaults__", None) or ()
    named |= {f"default {place}": value for place, value in enumerate(defaults)}
    named |= getattr(function, "__kwdefaults__", None) or {}
    for name, value in named.items():
        if _is_plain(value):
            values[name] = json_value(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            values[name] = array_digest(value)
        elif (
            inspect.isfunction(value) and value.__module__ == kind.__module__ and value not in above
        ):
            values[name] = _facts(value, [*above, function, value])
    try:
        source = hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()
    except (OSError, TypeError):
        source = None
    return {"function": kind.__qualname__, "source": source, "values": json_value(values)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    return isinstance(value, bool | int | float | str | np.number | None)


def required_arguments(function: Callable[..., Any]) -> int | None:
    """Return how many arguments a function must be given by place; None if that can't be told.

    None is also said of a function that must be given arguments by name.

    >>> required_arguments(lambda y_true, y_pred, weights=None: 0.0)
    2
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    needed = [each for each in parameters if each.default is each.empty]
    if any(each.kind is each.KEYWORD_ONLY for each in needed):
        return None
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in by_place for each in needed)
