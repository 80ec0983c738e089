"""What a training minimizes and watches: losses and metrics, for one output or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from inspect import signature
from typing import Any

import keras

from trimgrid.errors import InputError, first_line
from trimgrid.suggestions import nearest

# Names for which Keras finds the kind of loss or metric from the shapes of targets and outputs.
_BY_SHAPE = ("crossentropy", "ce", "accuracy", "acc")


def check_loss(loss: Any) -> None:
    """Check the names in a loss: one, or a list or dict with one for each output.

    Raises `InputError` for a name that Keras does not know.

    >>> check_loss({"mask": "binary_crossentropy", "depth": keras.losses.Huber()})
    """
    for each in keras.tree.flatten(loss):
        _check_name(keras.losses, each, "A loss")


def check_optimizer(optimizer: Any) -> None:
    """Check an optimizer: an object, a name, or a dict of "class_name" and "config".

    Raises `InputError` for a name or arguments that Keras does not know or take, and for a learning
    rate that is not above 0.

    >>> check_optimizer({"class_name": "sgd", "config": {"learning_rat": 0.01}})
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: An optimizer must be one that Keras can make. Received: \
sgd(learning_rat=0.01), which fails with ValueError: Argument(s) not recognized: \
{'learning_rat': 0.01}. Did you mean 'learning_rate'? Give a known name and its arguments, or the \
object.
    """
    if isinstance(optimizer, type):
        raise InputError(
            "An optimizer must be an object or a name. "
            f"Received: the class {optimizer.__name__}. Call it: {optimizer.__name__}()."
        )
    try:
        rate = made_optimizer(optimizer).get_config().get("learning_rate")
    except Exception as error:  # whatever a class raises on arguments that it does not take
        raise InputError(
            f"An optimizer must be one that Keras can make. Received: {_described(optimizer)}, "
            f"which fails with {type(error).__name__}: {first_line(error)} "
            f"{_nearest(optimizer)}Give a known name and its arguments, or the object."
        ) from error
    if isinstance(rate, int | float) and not 0 < rate < math.inf:
        raise InputError(
            "A learning rate must be a finite number above 0. "
            f"Received: {_described(optimizer)} with learning_rate={rate}. Give for example 0.001."
        )


def made_optimizer(optimizer: Any) -> Any:
    """Return the Keras optimizer that a name or a dict describes, or the one given.

    >>> type(made_optimizer("adam")).__name__
    'Adam'
    """
    # Of a copy: Keras changes a dict.
    return keras.optimizers.get(deepcopy(optimizer) if isinstance(optimizer, dict) else optimizer)


def check_loss_weights(weights: Any) -> None:
    """Check that the weights of several outputs' losses are numbers, in a list or dict; or None.

    Raises `InputError` if not.

    >>> check_loss_weights([1.0, 0.5])
    """
    if weights is None:
        return
    flat = keras.tree.flatten(weights) if isinstance(weights, list | tuple | dict) else [None]
    if not all(isinstance(each, int | float) for each in flat):
        raise InputError(
            "Weights of losses must be a list or dict of numbers, one for each output. "
            f"Received: loss_weights={weights!r}. Give for example [1.0, 0.5]."
        )


def check_metrics(metrics: Any) -> None:
    """Check metrics: names or objects, in a list or tuple, for several outputs in one of these or
    in a dict.

    Raises `InputError` for what is no metric, and one that can't be made anew from its config.

    >>> check_metrics(("mae", keras.metrics.AUC(num_thresholds=50)))
    """
    if not isinstance(metrics, list | tuple | dict):
        raise InputError(
            "Metrics must be a tuple of metrics or of their names. "
            f'Received: metrics={metrics!r}. Give for example ("accuracy",).'
        )
    for each in keras.tree.flatten(metrics):
        if isinstance(each, type) or not (each is None or isinstance(each, str) or callable(each)):
            raise InputError(
                "A metric must be an object or a name. "
                f"Received: {each!r}. Give for example keras.metrics.AUC()."
            )
        _check_name(keras.metrics, each, "A metric")
    fresh_metrics(metrics)


def fresh_metrics(metrics: Any) -> Any:
    """Return the same structure with new metrics made from the configs of those given.

    Raises `InputError` for a metric that can't be made from its config.

    >>> mine = keras.metrics.AUC(name="area")
    >>> (other,) = fresh_metrics([mine])
    >>> other is mine, other.name
    (False, 'area')
    """
    return keras.tree.map_structure(_fresh, metrics)


def _fresh(metric: Any) -> Any:
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return metric.__class__.from_config(metric.get_config())
    except Exception as error:  # whatever a class of one's own raises
        raise InputError(
            "A metric must be one that its config makes anew, for each training. Received: "
            f"{metric.name!r}, which fails with {type(error).__name__}: {first_line(error)} "
            "Give its class a get_config() that holds all arguments."
        ) from error


def _described(optimizer: Any) -> str:
    if not isinstance(optimizer, Mapping):
        return repr(optimizer) if isinstance(optimizer, str) else type(optimizer).__name__
    config = optimizer.get("config")
    if "class_name" not in optimizer or not isinstance(config, Mapping):
        return repr(optimizer)
    arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
    return f"{optimizer['class_name']}({arguments})"


def _nearest(optimizer: Any) -> str:
    """Ask for the name or the argument that is next to one that Keras does not know."""
    name = optimizer.get("class_name") if isinstance(optimizer, Mapping) else optimizer
    kinds = {
        key.lower(): each
        for key, each in vars(keras.optimizers).items()
        if isinstance(each, type) and issubclass(each, keras.optimizers.Optimizer)
    }
    if not isinstance(name, str):
        return ""
    if name.lower() not in kinds:
        return nearest(name, kinds)
    known = [*signature(kinds[name.lower()]).parameters]
    given = optimizer.get("config") if isinstance(optimizer, Mapping) else None
    return "".join(nearest(str(key), known) for key in given or () if key not in known)


def _check_name(kind: Any, value: Any, what: str) -> None:
    if not isinstance(value, str) or value.lower() in _BY_SHAPE:
        return
    try:
        kind.get(value)
    except ValueError as error:
        raise InputError(
            f"{what} given by name must be one of Keras'. "
            f"Received: {value!r}. Give a known name or the object."
        ) from error
