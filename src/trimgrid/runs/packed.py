"""What a study travels in to worker processes: bytes, and the arrays beside them.

Without Keras, so that a worker can set itself up before the bytes are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimgrid.errors import InputError
from trimgrid.executors.travel import not_there, pickled
from trimgrid.startup import started_in_a_hurry


@dataclass(frozen=True)
class Packed:
    """An object as bytes, the arrays in it as buffers, and the custom objects that it needs.

    `custom`: classes and functions by the names by which Keras looks for them. `hurry`: whether
    Keras is to be imported in a hurry, as it was here.

    >>> packed = Packed.of({"epochs": 3}, {}, "settings")
    >>> packed.unpacked()
    {'epochs': 3}
    """

    custom: bytes
    content: bytes
    buffers: tuple[Any, ...]
    hurry: bool = False

    @classmethod
    def of(cls, value: Any, custom: Mapping[str, Any], name: str) -> Packed:
        """Pack an object; what is defined in a script or a study file travels by value.

        Raises `InputError` for what can't travel, with the `name` that the object has there.
        """
        buffers: list[pickle.PickleBuffer] = []
        content = pickled(value, name, buffers.append)
        arrays = tuple(buffers)
        return cls(pickled(dict(custom), "custom objects"), content, arrays, started_in_a_hurry())

    def unpacked(self) -> Any:
        """Return the object; custom objects are known to Keras from then on.

        Raises `InputError` for what can't be imported here.
        """
        try:
            custom = pickle.loads(self.custom)
            if custom:
                import keras  # where nothing is custom there may be no model either

                keras.saving.get_custom_objects().update(custom)
            return pickle.loads(self.content, buffers=self.buffers)
        except (ImportError, AttributeError, TypeError, ValueError) as error:  # Keras' own, too
            raise InputError(not_there(error)) from error
