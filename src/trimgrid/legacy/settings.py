"""Losses, metrics and optimizers of one Keras as those of the other, where they mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from trimgrid.errors import InputError, first_line
from trimgrid.keras_names import plain_settings
from trimgrid.legacy.telling import is_legacy

# What only one of the two has, and the values with which it changes nothing; None: any.
_HARMLESS: dict[str, tuple[Any, ...] | None] = {
    "axis": (-1,),
    "decay": (0.0,),
    "dtype": ("float32",),
    "fn": None,
    "gradient_accumulation_steps": (None,),
    "is_legacy_optimizer": None,
    "jit_compile": None,
    "loss_scale_factor": (None,),
}
_AVERAGES = ("ema_momentum", "ema_overwrite_frequency")
_REMEDY = "Load the model into Keras 3 (save it as .h5 and give the path), or give another one."


def in_keras_3(thing: Any) -> Any:
    """Return loss, metrics or optimizer with Keras 3's in the place of those of `tf_keras`.

    `thing` may be a list, tuple or dict of them. What is none of `tf_keras` stays as it is.

    Raises `InputError` for one that Keras 3 does not have, or not with these arguments.

    >>> in_keras_3(["mae", None])
    ['mae', None]
    """
    return _each(thing, lambda part: _in_keras_3(part) if is_legacy(part) else part)


def in_keras_2(thing: Any) -> Any:
    """Return loss, metrics or optimizer with those of `tf_keras` in the place of Keras 3's.

    Functions of the user's own stay as they are.

    Raises `InputError` as `in_keras_3` does.
    """
    return _each(thing, _in_keras_2)


def scaled_as(model: Any, optimizer: Any) -> Any:
    """Return an optimizer of `tf_keras` as `compile` of this model takes it.

    A model of mixed precision scales its loss. Keras tells it by the global policy at the time when
    a model is made, which a copy may have no more.
    """
    if model.dtype_policy.name != "mixed_float16":
        return optimizer
    import tf_keras

    return tf_keras.mixed_precision.LossScaleOptimizer(optimizer)


def _each(thing: Any, convert: Any) -> Any:
    if isinstance(thing, Mapping):
        return {key: _each(part, convert) for key, part in thing.items()}
    if isinstance(thing, list | tuple):
        return type(thing)(_each(part, convert) for part in thing)
    return convert(thing)


def _in_keras_3(thing: Any) -> Any:
    import tf_keras

    if not hasattr(thing, "get_config"):
        return _named(thing.__name__, keras, thing)
    # In mixed precision a compiled model has its optimizer inside a scaling of the loss.
    if isinstance(thing, tf_keras.mixed_precision.LossScaleOptimizer):
        thing = thing.inner_optimizer
    return _made(thing, keras, "tf_keras")


def _in_keras_2(thing: Any) -> Any:
    import tf_keras

    if thing is None or is_legacy(thing):
        return thing
    if isinstance(thing, str):
        return _named(thing, tf_keras, thing)
    if hasattr(thing, "get_config"):
        return _made(thing, tf_keras, "keras")
    if str(getattr(thing, "__module__", "")).split(".")[0] == "keras":
        return _named(thing.__name__, tf_keras, thing)
    return thing


def _named(name: str, to: Any, thing: Any) -> Any:
    """A loss or metric by the name that both have: a name stays one."""
    if name.lower() in ("accuracy", "acc"):
        return name
    for kind in (to.losses, to.metrics):
        try:
            found = kind.get(name)
        except ValueError:
            continue
        if not isinstance(found, str):  # Keras gives the name of a metric that it does not know
            return thing if isinstance(thing, str) else found
    raise InputError(
        "A tf_keras model is trained with losses and metrics that both Keras have. "
        f"Received: {name!r}, which {to.__name__} does not have. {_REMEDY}"
    )


def _made(thing: Any, to: Any, root: str) -> Any:
    """The object of the other Keras with the same class name and arguments."""
    name = type(thing).__name__
    modules = (to.losses, to.metrics, to.optimizers)
    found = next((getattr(each, name) for each in modules if hasattr(each, name)), None)
    if type(thing).__module__.split(".")[0] != root or found is None:
        raise InputError(
            "A tf_keras model is trained with losses, metrics and optimizers that both Keras "
            f"have. Received: {name}, which {to.__name__} does not have. {_REMEDY}"
        )
    config = _told(thing)
    try:
        made = found.from_config(dict(config))
        other = _told(made)
    except Exception as error:  # whatever a class raises on arguments that it does not take
        raise _differs(name, to, f"{type(error).__name__}: {first_line(error)}") from error
    for key, value in config.items():
        if key not in other:
            raise _differs(name, to, f"there is no {key}={value!r}.")
        if not _same(value, other[key]):
            raise _differs(name, to, f"{key}={value!r} becomes {other[key]!r}.")
    return made


def _told(thing: Any) -> dict[str, Any]:
    """The arguments of an object, without those that change nothing, as both Keras name them."""
    # The first: a config of Keras 3 may leave arguments out.
    config = {**plain_settings(thing).get("_fn_kwargs", {}), **thing.get_config()}
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    if config.get("use_ema") is False:
        for key in _AVERAGES:
            config.pop(key, None)
    elif config.get("use_ema"):
        raise InputError(
            "TFMOT's masks and averages of weights do not go together: those are put in after the "
            f"last mask. Received: {type(thing).__name__} with use_ema=True. Leave it away."
        )
    return {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in config.items()
        if key not in _HARMLESS or not _harmless(key, value)
    }


def _harmless(key: str, value: Any) -> bool:
    values = _HARMLESS[key]
    return values is None or value in values


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):  # a schedule of learning rates
        shared = one.keys() & other.keys() - {"name", "registered_name", "module"}
        return all(_same(one[key], other[key]) for key in shared)
    if isinstance(one, float | int) and isinstance(other, float | int):
        return bool(np.float32(one) == np.float32(other))
    return bool(one == other)


def _differs(name: str, to: Any, why: str) -> InputError:
    return InputError(
        "A tf_keras model is trained with losses, metrics and optimizers that mean the same in "
        f"both Keras. Received: {name}, which differs in {to.__name__}: {why} {_REMEDY}"
    )
