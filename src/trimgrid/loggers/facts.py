"""What of a result every logger takes: parameters, figures and curves."""

from __future__ import annotations

import math
from typing import Any

from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.shrunk_figures import shrunk_figures


def parameters(attempt: StoredAttempt) -> dict[str, Any]:
    """Return the settings of an attempt, flat: {"schedule.frequency": 100, "seed": None, ...}."""
    return dict(_flat("", attempt.config))


def figures(attempt: StoredAttempt) -> dict[str, float]:
    """Return what was measured and is a finite number: error, weights, bytes, shrunk ones too."""
    return {
        name: float(value)
        for name, value in {**attempt.to_dict(), **shrunk_figures(attempt)}.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def curves(attempt: StoredAttempt) -> list[tuple[str, int, float]]:
    """Return the history as (name, epoch, value); of repeats after the first "loss/seed 1"."""
    history = attempt.history
    places = zip(history.get("seed", []), history.get("epoch", []), strict=True)
    found = []
    for row, (seed, epoch) in enumerate(places):
        ending = "" if seed == history["seed"][0] else f"/seed {seed:.0f}"
        found += [
            (f"{name}{ending}", int(epoch), values[row])
            for name, values in history.items()
            if name not in ("seed", "epoch") and math.isfinite(values[row])
        ]
    return found


def _flat(prefix: str, config: Any) -> list[tuple[str, Any]]:
    # Patterns on paths are no names for parameters.
    if not isinstance(config, dict) or prefix.endswith("overrides"):
        return [(prefix, config)]
    return [
        pair
        for key, value in config.items()
        for pair in _flat(f"{prefix}.{key}" if prefix else str(key), value)
    ]
