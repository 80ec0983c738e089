"""What a study travels in to worker processes: bytes, and the arrays beside them.

Without Keras, so that a worker can set itself up before the bytes are read.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError
from trimgrid.executors.travel import not_there, pickled
from trimgrid.startup import started_in_a_hurry


@dataclass(frozen=True)
class Packed:
    """An object as bytes, the arrays in it as buffers, and the custom objects that it needs.

    `custom`: classes and functions by the names by which Keras looks for them; those with a `>`
    are registered. `hurry`: whether Keras is to be imported in a hurry, as it was here. `folders`:
    where modules are found here, without those of this Python.

    >>> packed = Packed.of({"epochs": 3}, {}, "settings")
    >>> packed.unpacked()
    {'epochs': 3}
    """

    custom: bytes
    content: bytes
    buffers: tuple[Any, ...]
    hurry: bool = False
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any, custom: Mapping[str, Any], name: str) -> Packed:
        """Pack an object; what is defined in a script or a study file travels by value.

        Raises `InputError` for what can't travel, with the `name` that the object has there.
        """
        buffers: list[pickle.PickleBuffer] = []
        content = pickled(value, name, buffers.append)
        arrays = tuple(buffers)
        known = pickled(dict(custom), "custom objects")
        return cls(known, content, arrays, started_in_a_hurry(), _own_folders())

    def unpacked(self) -> Any:
        """Return the object; custom objects are known to Keras from then on.

        What is imported is looked for in the `folders` last, as far as they are there. Raises
        `InputError` for what can't be imported here.
        """
        sys.path += [each for each in self.folders if each not in sys.path and Path(each).is_dir()]
        try:
            custom = pickle.loads(self.custom)
            if custom:
                import keras  # where nothing is custom there may be no model either

                keras.saving.get_custom_objects().update(custom)
                for key, each in custom.items():
                    package, registered, name = key.rpartition(">")
                    if registered:  # else a saved model would not name its package
                        keras.saving.register_keras_serializable(package, name)(each)
            return pickle.loads(self.content, buffers=self.buffers)
        except (ImportError, AttributeError, TypeError, ValueError) as error:  # Keras' own, too
            raise InputError(not_there(error)) from error


def _own_folders() -> tuple[str, ...]:
    """The folders of `sys.path` that are not part of the installation."""
    installed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    found = [Path(each).resolve() for each in sys.path]
    return tuple(str(each) for each in found if installed.isdisjoint([each, *each.parents]))
