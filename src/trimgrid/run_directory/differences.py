"""What differs between the settings of a run directory and those of a run, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 40  # of a value that is shown
_MOST = 8  # differences that are told


def describe_differences(there: Any, here: Any) -> str:
    """Return the differences of two JSON values, key by key, or "" if there are none.

    Values are compared by their JSON, so 1, 1.0 and true differ, and NaN equals NaN. Of a dict with
    a key "digest" nothing but "other ..." can be told.

    >>> describe_differences(
    ...     {"training": {"epochs": 20}, "data": {"train": {"digest": "aa"}}},
    ...     {"training": {"epochs": 30}, "data": {"train": {"digest": "ab"}}, "loss": "mse"},
    ... )
    "data.train: other data; loss: nothing there, 'mse' here; training.epochs: 20 there, 30 here"
    """
    found = list(_differences(there, here, ()))
    more = [f"{len(found) - _MOST} more"] if len(found) > _MOST else []
    return "; ".join(found[:_MOST] + more)


def _differences(there: Any, here: Any, path: tuple[str, ...]) -> Iterator[str]:
    if _json(there) == _json(here):
        return
    if path and _is_digest(there) and _is_digest(here):
        yield f"{'.'.join(path)}: other {path[0]}"
    elif isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            if key not in there or key not in here:
                yield (
                    f"{'.'.join((*path, key))}: {_shown(there, key)} there, "
                    f"{_shown(here, key)} here"
                )
            else:
                yield from _differences(there[key], here[key], (*path, key))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for place in range(len(there)):
            yield from _differences(there[place], here[place], (*path, str(place)))
    else:
        yield f"{'.'.join(path)}: {_short(there, here)} there, {_short(here, there)} here"


def _shown(values: Mapping[str, Any], key: str) -> str:
    return _short(values[key], None) if key in values else "nothing"


def _short(value: Any, other: Any) -> str:
    """Show a value; of a long one the part where it begins to differ from the other."""
    if _is_digest(value):
        return "given"
    text, against = repr(value), repr(other)
    if len(text) <= _LONGEST:
        return text
    pairs = zip(text, against, strict=False)
    same = next((i for i, (one, two) in enumerate(pairs) if one != two), len(against))
    start = 0 if same < _LONGEST - 10 else same - 10
    shown = text[start : start + _LONGEST]
    return f"{'...' * (start > 0)}{shown}{'...' * (start + _LONGEST < len(text))}"


def _is_digest(value: Any) -> bool:
    return isinstance(value, Mapping) and "digest" in value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
