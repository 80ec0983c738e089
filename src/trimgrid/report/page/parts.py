"""Parts of what a run directory tells: older versions, and hands, may have written anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def part(told: Any, key: str) -> Mapping[str, Any]:
    """Return a part of some settings, empty where there is none or something else.

    >>> part({"training": {"epochs": 3}}, "training"), part({"training": [3]}, "training")
    ({'epochs': 3}, {})
    """
    found = told.get(key) if isinstance(told, Mapping) else None
    return found if isinstance(found, Mapping) else {}
