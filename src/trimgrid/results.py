"""What came out of an attempt, and how it is printed and saved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

from trimgrid.atomic import replacing
from trimgrid.cells import error_cell, milliseconds, size_label, zeros_cell
from trimgrid.errors import InputError
from trimgrid.html_table import Align, facts_html
from trimgrid.measured_values import checked_value, finite_or_none, nan_if_none
from trimgrid.shrunk_info import SHRUNK_SIZES, ShrunkInfo, ShrunkSizes
from trimgrid.terminal_text import one_line, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTS = ("total_weights", "nonzero_weights", "zero_weights")
"""What is counted of every model, by the readable names."""

SIZES = (
    "h5_size",
    "zipped_h5_size",
    "keras_size",
    "zipped_keras_size",
    "tflite_size",
    "zipped_tflite_size",
)
"""What a model's size may be measured as, in bytes, by the readable names."""

SIZES_TO_CHOOSE_BY = (*SIZES, *SHRUNK_SIZES)
"""The same, and the sizes of the files without idle units."""

GIVEN_UP = "worker failed: "
"""How the status of an attempt begins whose workers died; the reason follows."""

STOPPED = "stopped after epoch "
"""How the status of an attempt begins that a search found hopeless; the epoch follows."""


@dataclass
class AttemptInfo(ShrunkSizes):
    """The measurements of one model: its weights, its size on disk, its error.

    The first arguments have the order and names of the article "Pruning of neural networks with
    TensorFlow"; shorter names read the same values. Weights are counts. Sizes are bytes of the file
    and of the file zipped, ``None`` where not measured: ``h5`` and ``keras`` are saved without the
    optimizer's state, ``lt`` is the TensorFlow Lite model. ``y_pred`` holds the predictions on the
    test data (any shape, or ``None``), ``error_value`` their error, NaN where there is none.
    ``status`` is "ok", or a sentence that says what failed and why.

    Where the training was repeated with several seeds, ``errors`` holds the error of each repeat
    that was evaluated, in the order of the seeds, and ``error_value`` is their median. Weights,
    sizes and predictions are those of one of the repeats: see `trimgrid.repeats.summarize`.

    ``latency_ms`` is the median time of one inference of the .tflite in milliseconds, in LiteRT on
    one thread; ``None`` until it is measured, which no training does: see
    `StoredAttempt.measure_latency`.

    ``shrunk`` has the measurements of the model without its idle units, ``None`` where a run was
    not asked for them: see `trimgrid.Study.run`. ``shrunk_h5_size``, ``zipped_shrunk_tflite_size``
    and so on are the bytes of what an export without idle units is: where there are none, those of
    the whole model.

    >>> info = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> info.zero_weights, info.compressionh5_factor, info.compressionlt_factor
    (50, 75.0, 0.0)
    """

    name: str
    tot_num_of_weights: int
    tot_num_of_nonzero_weights: int
    tot_num_of_zero_weights: int
    unzippedh5_size: int | None
    zippedh5_size: int | None
    unzippedlt_size: int | None
    zippedlt_size: int | None
    y_pred: NDArray[Any] | None = field(repr=False, compare=False)
    error_value: float
    _: KW_ONLY
    keras_size: int | None = None
    zipped_keras_size: int | None = None
    status: str = "ok"
    errors: tuple[float, ...] = ()
    latency_ms: float | None = None
    shrunk: ShrunkInfo | None = None

    @property
    def compressionh5_factor(self) -> float:
        """Percent that zipping takes off the .h5, ``100 * (plain - zipped) / plain``, or 0."""
        return _compression(self.unzippedh5_size, self.zippedh5_size)

    @property
    def compressionlt_factor(self) -> float:
        """Percent that zipping takes off the .tflite, computed as for the .h5."""
        return _compression(self.unzippedlt_size, self.zippedlt_size)

    @property
    def total_weights(self) -> int:
        """The number of all weights."""
        return self.tot_num_of_weights

    @property
    def nonzero_weights(self) -> int:
        """The number of weights that are not zero."""
        return self.tot_num_of_nonzero_weights

    @property
    def zero_weights(self) -> int:
        """The number of weights that are zero."""
        return self.tot_num_of_zero_weights

    @property
    def h5_size(self) -> int | None:
        """Bytes of the .h5 file."""
        return self.unzippedh5_size

    @property
    def zipped_h5_size(self) -> int | None:
        """Bytes of the .h5 file, zipped."""
        return self.zippedh5_size

    @property
    def tflite_size(self) -> int | None:
        """Bytes of the .tflite file."""
        return self.unzippedlt_size

    @property
    def zipped_tflite_size(self) -> int | None:
        """Bytes of the .tflite file, zipped."""
        return self.zippedlt_size

    @property
    def error(self) -> float:
        """The error on the test data, of repeats the median; NaN where there is none."""
        return self.error_value

    @property
    def error_range(self) -> tuple[float, float] | None:
        """The least and the greatest finite error of the repeats; `None` without repeats."""
        finite = self._finite_errors()
        return (min(finite), max(finite)) if finite else None

    @property
    def stopped_early(self) -> bool:
        """Whether a search stopped the training, so that the model is as far as it had come."""
        return self.status.startswith(STOPPED)

    @property
    def given_up(self) -> bool:
        """Whether its workers died, so that there is no model, and the next run tries again."""
        return self.status.startswith(GIVEN_UP)

    @property
    def repeats(self) -> int:
        """The number of trainings whose errors are known; 1 where there was a single training."""
        return len(self.errors) or 1

    def print(self) -> None:
        """Print the block of this model as the article prints it, to standard output.

        >>> AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02).print()
        Model: half
          Total number of weights: 100
          Total number of non-zero weights: 50
          Total number of zero weights: 50
          Unzipped h5 size: 4000 bytes
          Zipped h5 size: 1000 bytes (compression factor: 75.00%)
          Unzipped tflite size: not measured
          Zipped tflite size: not measured
          Error (loss) value: 2.000000E-02
        """
        error = "not measured" if math.isnan(self.error) else f"{self.error:E}"
        error += self._range_text()
        print(f"Model: {printable(self.name)}")
        print(f"  Total number of weights: {self.total_weights}")
        print(f"  Total number of non-zero weights: {self.nonzero_weights}")
        print(f"  Total number of zero weights: {self.zero_weights}")
        _print_sizes("h5", self.h5_size, self.zipped_h5_size)
        _print_sizes("tflite", self.tflite_size, self.zipped_tflite_size)
        print(f"  Error (loss) value: {error}")
        if self.status != "ok":
            print(f"  Status: {one_line(self.status)}")

    def _repr_html_(self) -> str:
        """Return the measurements as a small table, which notebooks show in place of the repr."""
        numbers = {
            "Weights": f"{self.total_weights:,}",
            "Non-zero": f"{self.nonzero_weights:,}",
            "Zeros": zeros_cell(self),
        }
        for size in SIZES:
            if (measured := getattr(self, size)) is not None:
                numbers[size_label(size).capitalize()] = f"{measured:,} bytes"
        if self.shrunk is not None:
            numbers["Idle units left out"] = f"{self.shrunk.units:,}"
        if self.shrunk is not None and self.shrunk.units:
            numbers["Weights, shrunk"] = f"{self.shrunk.total_weights:,}"
            for size in SHRUNK_SIZES:
                if (measured := getattr(self, size)) is not None:
                    numbers[size_label(size).capitalize()] = f"{measured:,} bytes"
        if self.latency_ms is not None:
            numbers["Latency"] = f"{milliseconds(self.latency_ms)} ms"
        numbers["Error"] = error_cell(self) + self._range_text().lower()
        facts: list[tuple[str, str, Align]] = [(*each, "right") for each in numbers.items()]
        return facts_html(self.name, [*facts, ("Status", self.status, "left")])

    def _range_text(self) -> str:
        if self.error_range is None:
            return ""
        low, high = self.error_range
        return f" (median of {len(self._finite_errors())}, {low:.1E} to {high:.1E})"

    def _finite_errors(self) -> list[float]:
        return [float(error) for error in self.errors if math.isfinite(error)]

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements, without the predictions, as types that JSON has.

        An error that is NaN or infinite becomes ``None``. "errors" is empty without repeats.

        >>> info = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, float("nan"))
        >>> [info.to_dict()[key] for key in ("zero_weights", "h5_size", "tflite_size", "error")]
        [50, 4000, None, None]
        """
        counts = {
            key: None if (value := getattr(self, key)) is None else int(value)
            for key in (*COUNTS, *SIZES)
        }
        return {
            "name": self.name,
            **counts,
            "error": finite_or_none(self.error),
            "errors": [finite_or_none(error) for error in self.errors],
            "latency_ms": self.latency_ms,
            "shrunk": None if self.shrunk is None else self.shrunk.to_dict(),
            "status": self.status,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **more: Any) -> Self:
        """Return the measurements that `to_dict` gave, without predictions.

        An error that is ``None`` becomes NaN. Other keys are not read; ``more`` goes to the class.

        Raises `InputError` for a key that is missing or has a value of another type.

        >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
        >>> AttemptInfo.from_dict(half.to_dict()) == half
        True
        """
        texts = {key: checked_value(values, key, str) for key in ("name", "status")}
        counts = {key: checked_value(values, key, int) for key in COUNTS}
        sizes = {key: checked_value(values, key, int, NoneType) for key in SIZES}
        errors = checked_value(values, "errors", list)
        return cls(
            texts["name"],
            counts["total_weights"],
            counts["nonzero_weights"],
            counts["zero_weights"],
            sizes["h5_size"],
            sizes["zipped_h5_size"],
            sizes["tflite_size"],
            sizes["zipped_tflite_size"],
            None,
            nan_if_none(checked_value(values, "error", float, int, NoneType)),
            keras_size=sizes["keras_size"],
            zipped_keras_size=sizes["zipped_keras_size"],
            status=texts["status"],
            # Results of before it could be measured do not have it.
            latency_ms=_time(
                checked_value({"latency_ms": None, **values}, "latency_ms", float, NoneType)
            ),
            shrunk=_shrunk(values),
            errors=tuple(
                nan_if_none(checked_value({"errors": each}, "errors", float, int, NoneType))
                for each in errors
            ),
            **more,
        )


def write_results_json(infos: Sequence[AttemptInfo], path: Path) -> None:
    """Write the measurements as a JSON list of objects, in the order given.

    The file appears whole or not at all: it is written beside ``path`` and renamed.
    Raises `OSError` where the folder is missing or cannot be written.

    >>> import tempfile
    >>> info = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "results.json")
    ...     write_results_json([info], path)
    ...     json.loads(path.read_text())[0]["zero_weights"]
    50
    """
    text = json.dumps([info.to_dict() for info in infos], indent=2, allow_nan=False)
    with replacing(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def _compression(plain: int | None, zipped: int | None) -> float:
    return 0.0 if not plain or zipped is None else 100 * (plain - zipped) / plain


def _shrunk(values: Mapping[str, Any]) -> ShrunkInfo | None:
    # Results of before it could be measured do not have it.
    found = checked_value({"shrunk": None, **values}, "shrunk", dict, NoneType)
    return None if found is None else ShrunkInfo.from_dict(found)


def _time(number: float | None) -> float | None:
    if number is not None and not 0 < number < math.inf:
        raise InputError(
            "A latency must be a number of milliseconds above 0. "
            f"Received: {number}. Measure the attempt again."
        )
    return number


def _print_sizes(kind: str, plain: int | None, zipped: int | None) -> None:
    plain_text = "not measured" if plain is None else f"{plain} bytes"
    zipped_text = "not measured" if zipped is None else f"{zipped} bytes"
    if plain is not None and zipped is not None:
        zipped_text += f" (compression factor: {_compression(plain, zipped):.2f}%)"
    print(f"  Unzipped {kind} size: {plain_text}")
    print(f"  Zipped {kind} size: {zipped_text}")
