"""Side by side or one after the other: whether rows are mapped by `vmap` or by a loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

from trimgrid.cache import cache_folder
from trimgrid.engines.carrier import Carrier
from trimgrid.engines.group import GroupProgram
from trimgrid.engines.layers import has_convolutions, has_recurrence
from trimgrid.engines.memory import NoRoomError
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


@dataclass(frozen=True)
class Width:
    """The program that was chosen, and a sentence that says which and why."""

    program: GroupProgram
    sentence: str


def choose_width(
    program: Callable[[bool], GroupProgram],
    fitted: Callable[[GroupProgram, Any], GroupProgram],
    training: Training,
    source: Source,
    devices: Sequence[Any],
    kept: Path | None = None,
) -> Width:
    """Choose between a loop over the rows, `program(True)`, and `vmap`, `program(False)`.

    `fitted(program, traced)` gives the program compiled, or a smaller one that keeps within the
    memory; `traced` is what its `lower` gave, or None.

    Where a training is long enough for it, both are measured, once for a model, its training and
    the machine: what was found is kept in the user's cache folder, and in the folder `kept` of a
    run, so that the choice, and with it the last bits of the results, stays the same. For short
    trainings the kind of the model decides: on a CPU recurrent layers and convolutions go in a
    loop, all else side by side. The number of attempts plays no part.

    Raises `NoRoomError` if there is no memory for the program chosen.
    """
    cpu = devices[0].platform == "cpu"
    first = program(False)
    model = first.carrier.model
    serial = cpu and (has_recurrence(model) or has_convolutions(model))
    chosen = program(True) if serial else first
    lowered = chosen.lower()
    work = (lowered.cost_analysis() or {}).get("flops", 0.0) / chosen.width
    threshold = _WORTH_MEASURING.get(devices[0].platform, _WORTH_MEASURING_ELSEWHERE)
    if work * source.steps * training.epochs < threshold:
        chosen = fitted(chosen, lowered)
        why = (
            "for its recurrent layers or convolutions"
            if serial
            else "as is best for short trainings"
        )
        return Width(chosen, f"{_sentence(chosen, devices)}, {why}.")
    key = _digest(first.carrier, training, source, devices)
    places = _places(key, kept)
    times = _known(places)
    both = {"vmap": first, "loop": chosen if serial else program(True)}
    if times is None:
        traced = {"loop" if serial else "vmap": lowered}
        both["loop"] = fitted(both["loop"], traced.get("loop"))
        try:
            both["vmap"] = fitted(both["vmap"], traced.get("vmap"))
        except NoRoomError:
            loop = both["loop"]
            return Width(loop, f"{_sentence(loop, devices)}: two side by side have no room.")
        times = {name: _seconds_a_row(each, training, source) for name, each in both.items()}
    _remember(places, times)
    # Of workers that measure at the same time the first decides for all.
    times = _known(places) or times
    chosen = fitted(both["loop" if times["loop"] <= times["vmap"] else "vmap"], None)
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


def _digest(carrier: Carrier, training: Training, source: Source, devices: Sequence[Any]) -> str:
    """What the time of a step depends on."""
    model = carrier.model
    facts = (
        model.get_config(),
        str(model.dtype_policy.name),
        [(tuple(v.shape), str(v.dtype)) for v in model.variables],
        type(keras.optimizers.get(training.optimizer)).__name__,
        source.sizes,
        (devices[0].platform, devices[0].device_kind),  # workers have fewer of them
        (jax.__version__, keras.__version__),
        *(() if carrier.teacher is None else ("distillation",)),
    )
    return sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()


def _places(key: str, kept: Path | None) -> list[Path]:
    """Where measured times are kept: with the run, and in the user's cache folder."""
    folders = [] if kept is None else [kept]
    with suppress(RuntimeError):  # a user without a home
        folders.append(cache_folder() / "widths")
    return [folder / f"{key}.json" for folder in folders]


def _known(places: Sequence[Path]) -> dict[str, float] | None:
    for place in places:
        # Not there, or not ours.
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(place.read_text())
            return {name: float(found[name]) for name in ("vmap", "loop")}
    return None


def _remember(places: Sequence[Path], times: dict[str, float]) -> None:
    for place in places:
        # A folder that can't be written costs the next run a measurement.
        with suppress(OSError):
            if _known([place]) is None:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)  # what is there can't be read
                with place.open("x", encoding="utf-8") as file:
                    file.write(json.dumps(times))
