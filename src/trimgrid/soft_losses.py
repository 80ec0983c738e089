"""How far a student's outputs are from a teacher's: the distilled loss."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
from keras import ops

from trimgrid.errors import InputError
from trimgrid.output_losses import by_output, for_outputs, loss_object, with_losses

_SOFTMAX = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.CategoricalGeneralizedCrossEntropy,
)
_SIGMOID = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
_SOFTMAX_FUNCTIONS = (
    keras.losses.categorical_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.categorical_generalized_cross_entropy,
)
_SIGMOID_FUNCTIONS = (keras.losses.binary_crossentropy, keras.losses.binary_focal_crossentropy)


def distilled_loss(
    loss: Any,
    weights: Any,
    temperature: float,
    y_true: Any,
    y_pred: Any,
    taught: Any,
    sample_weight: Any = None,
) -> Any:
    """Return the sum of the outputs' distilled losses, each times its weight; a scalar tensor.

    `loss`, `weights`, `y_true`, `y_pred` and `sample_weight` as `output_losses.total_loss` takes
    them, `taught`: the teacher's outputs in the structure of `y_pred`. Only the shapes of the
    targets count, and which of them a loss ignores. Formulas: see `Distillation`.

    Raises `InputError` for structures that do not fit each other, and a loss that is none of Keras'
    crossentropies and whose targets have another shape than the output.

    >>> import numpy as np
    >>> teacher, student = np.array([[3.0, 0.0]]), np.array([[0.0, 3.0]])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> round(float(distilled_loss(loss, None, 2.0, np.zeros(1), student, teacher)), 4)
    3.8109
    """
    keys = list(by_output(y_pred))
    factors = for_outputs(weights, keys, "loss_weights")
    examples = for_outputs(sample_weight, keys, "the sample weights")
    teachers = by_output(taught)
    total = ops.zeros((), keras.config.floatx())
    for key, part, target, student in with_losses(loss, y_true, y_pred):
        own = loss_object(part, target, student)
        function, settings = _settings(own)
        between = _between_outputs(own, function, settings, temperature, target, student)
        weight = examples[key]
        if settings.get("ignore_class") is not None:
            kept = ops.not_equal(ops.cast(target, total.dtype), settings["ignore_class"])
            weight = _of_these(ops.reshape(kept, ops.shape(student)[:-1]), weight, own.reduction)
        value = between(ops.stop_gradient(teachers[key]), student, weight)
        factor = 1.0 if factors[key] is None else float(factors[key])
        total += factor * ops.cast(value, total.dtype)
    return total


class _Softened(keras.losses.Loss):  # type: ignore[misc]
    """temperature² * KL(teacher || student) of outputs of several classes, softened."""

    def __init__(self, own: Any, temperature: float, settings: Mapping[str, Any]) -> None:
        super().__init__(name="softened", reduction=own.reduction, dtype=own.dtype)
        self._temperature = temperature
        self._from_logits = settings.get("from_logits", False)
        self._axis = settings.get("axis", -1)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The divergence for each example."""
        teacher, student = (
            ops.log_softmax(self._softened_logits(each), self._axis) for each in (y_true, y_pred)
        )
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), self._axis)
        return self._temperature**2 * divergence

    def _softened_logits(self, outputs: Any) -> Any:
        if not self._from_logits:
            outputs = ops.log(_clipped(outputs))
        return outputs / self._temperature


class _SoftenedBinary(_Softened):
    """temperature² * KL(teacher || student) of outputs of one class against its contrary."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The mean over an example's last axis, as binary crossentropy has it."""
        teacher, student = self._softened_logits(y_true), self._softened_logits(y_pred)
        divergence = sum(
            ops.sigmoid(sign * teacher)
            * (ops.log_sigmoid(sign * teacher) - ops.log_sigmoid(sign * student))
            for sign in (1.0, -1.0)
        )
        return self._temperature**2 * ops.mean(divergence, self._axis)

    def _softened_logits(self, outputs: Any) -> Any:
        if not self._from_logits:
            outputs = _clipped(outputs)
            outputs = ops.log(outputs) - ops.log1p(-outputs)
        return outputs / self._temperature


def _clipped(probabilities: Any) -> Any:
    epsilon = keras.config.epsilon()
    return ops.clip(probabilities, epsilon, 1 - epsilon)


def _settings(own: Any) -> tuple[Any, Mapping[str, Any]]:
    """The function of a loss, None if it is no function, and the arguments of a crossentropy."""
    function = getattr(own, "function", None)
    if isinstance(own, _SOFTMAX + _SIGMOID):
        return None, own.get_config()
    given: dict[str, Any] = {}
    while isinstance(function, partial):
        given, function = {**function.keywords, **given}, function.func
    return function, given


def _between_outputs(
    own: Any,
    function: Any,
    settings: Mapping[str, Any],
    temperature: float,
    target: Any,
    student: Any,
) -> Any:
    """The loss between a teacher's and a student's output whose own loss is this one."""
    if isinstance(own, _SOFTMAX) or function in _SOFTMAX_FUNCTIONS:
        return _Softened(own, temperature, settings)
    if isinstance(own, _SIGMOID) or function in _SIGMOID_FUNCTIONS:
        return _SoftenedBinary(own, temperature, settings)
    wanted, got = (_sizes(each) for each in (student, target))
    if wanted != got and None not in (*wanted, *got):
        raise InputError(
            "A distilled loss other than Keras' crossentropies must compare outputs with targets "
            f"of their shape. Received: {own.name!r} on targets of shape {tuple(target.shape)} and "
            f"outputs of shape {tuple(student.shape)}. Take a crossentropy of Keras, or attempts "
            "without distillation."
        )
    return own


def _sizes(array: Any) -> list[int | None]:
    """The dimensions of an example; those of 1 do not count."""
    return [size for size in array.shape[1:] if size != 1]


def _of_these(kept: Any, sample_weight: Any, reduction: Any) -> Any:
    """The weights of examples, 0 for those not kept; a mean is over the others only, as in Keras'
    losses with an `ignore_class`."""
    kept = ops.cast(kept, keras.config.floatx())
    if reduction in ("sum_over_batch_size", "mean"):
        kept = ops.divide_no_nan(kept, ops.mean(kept))
    if sample_weight is None:
        return kept
    if len(sample_weight.shape) > len(kept.shape):
        sample_weight = ops.squeeze(sample_weight, -1)
    return kept * ops.cast(sample_weight, kept.dtype)
