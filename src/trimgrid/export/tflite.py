"""`.keras` files to `.tflite` files, converted and checked in a child process."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from trimgrid.cores import usable_cores
from trimgrid.errors import InputError
from trimgrid.export.child_process import ConversionError, ConverterProcess
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.child_request import Structure, child_request, flatten_samples
from trimgrid.sizes import FileSize, measure_file

__all__ = ["Conversion", "ConversionError", "TFLiteConverter"]


@dataclass(frozen=True)
class Conversion:
    """A `.tflite` file that was written and checked.

    `size` is in bytes. `max_difference` is the largest absolute difference between LiteRT's and
    Keras' outputs over all samples, and `output_range` the largest minus the smallest value of that
    output: what the difference is to be seen against.
    """

    path: Path
    size: FileSize
    max_difference: float
    output_range: float


class TFLiteConverter:
    """Child processes that convert `.keras` files to `.tflite` for as long as a run lasts.

    The files have dynamic-range int8 weights, LiteRT's built-in operations only and a batch size of
    1; other free dimensions get the samples' sizes. Each is run in LiteRT's interpreter on the
    samples and compared with the Keras prediction (`trimgrid.export.agreement`) before it takes its
    place, so a file that exists is complete and was run. The same model gives the same bytes,
    whatever was converted before it and by which child.

    A child needs seconds for its imports: call `start` (or enter the context) before a training,
    and those of the first overlap it. Others start, up to `workers` of them (None: one for each
    core that this process may use), when the queue is so long that they pay. They run Keras on
    TensorFlow without a GPU whatever backend this process has. If a child dies in a conversion, the
    conversion is tried once more on a new one. If it takes over `timeout` seconds, it fails.

    >>> import keras, tempfile
    >>> import numpy as np
    >>> from trimgrid.export.files import write_keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder, TFLiteConverter() as converter:
    ...     write_keras(model, Path(folder, "model.keras"))
    ...     conversion = converter.convert(
    ...         Path(folder, "model.keras"), Path(folder, "model.tflite"), np.ones((2, 3))
    ...     )
    ...     conversion.size.plain == Path(folder, "model.tflite").stat().st_size
    True
    """

    def __init__(self, timeout: float = 300.0, workers: int | None = None) -> None:
        if not timeout > 0:
            raise InputError(
                "The time for one conversion must be above 0 seconds. "
                f"Received: timeout={timeout}. Give for example 300."
            )
        if workers is not None and workers < 1:
            raise InputError(
                "The number of processes that convert must be at least 1. "
                f"Received: workers={workers}. Give None for one for each core."
            )
        self._timeout = timeout
        self._queue = ChildrenQueue(usable_cores() if workers is None else workers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that live."""
        return self._queue.pids

    def start(self) -> None:
        """Start the first child if there is none, without waiting for its imports.

        Raises `ConversionError` once closed.
        """
        self._queue.start()

    def close(self) -> None:
        """End the children. Conversions under way fail, those in the queue are cancelled."""
        self._queue.close()

    def submit(
        self, model_file: str | Path, tflite_file: str | Path, samples: Any
    ) -> Future[Conversion]:
        """Queue a conversion. They start in the order of the calls.

        `samples` is what the model is called with: an array of shape (samples, ...), or a list or
        a dict of such arrays for several inputs. Every sample is run, so a few are enough. Files
        and samples must stay as they are until the future is done.

        Raises `InputError` for samples that are not arrays of numbers with one common length of at
        least 1. The future raises what `convert` does.
        """
        arrays, structure = flatten_samples(samples)
        model, target = Path(model_file).absolute(), Path(tflite_file).absolute()
        return self._queue.submit(
            lambda child: self._convert(child, model, target, arrays, structure)
        )

    def convert(self, model_file: str | Path, tflite_file: str | Path, samples: Any) -> Conversion:
        """Convert one file and wait for it: `submit(...).result()`.

        Raises `ConversionError` if the model can't be converted, the file answers wrongly, or the
        child crashes or takes too long, and `OSError`, which names the file, for a full disk.
        Nothing is left at `tflite_file` then but what was there.
        """
        return self.submit(model_file, tflite_file, samples).result()

    def _convert(
        self,
        child: ConverterProcess,
        model_file: Path,
        tflite_file: Path,
        arrays: list[NDArray[Any]],
        structure: Structure,
    ) -> Conversion:
        # A name that no other conversion has, of this process or another, to the same file.
        temporary = tflite_file.with_name(f".{tflite_file.name}.{child.pid}")
        with child_request(model_file, structure, {"samples": arrays}) as request:
            try:
                answer = child.ask(
                    {
                        **request,
                        "format": "tflite",
                        "quantize": "dynamic",
                        "compare": True,
                        "temporary_file": str(temporary),
                        "target_file": str(tflite_file),
                    },
                    self._timeout,
                )
            finally:
                temporary.unlink(missing_ok=True)
        return Conversion(
            path=tflite_file,
            size=measure_file(tflite_file, "model.tflite"),
            max_difference=answer["max_difference"],
            output_range=answer["output_range"],
        )
