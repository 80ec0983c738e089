"""The learning rate of each batch of an attempt: schedules with a warm-up, and names for others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimgrid.arguments import real
from trimgrid.errors import InputError
from trimgrid.suggestions import suggestion

AS_IS, REWIND = "as_is", "rewind"
_FLOAT32 = np.finfo(np.float32)


class RateSchedule(Protocol):
    """Anything that lays out the learning rates of a training of known length."""

    def plan(self, steps: int) -> NDArray[np.float32]:
        """Return the learning rate of each of the batches 0 to steps - 1, shape ``(steps,)``."""
        ...


@dataclass(frozen=True)
class Cosine:
    """Up to a peak in a straight line, then down along half a cosine.

    With T batches, of which ``W = min(round(warmup * T), T - 1)`` warm up, batch t = 0..T-1 has the
    learning rate

    - ``peak * (t + 1) / (W + 1)`` for t < W,
    - ``peak * (end + (1 - end) * (1 + cos(pi * p)) / 2)`` with ``p = (t - W) / (T - W)`` from W on,

    so batch W has the peak, and no batch has a rate of 0.

    ``peak``: the highest learning rate, above 0. ``warmup``: the share of the batches that warm up,
    in [0, 1). ``end``: where the cosine ends, as a share of the peak, in [0, 1).

    Raises `InputError` for a number outside its range.

    Sources: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts" (the
    cosine); Goyal et al. 2017, "Accurate, Large Minibatch SGD" (the warm-up).

    >>> Cosine(0.75, warmup=0.5).plan(4).tolist()
    [0.25, 0.5, 0.75, 0.375]
    """

    peak: float
    warmup: float = 0.1
    end: float = 0.0

    def __post_init__(self) -> None:
        _settle(self)

    def __str__(self) -> str:
        """The name for tables and plots: what is not the default is told."""
        return _shown("cosine", self)

    def plan(self, steps: int) -> NDArray[np.float32]:
        """Return the learning rate of each of the batches 0 to steps - 1, shape ``(steps,)``.

        >>> Cosine(1.0, warmup=0, end=0.5).plan(2).tolist()
        [1.0, 0.75]
        """
        warm = _warm_steps(self.warmup, steps)
        up = np.arange(1, warm + 1) / (warm + 1)
        return _scaled(self.peak, up, _half_cosine(1, self.end, steps - warm))


@dataclass(frozen=True)
class OneCycle:
    """From a low rate up to a peak along half a cosine, then down to a very low one along another.

    With T batches, of which ``W = min(round(warmup * T), T - 1)`` warm up, batch t = 0..T-1 has the
    learning rate

    - ``peak * (1 + (start - 1) * (1 + cos(pi * t / W)) / 2)`` for t < W,
    - ``peak * (end + (1 - end) * (1 + cos(pi * p)) / 2)`` with ``p = (t - W) / (T - W)`` from W on.

    ``peak``: the highest learning rate, above 0. ``warmup``: the share of the batches that warm up,
    in [0, 1). ``start``, ``end``: where the cycle begins and ends, as shares of the peak, in
    [0, 1).

    Raises `InputError` for a number outside its range.

    Source: Smith & Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", with half cosines in place of the straight lines of the paper, as fast.ai
    and PyTorch have them. The momentum stays as it is.

    >>> OneCycle(0.5, warmup=0.5, start=0.5).plan(4).round(4).tolist()
    [0.25, 0.375, 0.5, 0.25]
    """

    peak: float
    warmup: float = 0.3
    start: float = 1 / 25
    end: float = 1e-4

    def __post_init__(self) -> None:
        _settle(self)

    def __str__(self) -> str:
        """The name for tables and plots: what is not the default is told."""
        return _shown("one_cycle", self)

    def plan(self, steps: int) -> NDArray[np.float32]:
        """Return the learning rate of each of the batches 0 to steps - 1, shape ``(steps,)``.

        >>> OneCycle(1.0, warmup=0, end=0.5).plan(2).tolist()
        [1.0, 0.75]
        """
        warm = _warm_steps(self.warmup, steps)
        up = _half_cosine(self.start, 1, warm)
        return _scaled(self.peak, up, _half_cosine(1, self.end, steps - warm))


LearningRate: TypeAlias = float | str | Cosine | OneCycle
"""What an attempt may say of its learning rate: a number, `AS_IS`, `REWIND` or a schedule."""
KINDS: dict[str, type[Cosine] | type[OneCycle]] = {"cosine": Cosine, "one_cycle": OneCycle}
"""The schedules by the names that they have in files."""


def rate_plan(
    rate: RateSchedule, steps: int, rounds: Sequence[int] | NDArray[np.integer[Any]] | None = None
) -> NDArray[np.float32]:
    """Return the learning rate of each batch of a training, shape ``(steps,)``.

    `rounds`: the first steps of the rounds of the training; the schedule runs anew in each of them,
    and in what comes before the first.

    >>> rate_plan(Cosine(1.0, warmup=0), 5, rounds=[0, 3]).round(2).tolist()
    [1.0, 0.75, 0.25, 1.0, 0.5]
    """
    begun = [] if rounds is None else [int(each) for each in rounds if each < steps]
    starts = sorted({0, *begun})
    lengths = np.diff([*starts, steps])
    return np.concatenate([rate.plan(int(length)) for length in lengths])


def check_name(rate: str) -> None:
    """Check a learning rate that is given by its name alone.

    Raises `InputError` for a name that is not known, or does not tell all.

    >>> check_name("rewind")
    """
    if rate in KINDS:
        raise InputError(
            f"{rate} must have a peak, the highest learning rate. "
            f"Received: learning_rate={rate!r}. Give {KINDS[rate].__name__}(peak=0.002), in a file "
            f'{{ name = "{rate}", peak = 0.002 }}.'
        )
    if rate not in (AS_IS, REWIND):
        raise InputError(
            "A learning rate that is no number must be the name of a known schedule. "
            f"Received: learning_rate={rate!r}. {suggestion(rate, (AS_IS, REWIND, *KINDS))}"
        )


def rate_from_table(table: Mapping[str, Any]) -> Cosine | OneCycle:
    """Return the schedule that a table of its name and arguments describes, as in a file.

    Raises `InputError` for a name or arguments that are not known, and values out of range.

    >>> rate_from_table({"name": "cosine", "peak": 0.002})
    Cosine(peak=0.002, warmup=0.1, end=0.0)
    """
    name = table.get("name")
    if not isinstance(name, str) or name not in KINDS:
        missing = f"Add the name: {' or '.join(KINDS)}."
        raise InputError(
            "A table of a learning rate must have the name of a schedule. "
            f"Received: learning_rate={dict(table)!r}. "
            f"{missing if name is None else suggestion(str(name), KINDS)}"
        )
    arguments = {key: value for key, value in table.items() if key != "name"}
    known = [field.name for field in fields(KINDS[name])]
    for key in arguments:
        if key not in known:
            raise InputError(
                f"{name} must have arguments that are known. "
                f"Received: {key}={arguments[key]!r}. {suggestion(str(key), known)}"
            )
    if "peak" not in arguments:
        check_name(name)
    return KINDS[name](**arguments)


def table_of(rate: Cosine | OneCycle) -> dict[str, Any]:
    """Return the table of a schedule's name and all its arguments, ready for JSON.

    >>> table_of(Cosine(0.002))
    {'name': 'cosine', 'peak': 0.002, 'warmup': 0.1, 'end': 0.0}
    """
    (name,) = (name for name, kind in KINDS.items() if type(rate) is kind)
    return {"name": name, **asdict(rate)}


def _settle(rate: Cosine | OneCycle) -> None:
    """Check the numbers of a schedule and store them as Python's own."""
    for field in fields(rate):
        number = real(getattr(rate, field.name))
        # In float32, as the rates are.
        if field.name == "peak":
            fits = float(_FLOAT32.smallest_subnormal) <= number <= float(_FLOAT32.max)
            rule = "a finite number above 0. ", "Give for example 0.002."
        else:
            fits = 0 <= number < 1
            rule = "a share in [0, 1). ", "Give 0.1 for 10 %."
        if not fits:
            given = f"Received: {field.name}={getattr(rate, field.name)!r}. "
            raise InputError(f"{field.name} must be {rule[0]}{given}{rule[1]}")
        object.__setattr__(rate, field.name, number)


def _shown(name: str, rate: Cosine | OneCycle) -> str:
    parts = [
        f"{field.name} {getattr(rate, field.name):g}"
        for field in fields(rate)
        if field.name != "peak" and getattr(rate, field.name) != field.default
    ]
    return f"{name}({', '.join([f'{rate.peak:g}', *parts])})"


def _warm_steps(warmup: float, steps: int) -> int:
    return max(0, min(round(warmup * steps), steps - 1))


def _half_cosine(begin: float, end: float, steps: int) -> NDArray[np.float64]:
    """From `begin` towards `end`, which the step after the last would have."""
    share = np.arange(steps) / max(1, steps)
    return end + (begin - end) * (1 + np.cos(math.pi * share)) / 2


def _scaled(peak: float, *parts: NDArray[np.float64]) -> NDArray[np.float32]:
    return (peak * np.concatenate(parts)).astype(np.float32)
