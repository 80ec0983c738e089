"""A training step in which a model learns from the outputs of another one too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from trimgrid.data.checks import output_of
from trimgrid.data.sources import Batch
from trimgrid.errors import InputError, first_line
from trimgrid.models import copy_model
from trimgrid.output_losses import named_outputs
from trimgrid.randomness import isolated_randomness
from trimgrid.soft_losses import distilled_loss
from trimgrid.training import Training, compile_model, scaled_for

Values = tuple[list[Any], list[Any]]
"""The values of a model's trainable and other variables."""


def outputs_of(model: Any, values: Values, inputs: Any) -> Any:
    """Return what a model gives in inference with these values of its variables, which stay.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "relu")])
    >>> values = [ops.ones((2, 1)), ops.ones(1)], []
    >>> float(outputs_of(model, values, ops.ones((1, 2)))[0, 0])
    3.0
    """
    groups = model.trainable_variables, model.non_trainable_variables
    mapping = [
        pair
        for variables, given in zip(groups, values, strict=True)
        for pair in zip(variables, given, strict=True)
    ]
    with keras.StatelessScope(state_mapping=mapping):
        return model(inputs, training=False)


def taught_by(model: Any) -> Callable[[Any], Any]:
    """Return the function from inputs to the outputs of a model as it is, in inference.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([ops.ones((2, 1))])
    >>> float(taught_by(model)(ops.ones((1, 2)))[0, 0])
    2.0
    """

    def outputs(inputs: Any) -> Any:
        groups = model.trainable_variables, model.non_trainable_variables
        trainable, other = ([variable.value for variable in group] for group in groups)
        return outputs_of(model, (trainable, other), inputs)

    return outputs


def distilled_step(
    model: Any, training: Training, teacher: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return a compiled model's `train_step`, whose loss is mixed with the distilled one.

    `teacher`: gives the outputs to learn from for the inputs of a batch. Only inside the step does
    the model's `compute_loss` give another loss than its own; a `compute_loss` or `train_step` of
    the model's class goes on counting.

    The step raises `InputError` if a `train_step` of the model's own does not give its inputs to
    `compute_loss`, and for outputs whose loss can't be distilled.

    >>> from trimgrid.distillation import Distillation
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> training = Training("mse", "sgd", distillation=Distillation(weight=1))
    >>> compile_model(model, keras.optimizers.SGD(0.1), training)
    >>> model.train_step = distilled_step(model, training, lambda inputs: 7 * ops.ones((4, 1)))
    >>> model.fit(ops.ones((4, 2)), ops.ones((4, 1)), epochs=20, verbose=0) and None
    >>> round(float(ops.sum(model.get_weights()[0])), 3)
    7.0
    """
    distillation = training.distillation
    assert distillation is not None
    step = model.train_step

    def train_step(*arguments: Any) -> Any:
        own_loss = model.compute_loss
        called = False

        def compute_loss(
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            *rest: Any,
            **named: Any,
        ) -> Any:
            nonlocal called
            called = True
            if x is None:
                raise _no_inputs(model)
            own = own_loss(x, y, y_pred, sample_weight, *rest, **named)
            added = [ops.sum(each) for each in model.losses]  # of regularization, now in `own`
            taught = _taught_loss(model, training, y, y_pred, teacher(x), sample_weight)
            for each in added:
                taught += ops.cast(each, taught.dtype)
            return (1 - distillation.weight) * own + distillation.weight * taught

        model.compute_loss = compute_loss
        try:
            result = step(*arguments)
        finally:
            del model.compute_loss
        if not called:
            raise _no_inputs(model)
        return result

    return train_step


def check_distillable(model: Any, training: Training, example: Batch) -> None:
    """Check on a batch that a copy of a model can learn from the model.

    Of a model with a `train_step` of its own that step is tried, of others only the loss.

    Raises `InputError` as `distilled_step` does, and for a step that fails.

    >>> from trimgrid.distillation import Distillation
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> training = Training("mse", distillation=Distillation())
    >>> check_distillable(model, training, (np.ones((4, 2)), np.ones((4, 1))))
    """
    copy = copy_model(model, seed=training.seed)
    if type(model).train_step is keras.Model.train_step:
        inputs, targets, *weights = example
        outputs = keras.tree.map_structure(
            lambda output: np.zeros(output.shape, "float32"), output_of(copy, inputs)
        )
        _taught_loss(model, training, targets, outputs, outputs, *weights)
        return
    with isolated_randomness(training.seed):
        compile_model(copy, scaled_for(copy, training.fresh_optimizer()), training)
        copy.run_eagerly = True  # one step is not worth compiling
        copy.train_step = distilled_step(copy, training, taught_by(model))
        try:
            copy.train_on_batch(*example)
        except InputError:
            raise
        except Exception as error:  # whatever a step does
            raise InputError(
                "A model must be able to learn from its own outputs. "
                f"Received: {model.name!r}, whose train_step with distillation fails with "
                f"{type(error).__name__}: {first_line(error)} Take attempts without distillation."
            ) from error


def _taught_loss(
    model: Any, training: Training, y: Any, y_pred: Any, taught: Any, sample_weight: Any = None
) -> Any:
    """The distilled loss of a batch; outputs that are named may come as a list."""
    assert training.distillation is not None
    parts = [y, y_pred, taught, sample_weight]
    if isinstance(training.loss, Mapping) or isinstance(y, Mapping):
        parts = [named_outputs(model, part) for part in parts]
    temperature = training.distillation.temperature
    return distilled_loss(training.loss, training.loss_weights, temperature, *parts)


def _no_inputs(model: Any) -> InputError:
    return InputError(
        "With distillation a train_step of a model's own must call compute_loss(x=...) with its "
        f"inputs. Received: {type(model).__name__}.train_step, which does not. Let it, or take "
        "attempts without distillation."
    )
