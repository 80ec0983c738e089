"""Side by side or one after the other: whether rows are mapped by `vmap` or by a loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jax
import keras
import numpy as np

from trimgrid.atomic import replacing
from trimgrid.cache import cache_folder
from trimgrid.engines.group import GroupProgram
from trimgrid.engines.windows import Source
from trimgrid.training import Task, Training

LARGEST_CPU_BLOCK = 2
"""How many rows go side by side on a CPU: always as many, whatever the number of attempts, because
XLA sums in another order for another width. Wider blocks were measured to be no faster."""

# A training of less arithmetic than this takes less time than compiling a second program to
# measure: then the kind of the model decides.
_WORTH_MEASURING = {"cpu": 5e10}
_WORTH_MEASURING_ELSEWHERE = 5e12
_STEPS = 5

_SERIAL_ON_A_CPU = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


@dataclass(frozen=True)
class Width:
    """The program that was chosen, and a sentence that says which and why."""

    program: GroupProgram
    sentence: str


def choose_width(
    program: Callable[[bool], GroupProgram],
    training: Training,
    source: Source,
    devices: Sequence[Any],
) -> Width:
    """Choose between a loop over the rows, `program(True)`, and `vmap`, `program(False)`.

    Where a training is long enough for it, both are measured, once for a model, its training and
    the machine: what was found is kept in the user's cache folder, so that the choice, and with it
    the last bits of the results, stays the same. For short trainings the kind of the model decides:
    on a CPU recurrent layers and convolutions go in a loop, all else side by side. The number of
    attempts plays no part.
    """
    cpu = devices[0].platform == "cpu"
    first = program(False)
    model = first.carrier.model
    serial = cpu and any(isinstance(layer, _SERIAL_ON_A_CPU) for layer in _layers(model))
    chosen = program(True) if serial else first
    lowered = chosen.lower()
    work = (lowered.cost_analysis() or {}).get("flops", 0.0) / chosen.width
    threshold = _WORTH_MEASURING.get(devices[0].platform, _WORTH_MEASURING_ELSEWHERE)
    if work * source.steps * training.epochs < threshold:
        chosen.compile(lowered)
        why = "for its recurrent layers or convolutions" if serial else "as is best for a small one"
        return Width(chosen, f"{_sentence(chosen, devices)}, {why}.")
    key = _digest(model, training, source, devices)
    times = _known(key)
    both = {"vmap": first, "loop": chosen if serial else program(True)}
    if times is None:
        chosen.compile(lowered)
        times = {name: _seconds_a_row(each, training, source) for name, each in both.items()}
        _remember(key, times)
    chosen = both["loop" if times["loop"] <= times["vmap"] else "vmap"]
    figures = " against ".join(f"{times[name] * 1e3:.3g} ms" for name in ("vmap", "loop"))
    return Width(
        chosen, f"{_sentence(chosen, devices)}: measured {figures} (vmap, loop) a step and attempt."
    )


def _seconds_a_row(program: GroupProgram, training: Training, source: Source) -> float:
    tasks = [Task("", None, training)] * program.attempts
    steps = min(_STEPS, source.capacity)
    plan = np.full(steps + 1, np.nan)
    return program.seconds(tasks, [plan] * len(tasks), steps) / steps / len(tasks)


def _sentence(program: GroupProgram, devices: Sequence[Any]) -> str:
    how = (
        "Attempts one after the other in a loop"
        if program.width == 1
        else f"{program.width} attempts side by side (vmap)"
    )
    return f"{how} on each of {len(devices)} {devices[0].device_kind} devices"


def _layers(layer: Any) -> Iterator[Any]:
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _layers(inner)


def _digest(model: Any, training: Training, source: Source, devices: Sequence[Any]) -> str:
    """What the time of a step depends on."""
    facts = (
        model.get_config(),
        str(model.dtype_policy.name),
        [(tuple(v.shape), str(v.dtype)) for v in model.variables],
        type(keras.optimizers.get(training.optimizer)).__name__,
        source.sizes,
        (devices[0].platform, devices[0].device_kind, len(devices)),
        (jax.__version__, keras.__version__),
    )
    return sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()


def _known(key: str) -> dict[str, float] | None:
    try:
        found = json.loads((cache_folder() / "widths" / f"{key}.json").read_text())
        return {name: float(found[name]) for name in ("vmap", "loop")}
    # Not there, or not ours; RuntimeError: a user without a home.
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _remember(key: str, times: dict[str, float]) -> None:
    try:
        folder = cache_folder() / "widths"
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{key}.json") as unfinished:
            unfinished.write_text(json.dumps(times), encoding="utf-8")
    # A folder that can't be written costs the next run a measurement.
    except (OSError, RuntimeError):
        return
