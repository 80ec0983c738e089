"""Which engine trains a model, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from trimgrid.engines.distribution import Distribution, described
from trimgrid.engines.layers import has_convolutions
from trimgrid.errors import InputError
from trimgrid.legacy.refusing import IN_KERAS_3
from trimgrid.legacy.telling import NAME, is_legacy
from trimgrid.startup import check_engine, gpu_at_hand


@dataclass(frozen=True)
class EngineChoice:
    """An engine, "vectorized", "sequential" or "tfmot", and the reason for it in a few words."""

    engine: str
    reason: str

    def describe(self) -> str:
        """Return one line that says engine, backend, devices and reason.

        >>> print(EngineChoice("sequential", "asked for").describe())  # doctest: +ELLIPSIS
        Engine: sequential on ...: asked for.
        """
        backend = NAME if self.engine == "tfmot" else keras.config.backend()
        devices = f", {_devices()}" if backend == "jax" and self.engine == "vectorized" else ""
        return f"Engine: {self.engine} on {backend}{devices}: {self.reason}."


def choose_engine(
    model: Any, wanted: str = "auto", distribution: Distribution | None = None
) -> EngineChoice:
    """Choose the engine that trains a model on the backend of this process.

    "vectorized" trains all attempts in one program and runs on JAX only, "sequential" one after the
    other on any backend. "auto" takes the first on JAX, but the second for a model with
    convolutions on a CPU, which JAX trains slowly. A `tf_keras` model is trained by TFMOT, one
    attempt after the other, which "sequential" allows too. So is one with a `distribution`, under
    which each attempt takes all of its devices.

    Raises `InputError` for an unknown name, and for "vectorized" on another backend than JAX, with
    a `tf_keras` model or with a distribution.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> choose_engine(model, "sequential")
    EngineChoice(engine='sequential', reason='as asked for')
    """
    if is_legacy(model):
        return _tfmot(model, wanted)
    backend = keras.config.backend()
    check_engine(wanted, backend)
    if distribution is not None and wanted == "vectorized":
        raise InputError(
            "The vectorized engine lays attempts over the devices, not one attempt over several. "
            f"Received: engine='vectorized' with {described(distribution)}. Take engine='auto', or "
            "leave the distribution away."
        )
    if wanted != "auto":
        return EngineChoice(wanted, "as asked for")
    if distribution is not None:
        return EngineChoice("sequential", f"each attempt is trained by {described(distribution)}")
    if backend == "tensorflow" and has_convolutions(model) and not gpu_at_hand():
        return EngineChoice(
            "sequential", "TensorFlow trains convolutions on a CPU about 4 times faster than JAX"
        )
    if backend != "jax":
        return EngineChoice("sequential", "the vectorized engine needs JAX (KERAS_BACKEND=jax)")
    if _platform() == "cpu" and has_convolutions(model):
        # The vectorized engine would take twice as long again.
        return EngineChoice(
            "sequential",
            "convolutions on a CPU; KERAS_BACKEND=tensorflow trains them about 4 times faster",
        )
    return EngineChoice("vectorized", "all attempts train in one program")


def _tfmot(model: Any, wanted: str) -> EngineChoice:
    check_engine(wanted, "jax")  # the name alone: what Keras 3 runs on does not matter
    if wanted == "vectorized":
        raise InputError(
            "The vectorized engine trains models of Keras 3. Received: engine='vectorized' for the "
            f"tf_keras model {model.name!r}. Take engine='auto', with which TFMOT trains it, or "
            f"{IN_KERAS_3}."
        )
    return EngineChoice("tfmot", "TFMOT trains tf_keras models, one attempt after the other")


def _platform() -> str:
    """Return what JAX computes on: "cpu", "gpu", "tpu"."""
    import jax

    return str(jax.default_backend())


def _devices() -> str:
    import jax

    count, kind = jax.local_device_count(), _platform()
    name = kind.upper() if kind in ("cpu", "gpu", "tpu") else kind
    return f"{count} {name} device{'s' if count != 1 else ''}"
