"""How long one inference takes in each of some files, and what these times say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from trimgrid.cells import milliseconds, quantized
from trimgrid.errors import InputError
from trimgrid.html_table import Align, table_html
from trimgrid.sizes import FileSize

# A difference below this share is none that anybody would ship a file for.
_WORTH_TELLING = 0.05
# An interval may miss the true median once in so many times, on each side.
_MISSES_ONE_IN = 40

SECONDS = 10.0
"""For how long files are timed by default, all of them and all numbers of threads together."""


@dataclass(frozen=True)
class Spread:
    """A median, and a low and a high value around it."""

    median: float
    low: float
    high: float

    def text(self) -> str:
        """Return a median time and half the interquartile range, in percent of it.

        >>> Spread(0.2, 0.19, 0.21).text()
        '0.200 ±5 %'
        """
        share = 100 * (self.high - self.low) / 2 / self.median
        return f"{milliseconds(self.median)} ±{share:.0f} %"


@dataclass(frozen=True)
class TimedFile:
    """A `.tflite` file, and what was measured of it.

    `model` is "original" or the attempt's name, `quantize` how its weights are stored, `storage`
    is "dense" (every weight), "sparse" (zeros left out of the file), "shrunk" (units without use
    left out of the model) or "shrunk, sparse". `size` is in bytes. `milliseconds` of one
    inference, by the number of threads: median and quartiles over the rounds. `ratios`, by the
    number of threads: its time divided by that of the file it is compared with in the same round,
    the median with its 95 % interval; empty for the file that others are compared with. `error`:
    its own on the test data in the run directory, None where that was not measured or is not
    finite. A file that can't be had has a `reason` in place of all that.
    """

    model: str
    quantize: str
    storage: str
    size: FileSize | None = None
    milliseconds: dict[int, Spread] = field(default_factory=dict)
    ratios: dict[int, Spread] = field(default_factory=dict)
    reason: str | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        if self.error is not None and not math.isfinite(self.error):
            object.__setattr__(self, "error", None)  # as JSON would have it

    def faster(self, threads: int) -> bool | None:
        """Tell whether it is faster than what it is compared with: True, False for slower, or None.

        None stands for no difference that was shown: one below 5 %, or one that may be chance.

        >>> ratio = Spread(0.5, 0.48, 0.52)
        >>> TimedFile("half", "none", "shrunk", ratios={1: ratio}).faster(1)
        True
        """
        ratio = self.ratios[threads]
        if ratio.high < 1 and ratio.median <= 1 - _WORTH_TELLING:
            return True
        return False if ratio.low > 1 and ratio.median >= 1 + _WORTH_TELLING else None

    def no_faster(self, threads: int) -> bool:
        """Tell whether the times show that it is not faster, by 5 % or more.

        >>> TimedFile("half", "none", "dense", ratios={1: Spread(0.7, 0.4, 1.1)}).no_faster(1)
        False
        """
        return self.ratios[threads].low > 1 - _WORTH_TELLING


@dataclass(frozen=True)
class Latency:
    """Times of some files, measured in turns on one machine.

    `rounds`: how often each was timed, at least, for each number of threads in `threads`. `runtime`
    and `machine` name what ran them. The first file of a quantization that could be timed is what
    its others are compared with.
    """

    files: tuple[TimedFile, ...]
    threads: tuple[int, ...]
    rounds: int
    runtime: str
    machine: str

    def all_of(self, quantize: str, storage: str = "dense") -> list[TimedFile]:
        """Return the files of a quantization and storage that were timed."""
        wanted = quantize, storage
        found = [file for file in self.files if (file.quantize, file.storage) == wanted]
        return [file for file in found if file.milliseconds]

    def _repr_html_(self) -> str:
        """Return the files as a table, which notebooks show in place of the repr."""
        times = [f"ms, {count} thread" + ("s" if count > 1 else "") for count in self.threads]
        names = ("Bytes", "Zipped", "Error", *times)
        columns: list[tuple[str, Align]] = [("Model", "left"), ("Numbers", "left")]
        columns += [("Storage", "left"), *((name, "right") for name in names)]
        rows = [
            (file.model, quantized(file.quantize), file.storage, *self._cells(file))
            for file in self.files
        ]
        notes = [
            f"{self.runtime}, median of {self.rounds} rounds in turns, ± half the interquartile "
            f"range. {self.machine}."
        ]
        notes += [
            f"{file.model}, {quantized(file.quantize)}, {file.storage}: {file.reason}."
            for file in self.files
            if file.reason is not None
        ]
        return table_html(columns, rows, notes)

    def _cells(self, file: TimedFile) -> list[str]:
        size = ("-", "-") if file.size is None else (file.size.plain, file.size.zipped)
        sizes = [each if isinstance(each, str) else f"{each:,}" for each in size]
        error = "-" if file.error is None else f"{file.error:.3e}"
        spreads = [file.milliseconds.get(count) for count in self.threads]
        return [*sizes, error, *("-" if each is None else each.text() for each in spreads)]

    def to_dict(self) -> dict[str, Any]:
        """Return the same as values that JSON has; numbers of threads become texts."""
        files = [
            {
                **asdict(file),
                "milliseconds": {str(t): asdict(each) for t, each in file.milliseconds.items()},
                "ratios": {str(t): asdict(each) for t, each in file.ratios.items()},
            }
            for file in self.files
        ]
        return {**asdict(self), "files": files, "threads": list(self.threads)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave. Raises `InputError` for anything else.

        >>> half = TimedFile("half", "none", "dense", FileSize(9, 7), {1: Spread(0.2, 0.1, 0.3)})
        >>> measured = Latency((half,), (1,), 20, "LiteRT 2.1", "a machine")
        >>> Latency.from_dict(measured.to_dict()) == measured
        True
        """
        try:
            files = tuple(_timed_file(each) for each in values["files"])
            threads = tuple(int(each) for each in values["threads"])
            if any({*file.milliseconds} - {*threads} for file in files):
                raise ValueError("times of other numbers of threads")
            names = str(values["runtime"]), str(values["machine"])
            return cls(files, threads, int(values["rounds"]), *names)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                "A latency must be what was measured by trimgrid. "
                f"Received: {values!r:.60}. Measure it again."
            ) from error


