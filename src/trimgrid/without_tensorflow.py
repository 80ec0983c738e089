"""Keras writes configs without loading TensorFlow, for as long as nothing else wants it.

On every backend Keras asks for each value of a config whether it is an object of TensorFlow's, and
imports TensorFlow to find out: 2 to 4 seconds and 300 MB. But while TensorFlow is not loaded there
can be no such object. So Keras is given a stand-in that answers this question and imports the
real module for everything else. A block on the import would cost more than it saves: Keras would
remember for the rest of the process that there is no TensorFlow, refuse its text layers and leave
`tf.random` out of `keras.utils.set_random_seed`.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import keras
import numpy as np

_NAME = "tensorflow"
# The classes of TensorFlow's whose objects Keras looks for in a config.
_CLASSES = ("DType", "TensorShape", "TypeSpec")
_lock = threading.RLock()


class _StandIn(ModuleType):
    """TensorFlow, loaded at the first use of it that needs more than `isinstance`."""

    def __init__(self) -> None:
        super().__init__(_NAME)
        self._classes = {name: _NotLoaded(name, (), {"standin": self}) for name in _CLASSES}

    def __getattr__(self, name: str) -> Any:
        if name in self._classes and sys.modules.get(_NAME, self) is self:
            return self._classes[name]
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """Return the real module. A thread that got the stand-in by `import` comes here too."""
        with _lock:  # not while the stand-in is where the real one should be
            if sys.modules.get(_NAME) is self:
                del sys.modules[_NAME]
        return import_module(_NAME)


class _NotLoaded(type):
    """The class of a class of TensorFlow's while that is not loaded: it has no instances yet."""

    standin: _StandIn

    def __instancecheck__(cls, instance: Any) -> bool:
        return False

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return getattr(cls.standin.load(), cls.__name__)(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        return getattr(getattr(cls.standin.load(), cls.__name__), name)


@cache  # Keras asks once, so once is enough
def serialize_without_tensorflow() -> None:
    """Make Keras write configs without importing TensorFlow from now on, in this process.

    Does nothing where TensorFlow is loaded already (as on its own backend), not installed, or was
    asked for by Keras before. Everything that really uses TensorFlow (`tf.data`, text layers,
    exports, `import tensorflow`) works as before and loads it then.

    For the instant in which Keras asks for TensorFlow the stand-in is in `sys.modules`. A thread
    that imports TensorFlow in that very instant gets the stand-in too, and with it the real
    module's contents at the first use.

    >>> import json
    >>> serialize_without_tensorflow()
    >>> json.dumps(keras.layers.Dense(2).get_config())[:9]
    '{"name": '
    """
    with _lock:
        if _NAME in sys.modules or importlib.util.find_spec(_NAME) is None:
            return
        standin = _StandIn()
        sys.modules[_NAME] = standin
        try:
            # No plain Python value, so Keras asks; and what it finds it keeps.
            keras.saving.serialize_keras_object(np.float32(0))
        finally:
            if sys.modules.get(_NAME) is standin:
                del sys.modules[_NAME]
