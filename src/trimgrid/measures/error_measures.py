"""The error of a trained model on test data: its loss, a metric, or what a function says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from trimgrid.errors import InputError, first_line
from trimgrid.function_facts import required_arguments
from trimgrid.keras_names import from_class_config, known_names
from trimgrid.measures.error_kinds import (
    ErrorMeasure,
    LossMeasure,
    MetricMeasure,
    ModelFunction,
    PairFunction,
)
from trimgrid.suggestions import nearest

_UNKNOWN = object()


def error_measure(error: Any, loss: Any, loss_weights: Any = None) -> ErrorMeasure:
    """Return how the error of a trained model is found.

    `error` is one of:

    - None or "loss": the loss on the test data, with several outputs the sum of theirs times
      `loss_weights`. Without the penalties of regularizers, which reward zeros, and without masks;
    - the name of a Keras metric or loss, or such an object. Of a metric where larger is better,
      accuracy and its kin, it is 1 - value. A metric class of your own counts as an error;
    - a function of the model that returns its error, or its predictions and their error;
    - a function (y_true, y_pred) of NumPy arrays that returns the error; if it has a parameter
      `sample_weight` it gets the weights of the test data, if there are any.

    Losses and metrics are those of `model.evaluate` (metrics: of its weighted metrics) with all
    test data in one batch. What is given is never changed.

    Raises `InputError` for what is none of these.

    >>> import numpy as np
    >>> measure = error_measure("accuracy", "sparse_categorical_crossentropy")
    >>> measure.name, measure.of_predictions(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    ('1 - accuracy', 0.5)
    """
    if error is None or (isinstance(error, str) and error.lower() == "loss"):
        if loss is None:
            raise InputError(
                "An error must be a loss, a metric or a function. Received: error=None, loss=None. "
                "Give one of them."
            )
        return LossMeasure(loss, loss_weights)
    if isinstance(error, type):
        raise InputError(
            "An error must be an object, a name or a function. "
            f"Received: the class {error.__name__}. Call it: {error.__name__}()."
        )
    if isinstance(error, keras.losses.Loss):
        return LossMeasure(error, loss_weights)
    if isinstance(error, keras.metrics.Metric):
        return MetricMeasure(error)
    if callable(error) and str(getattr(error, "__module__", "")).split(".")[0] == "keras":
        error = error.__name__
    if isinstance(error, str):
        return _named(error, loss_weights)
    needed = required_arguments(error) if callable(error) else None
    if needed == 1:
        return ModelFunction(error)
    if needed == 2:
        return PairFunction(error)
    raise InputError(
        "An error must be the name of a Keras metric or loss, such an object, a function of the "
        f"model, or a function of (y_true, y_pred). Received: error={error!r}"
        f"{', which takes neither one nor two arguments' if callable(error) else ''}. "
        'Give for example "accuracy".'
    )


def error_measure_from_config(config: Mapping[str, Any]) -> ErrorMeasure | None:
    """Return the measure that `ErrorMeasure.config` described; None where its code is not at hand.

    That is so for functions, and for classes of your own unless they are registered with
    `keras.saving.register_keras_serializable`. Nothing is imported and no code is run but Keras'.

    Raises `InputError` for a config that is damaged.

    >>> config = error_measure("accuracy", "mse").config()
    >>> error_measure_from_config(config).name
    '1 - accuracy'
    """
    try:
        kind = config["kind"]
        if kind == "function":
            return None
        if kind == "loss":
            loss = _losses_from(config["loss"])
            return None if loss is _UNKNOWN else LossMeasure(loss, config["loss_weights"])
        if kind == "metric":
            metric = _part_from(config["metric"], keras.metrics, keras.metrics.Metric)
            return None if metric is _UNKNOWN else MetricMeasure(metric)
        raise ValueError(f"an unknown kind {kind!r}")
    except InputError:
        raise
    except Exception as error:  # whatever a class raises on arguments that it has not
        raise InputError(
            "A config of an error must be as ErrorMeasure.config() gave it. "
            f"Received: {config!r}, {type(error).__name__}: {first_line(error)} Run it anew."
        ) from error


def _named(name: str, loss_weights: Any) -> ErrorMeasure:
    if name.lower() in ("accuracy", "acc"):
        return MetricMeasure(name)
    if name.lower() in ("crossentropy", "ce"):
        return LossMeasure(name, loss_weights)
    try:
        found = keras.metrics.get(name)
    except ValueError:
        pass
    except TypeError as error:
        raise InputError(
            "A metric that has arguments must be given as an object. "
            f"Received: error={name!r}: {error}. Call its class."
        ) from error
    else:
        return MetricMeasure(found, name)
    try:
        keras.losses.get(name)
    except ValueError as error:
        raise InputError(
            "An error given by name must be one of Keras' metrics or losses. "
            f"Received: error={name!r}. {nearest(name, known_names())}"
            "Give a known name, the object or a function."
        ) from error
    return LossMeasure(name, loss_weights)


def _losses_from(config: Any) -> Any:
    if isinstance(config, Mapping) and "outputs" in config:
        parts = {key: _part(each) for key, each in config["outputs"].items()}
        return _UNKNOWN if _UNKNOWN in parts.values() else parts
    if isinstance(config, list):
        listed = [_part(each) for each in config]
        return _UNKNOWN if _UNKNOWN in listed else listed
    return _part(config)


def _part(config: Any) -> Any:
    return _part_from(config, keras.losses, keras.losses.Loss)


def _part_from(config: Any, module: Any, kind: type) -> Any:
    if config is None or isinstance(config, str):
        if config is not None and config.lower() not in ("accuracy", "acc", "crossentropy", "ce"):
            module.get(config)
        return config
    if "function" in config or "values" in config:
        return _UNKNOWN
    found = from_class_config(config, module, kind)
    return _UNKNOWN if found is None else found