def spread_of_times(milliseconds: ArrayLike) -> Spread:
    """Return median and quartiles of times, an array of shape (rounds,).

    >>> spread_of_times([1, 2, 3, 4, 100])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.percentile(np.asarray(milliseconds, np.float64), [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def spread_of_ratios(milliseconds: ArrayLike, others: ArrayLike) -> Spread:
    """Return the median of the ratios of two files' times, round by round, and its 95 % interval.

    What slows a whole round down cancels out. The interval is that of order statistics: of n sorted
    ratios the k-th and the k-th last, for the greatest k with P(B < k) <= 2.5 %, where B is
    binomial with n and 1/2. It holds the true median with 95 % or more if the rounds are
    independent, whatever their distribution, from 6 rounds on (H. A. David and H. N. Nagaraja,
    Order Statistics, 2003, section 7.1). Both arrays have the shape (rounds,).

    >>> spread_of_ratios([2.0] * 9, [4.0] * 9)
    Spread(median=0.5, low=0.5, high=0.5)
    """
    ratios = np.sort(np.asarray(milliseconds, np.float64) / np.asarray(others, np.float64))
    place = max(0, _rank(len(ratios)) - 1)
    return Spread(float(np.median(ratios)), float(ratios[place]), float(ratios[-1 - place]))


def _rank(count: int) -> int:
    """The greatest k with P(B < k) <= 2.5 % for a binomial B with `count` and 1/2; 0 for few."""
    k, outcomes, below = 0, 1, 1  # below: of 2**count outcomes those with B <= k
    while k < count // 2 and below * _MISSES_ONE_IN <= 2**count:
        outcomes = outcomes * (count - k) // (k + 1)
        k += 1
        below += outcomes
    return k


def with_times(
    files: Sequence[TimedFile], milliseconds: Mapping[int, Sequence[ArrayLike]]
) -> tuple[TimedFile, ...]:
    """Return the files with their times; those with a reason have none and stay.

    `milliseconds`: by the number of threads, for each file that is there an array of shape
    (rounds,). Each is compared with the first one of its quantization.

    >>> dense, sparse = (TimedFile("half", "none", each) for each in ("dense", "sparse"))
    >>> _, timed = with_times([dense, sparse], {1: [[1.0, 1.0], [2.0, 2.0]]})
    >>> timed.milliseconds[1].median, timed.ratios[1].median, timed.faster(1)
    (2.0, 2.0, False)
    """
    there = [file for file in files if file.reason is None]
    first: dict[str, int] = {}
    for place, file in enumerate(there):
        first.setdefault(file.quantize, place)
    timed = {}
    for place, file in enumerate(there):
        other = first[file.quantize]
        ratios = {}
        if other != place:
            ratios = {t: spread_of_ratios(x[place], x[other]) for t, x in milliseconds.items()}
        times = {t: spread_of_times(x[place]) for t, x in milliseconds.items()}
        timed[id(file)] = replace(file, milliseconds=times, ratios=ratios)
    return tuple(timed.get(id(file), file) for file in files)


def _timed_file(values: Mapping[str, Any]) -> TimedFile:
    size = values["size"]
    return TimedFile(
        str(values["model"]),
        str(values["quantize"]),
        str(values["storage"]),
        None if size is None else FileSize(int(size["plain"]), int(size["zipped"])),
        {int(t): _spread(each) for t, each in values["milliseconds"].items()},
        {int(t): _spread(each) for t, each in values["ratios"].items()},
        None if values["reason"] is None else str(values["reason"]),
        None if values.get("error") is None else float(values["error"]),
    )


def _spread(values: Mapping[str, Any]) -> Spread:
    median, low, high = (float(values[key]) for key in ("median", "low", "high"))
    if not (math.isfinite(high) and 0 < low <= median <= high):
        raise ValueError("no times")
    return Spread(median, low, high)
