"""The one model whose step the vectorized engine compiles, and into which results are put."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.data.sources import Batch
from trimgrid.distilling import distilled_step, outputs_of
from trimgrid.engines.shapes import RowStart, State
from trimgrid.errors import InputError, first_line
from trimgrid.mask_choice import MaskChoice
from trimgrid.models import copy_model, random_states
from trimgrid.optimizers import held_in_variables, state_places, unscaled
from trimgrid.prunable import check_prunable
from trimgrid.randomness import isolated_randomness
from trimgrid.structures.kinds import Structure
from trimgrid.training import Training, compile_model, scaled_for

Arrays = list[NDArray[Any]]
Values = tuple[Arrays, Arrays, Arrays, Arrays]


class UntraceableError(Exception):
    """A model whose training step JAX can't trace; the message says why."""


class Carrier:
    """A compiled copy of the original for one kind of training: loss, optimizer, metrics.

    `example`: a batch, and `validation_example` likewise, to build the metrics on. `structure`:
    that of the masks, which decides what is pruned.

    Raises `UntraceableError` if JAX can't trace the training step, and `InputError` for a model
    without prunable weights, or one that can't be distilled as the training wants it.
    """

    def __init__(
        self,
        original: Any,
        training: Training,
        example: Batch,
        validation_example: Batch | None = None,
        structure: Structure | None = None,
    ) -> None:
        self.training = training
        self.structure = structure
        self.model = copy_model(original, seed=training.seed)
        with isolated_randomness(training.seed):
            self.optimizer = scaled_for(self.model, training.fresh_optimizer())
            compile_model(self.model, self.optimizer, training)
        self.optimizer.build(self.model.trainable_variables)
        found = check_prunable(self.model.trainable_variables, structure=structure)
        self.pruned = tuple(i for i, each in enumerate(found) if each.reason is None)
        self.logs: dict[str, Any] = {}
        self.validation_logs: dict[str, Any] = {}
        try:
            # Keras makes the metrics' variables in the first step. In this scope they come to life
            # at its end, outside the tracing.
            with keras.StatelessScope():
                values = self._values()
                teacher = None if training.distillation is None else values[:2]
                self.logs, _ = jax.eval_shape(self.train_step, values, _shapes(example), teacher)
            if validation_example is not None:
                logs, _ = jax.eval_shape(
                    self.model.test_step,
                    (*self._values()[:2], self._values()[3]),
                    _shapes(validation_example),
                )
                self.validation_logs = {f"val_{key}": value for key, value in logs.items()}
        except InputError:
            raise
        except Exception as error:  # whatever a layer does that is not for tracing
            reason = _reason(error)
            raise UntraceableError(f"{type(reason).__name__}: {first_line(reason)}") from error
        self.model.reset_metrics()
        self._initial = self._now()
        self._first_masks: dict[tuple[Any, ...], list[NDArray[np.bool_]]] = {}

    @property
    def pruned_variables(self) -> list[Any]:
        """The variables that are pruned, in their order."""
        return [self.model.trainable_variables[place] for place in self.pruned]

    @property
    def metrics(self) -> Arrays:
        """The values with which the metrics begin."""
        return self._initial[3]

    @property
    def rate(self) -> int | None:
        """The place of the learning rate among the optimizer's variables, None if it is none."""
        rate = self.optimizer.learning_rate
        places = (i for i, each in enumerate(self.optimizer.variables) if each is rate)
        return next(places, None)

    @property
    def row_bytes(self) -> int:
        """The bytes of the state of one row."""
        masks = sum(self._initial[0][place].size for place in self.pruned)
        return masks + sum(array.nbytes for part in self._initial for array in part)

    @property
    def row_start(self) -> RowStart:
        """What rows that rewind go back to: the weights from which they start, a new optimizer."""
        optimizer = [self._initial[2][place] for place in self.state_places]
        return RowStart(self._initial[0], optimizer)

    @property
    def state_places(self) -> tuple[int, ...]:
        """The places of the optimizer's variables that go back where a row rewinds."""
        return state_places(self.optimizer)

    @property
    def teacher(self) -> tuple[Arrays, Arrays] | None:
        """The weights of the teacher, from which rows start too; None without distillation."""
        return None if self.training.distillation is None else self._initial[:2]

    @property
    def teacher_bytes(self) -> int:
        """The bytes of the teacher's weights, which all rows share."""
        return sum(array.nbytes for array in jax.tree.leaves(self.teacher))

    def train_step(self, state: Any, batch: Any, teacher: Any) -> Any:
        """Keras' `train_step`; with the values of a teacher's weights the row learns from it."""
        if teacher is None:
            return self.model.train_step(state, batch)
        outputs = partial(outputs_of, self.model)
        if jax.default_backend() == "cpu":
            # One row after the other: in one product with the batches of several rows the last
            # bits of a row could depend on its place among them.
            outputs = jax.custom_batching.sequential_vmap(outputs)
        step = distilled_step(self.model, self.training, partial(outputs, teacher))
        return step(state, batch)

    def begin_from(self, weights: Sequence[Any]) -> None:
        """Take the weights from which rows start, as `get_weights` gives them."""
        self.model.set_weights(weights)
        self._initial = (*self._now()[:2], *self._initial[2:])
        self._first_masks.clear()

    def start(self, training: Training, target: float, choice: MaskChoice | None = None) -> State:
        """The state of a row before its first batch, the update of step 0 done.

        `target` is the sparsity of that update, NaN if there is none, and `choice` how its masks
        are chosen. Random layers begin from the training's seed, and hyperparameters that the
        optimizer holds in variables have the values of the training's optimizer.
        """
        trainable, other = list(self._initial[0]), list(self._initial[1])
        for place, state in random_states(self.model.non_trainable_variables, training.seed):
            other[place] = state
        chosen = [np.ones(trainable[place].shape, np.bool_) for place in self.pruned]
        if not np.isnan(target):
            assert choice is not None
            parts = () if choice.sharing is None else choice.sharing
            key = target, *(np.asarray(part).tobytes() for part in parts)
            if key not in self._first_masks:
                kernels = [trainable[place] for place in self.pruned]
                self._first_masks[key] = choice.masks(kernels, target)
            chosen = self._first_masks[key]
            for place, mask in zip(self.pruned, chosen, strict=True):
                trainable[place] = np.where(mask, trainable[place], trainable[place].dtype.type(0))
        values = trainable, other, self._hyperparameters(training), self.metrics
        return State(values, chosen, np.int32(-1), np.float32(0))

    def receive(self, values: Values, chosen: Sequence[NDArray[np.bool_]]) -> Any:
        """Put the state of a trained row into the model and return the model."""
        model = self.model
        variables = (model.trainable_variables, model.non_trainable_variables)
        for targets, arrays in zip(variables, values[:2], strict=True):
            for variable, array in zip(targets, arrays, strict=True):
                variable.assign(array)
        if getattr(self.optimizer, "inner_optimizer", self.optimizer).use_ema:
            for variable, array in zip(self.optimizer.variables, values[2], strict=True):
                variable.assign(array)
            self.optimizer.finalize_variable_values(model.trainable_variables)
            for place, mask in zip(self.pruned, chosen, strict=True):
                averaged = model.trainable_variables[place]
                value = averaged.value
                averaged.assign(keras.ops.where(mask, value, keras.ops.zeros_like(value)))
        return model

    def _values(self) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        model = self.model
        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            self.optimizer.variables,
            model.metrics_variables,
        )
        trainable, other, optimizer, metrics = ([v.value for v in group] for group in groups)
        return trainable, other, optimizer, metrics

    def _now(self) -> Values:
        values: Values = jax.tree.map(np.asarray, self._values())
        return values

    def _hyperparameters(self, training: Training) -> Arrays:
        """The optimizer's first state with the training's values of what it holds in variables."""
        state = list(self._initial[2])
        if training.optimizer is self.training.optimizer:
            return state
        fresh = scaled_for(self.model, training.fresh_optimizer())
        places = {id(variable): i for i, variable in enumerate(self.optimizer.variables)}
        inner = unscaled(self.optimizer), unscaled(fresh)
        for own, other in ((self.optimizer, fresh), inner):
            for key in held_in_variables(other):
                variable = getattr(own, key)
                state[places[id(variable)]] = np.asarray(getattr(other, key).value)
        return state


def _reason(error: BaseException) -> BaseException:
    """JAX' own error: Keras tells a layer's errors anew, with more text, and fails at JAX' own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, jax.errors.JAXTypeError):
            return found
        found = found.__context__
    return error


def _shapes(batch: Batch) -> Any:
    arrays = tuple(jax.tree.map(np.asarray, part) for part in batch)
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, jax.dtypes.canonicalize_dtype(a.dtype)), arrays
    )
