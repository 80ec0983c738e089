"""What a study travels in to worker processes: bytes, and the arrays beside them.

Without Keras, so that a worker can set itself up before the bytes are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle

from trimgrid.errors import InputError, first_line


@dataclass(frozen=True)
class Packed:
    """An object as bytes, the arrays in it as buffers, and the custom objects that it needs.

    `custom`: classes and functions by the names by which Keras looks for them.

    >>> packed = Packed.of({"epochs": 3}, {})
    >>> packed.unpacked()
    {'epochs': 3}
    """

    custom: bytes
    content: bytes
    buffers: tuple[Any, ...]

    @classmethod
    def of(cls, value: Any, custom: Mapping[str, Any]) -> Packed:
        """Pack an object. What is defined in `__main__` or a study file travels by value.

        Raises `InputError` for what can't travel.
        """
        buffers: list[pickle.PickleBuffer] = []
        try:
            return cls(
                cloudpickle.dumps(dict(custom)),
                cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append),
                tuple(buffers),
            )
        except Exception as error:  # whatever an object raises that can't be pickled
            raise InputError(
                "What a study has must be able to travel to its workers: arrays, a PyDataset, "
                "functions that give batches. "
                f"Received: {type(error).__name__}: {first_line(error)} "
                "Give the data as arrays or as a function that opens it, or run without workers."
            ) from error

    def unpacked(self) -> Any:
        """Return the object; custom objects are known to Keras from then on.

        Raises `InputError` for modules that can't be imported here.
        """
        try:
            custom = pickle.loads(self.custom)
            if custom:
                import keras  # what has no custom objects may have no model either

                keras.saving.get_custom_objects().update(custom)
            return pickle.loads(self.content, buffers=_writable(self.buffers))
        except (ImportError, AttributeError) as error:
            raise InputError(
                "What a study uses must be importable where its workers run. "
                f"Received: {type(error).__name__}: {first_line(error)} "
                "Install the package there, put the module beside the study file, or, on a "
                "cluster, give it to Ray: RAY_RUNTIME_ENV with py_modules."
            ) from error


def _writable(buffers: Sequence[Any]) -> list[Any]:
    """What an executor made of the buffers, as it is: arrays from it may be read-only."""
    return [memoryview(each) for each in buffers]
