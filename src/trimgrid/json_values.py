"""What an object's config says, in values that JSON holds and that every process writes alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from trimgrid.errors import InputError

JSON: TypeAlias = Any
"""None, a boolean, a number, a string, or a list or dict (with strings as keys) of such values."""


def json_value(value: object) -> JSON:
    """Return a value for JSON; objects become their class and what their `get_config()` gives.

    NumPy's numbers and arrays become Python's, tuples lists; infinity and NaN, which JSON has not,
    the strings "inf", "-inf" and "nan". The name of an object that has a config is left out: it
    changes nothing, and some count up within a process.

    Raises `InputError` for what tells nothing that holds in another process: functions, and
    objects without a config.

    >>> json_value({"rates": (np.float32(0.5), None), 3: True})
    {'rates': [0.5, None], '3': True}
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in _without_name(value).items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {"class_name": class_name(value), "config": _config(value)}
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return json_value(array.tolist())
    raise InputError(
        "What determines a result must be told in numbers and text, or by objects with a "
        f"get_config(). Received: {_described(value)}. Give it a get_config(), or give its values."
    )


def class_name(value: object) -> str:
    """Return the name of an object's class: of Keras' own the last part, of others the whole path.

    >>> class_name(np.random.default_rng(0))
    'numpy.random._generator.Generator'
    """
    kind = type(value)
    # Keras moves its classes among its private modules.
    ours = kind.__module__.split(".")[0] == "keras"
    return kind.__name__ if ours else f"{kind.__module__}.{kind.__qualname__}"


def _config(value: Any) -> JSON:
    try:
        config = value.get_config()
    except NotImplementedError as error:
        raise InputError(
            "An object that determines a result must have a get_config(). "
            f"Received: {_described(value)}, which has none. Write one that holds all arguments."
        ) from error
    return json_value({key: each for key, each in config.items() if key != "name"})


def _without_name(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Leave out the name in the config of an object that stands there already as its class."""
    config = value.get("config")
    if "class_name" not in value or not isinstance(config, Mapping) or "name" not in config:
        return value
    return {**value, "config": {key: each for key, each in config.items() if key != "name"}}


def _described(value: object) -> str:
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the function {value.__qualname__}"
    return f"an object of {type(value).__module__}.{type(value).__qualname__}"
