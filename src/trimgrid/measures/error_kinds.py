"""The kinds of errors: a loss, a metric, a function of the model or of its predictions."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError, first_line
from trimgrid.function_facts import function_facts, required_arguments
from trimgrid.json_values import JSON, json_value
from trimgrid.keras_names import LARGER_IS_BETTER, fresh_copy, metric_name, plain_settings
from trimgrid.measures.predictions import predict
from trimgrid.output_losses import by_output, kind_of_labels, named_outputs, total_loss


class ErrorMeasure(ABC):
    """How the error of a model is found: a number, smaller is better, NaN where there is none.

    `name` says what it is, such as "loss: mse" or "1 - accuracy". `needs_data` tells whether it
    compares predictions with targets; otherwise it needs only the model.
    """

    name: str
    needs_data = True

    @abstractmethod
    def of_predictions(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return the error of predictions.

        Raises `InputError` where the error is not one of predictions, and where it is no number.
        """

    def of_outputs(self, model: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return the error of what a model has predicted; the model tells its outputs' names.

        Raises `InputError` as `of_predictions` does.
        """
        return self.of_predictions(y_true, y_pred, sample_weight)

    def evaluate(self, model: Any, test: ArrayData | StreamData) -> tuple[Any, float]:
        """Return a model's predictions on test data, and their error.

        Raises `InputError` as `of_predictions` and `predict` do.
        """
        y_pred, y_true, weights = predict(model, test)
        return y_pred, self.of_outputs(model, y_true, y_pred, weights)

    @abstractmethod
    def config(self) -> dict[str, JSON]:
        """Return what tells this measure from others, for JSON: see `error_measure_from_config`.

        Raises `InputError` for objects of Keras' that do not tell their config.
        """


class LossMeasure(ErrorMeasure):
    """The loss, with several outputs the sum of theirs times their weights: see `total_loss`.

    >>> LossMeasure("mse", None).of_predictions(np.zeros((2, 1)), np.ones((2, 1)))
    1.0
    """

    def __init__(self, loss: Any, loss_weights: Any) -> None:
        self._loss, self._weights = loss, loss_weights
        several = isinstance(loss, Mapping | list | tuple)
        self.name = "loss" if several else f"loss: {_label(loss)}"

    def of_predictions(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        return total_loss(self._loss, self._weights, y_true, y_pred, sample_weight)

    def of_outputs(self, model: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        parts = [y_true, y_pred, sample_weight]
        if isinstance(self._loss, Mapping) or isinstance(y_true, Mapping):
            parts = [named_outputs(model, each) for each in parts]
        return self.of_predictions(*parts)

    def config(self) -> dict[str, JSON]:
        if isinstance(self._loss, Mapping):
            loss: JSON = {"outputs": {key: _told(each) for key, each in self._loss.items()}}
        elif isinstance(self._loss, list | tuple):
            loss = [_told(each) for each in self._loss]
        else:
            loss = _told(self._loss)
        return {"kind": "loss", "loss": loss, "loss_weights": json_value(self._weights)}


class MetricMeasure(ErrorMeasure):
    """A metric of one output; "accuracy" stands for one whose kind the shapes tell.

    Raises `InputError` for a metric that does not compare targets and predictions, that counts
    what is right, and that can't be made from its config.

    >>> MetricMeasure(keras.metrics.Precision(name="precise")).name
    '1 - precise'
    """

    def __init__(self, metric: Any, label: str | None = None) -> None:
        self._metric = metric
        larger = isinstance(metric, (str, *LARGER_IS_BETTER))
        if label is None:
            label = metric if isinstance(metric, str) else metric_name(metric)
        self.name = f"1 - {label}" if larger else label
        self._sign, self._from = (-1.0, 1.0) if larger else (1.0, 0.0)
        plain = type(metric) is keras.metrics.MeanMetricWrapper
        if not isinstance(metric, str):
            if plain or required_arguments(metric.update_state) != 2:
                raise InputError(
                    "A metric must compare targets and predictions, and tell which is better. "
                    f"Received: error={type(metric).__name__}. Give a function of "
                    "(y_true, y_pred)."
                )
            if isinstance(metric, keras.metrics.TruePositives | keras.metrics.TrueNegatives):
                raise InputError(
                    "An error must be smaller where a model is better. "
                    f"Received: error={type(metric).__name__}, a count. Give recall or accuracy."
                )
            self._fresh(None, None)

    def of_predictions(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        arrays = [by_output(each) for each in (y_true, y_pred, sample_weight)]
        if any(len(each) != 1 for each in arrays):
            raise InputError(
                "A metric is one of a single output. "
                f"Received: error={self.name!r} for {len(arrays[1])} outputs. Give the loss, or a "
                "function of (y_true, y_pred) that returns the error."
            )
        y_true, y_pred, sample_weight = (next(iter(each.values())) for each in arrays)
        if not np.isfinite(np.asarray(y_pred, "float64")).all() and np.isnan(y_pred).any():
            return math.nan  # a metric may see a class in it
        metric = self._fresh(y_true, y_pred)
        floatx = keras.config.floatx()
        target, prediction = (
            keras.ops.convert_to_tensor(each.astype(floatx) if each.dtype == "float64" else each)
            for each in map(np.asarray, (y_true, y_pred))
        )
        metric.update_state(target, prediction, sample_weight=sample_weight)
        value = keras.ops.convert_to_numpy(metric.result())
        if value.ndim:
            raise InputError(
                "A metric must give one number. "
                f"Received: error={self.name!r}, which gives {value.shape}. "
                'Give it an average, such as average="macro".'
            )
        return self._from + self._sign * float(value)

    def config(self) -> dict[str, JSON]:
        metric = "accuracy" if isinstance(self._metric, str) else json_value(self._metric)
        return {"kind": "metric", "metric": metric}

    def _fresh(self, y_true: Any, y_pred: Any) -> Any:
        """Return a new metric: the one given keeps its state."""
        if isinstance(self._metric, str):
            kind = kind_of_labels(np.asarray(y_true), np.asarray(y_pred))
            return keras.metrics.get(f"{kind}_accuracy")
        try:
            return fresh_copy(self._metric)
        except Exception as error:  # whatever a class of the user's raises
            raise InputError(
                "A metric must be copyable through its config. Received: "
                f"error={type(self._metric).__name__}, {type(error).__name__}: {first_line(error)} "
                "Give it a get_config() that holds all arguments."
            ) from error


class ModelFunction(ErrorMeasure):
    """A function of the model that returns its error, or its predictions and their error.

    >>> ModelFunction(len).evaluate([1, 2], None)
    (None, 2.0)
    """

    needs_data = False

    def __init__(self, function: Any) -> None:
        self._function, self.name = function, _label(function)

    def of_predictions(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        raise InputError(
            "The error of predictions must not need the model. "
            f"Received: error={self.name!r}, a function of the model. Give a function of "
            "(y_true, y_pred)."
        )

    def evaluate(self, model: Any, test: ArrayData | StreamData) -> tuple[Any, float]:
        found = self._function(model)
        predictions, error = (
            found if isinstance(found, tuple) and len(found) == 2 else (None, found)
        )
        if predictions is not None:
            predictions = keras.tree.map_structure(np.asarray, predictions)
        return predictions, _number(error, self.name, "a number, or predictions and a number")

    def config(self) -> dict[str, JSON]:
        return {"kind": "function", "of": "model", **function_facts(self._function)}


class PairFunction(ErrorMeasure):
    """A function of targets and predictions, which may take `sample_weight` as well.

    >>> PairFunction(lambda y_true, y_pred: abs(y_true - y_pred).max()).of_predictions(
    ...     np.array([1.0, 2.0]), np.array([1.5, 2.25]))
    0.5
    """

    def __init__(self, function: Any) -> None:
        self._function, self.name = function, _label(function)
        self._weighted = "sample_weight" in inspect.signature(function).parameters

    def of_predictions(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        more = {}
        if self._weighted and sample_weight is not None:
            more["sample_weight"] = sample_weight
        return _number(self._function(y_true, y_pred, **more), self.name, "a number")

    def config(self) -> dict[str, JSON]:
        return {"kind": "function", "of": "predictions", **function_facts(self._function)}


def _number(value: Any, name: str, wanted: str) -> float:
    try:
        if np.ndim(value) == 0 and not isinstance(value, str):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"The error of a model must be {wanted}. "
        f"Received: {type(value).__name__} from {name}. Return {wanted}."
    )


def _label(thing: Any) -> str:
    if isinstance(thing, str):
        return thing
    return str(getattr(thing, "__name__", None) or getattr(thing, "name", type(thing).__name__))


def _told(loss: Any) -> JSON:
    if loss is None or isinstance(loss, str):
        return loss
    if isinstance(loss, keras.losses.Loss):
        try:
            fresh_copy(loss)
        except Exception:  # it can't be made from its config: what it holds is told, for identity
            return {**json_value(loss), "values": json_value(plain_settings(loss))}
        return json_value(loss)
    if str(getattr(loss, "__module__", "")).split(".")[0] == "keras":
        return loss.__name__
    return function_facts(loss)
