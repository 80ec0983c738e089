"""Magnitude pruning of one model in a plain `model.fit`: an optimizer around an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
from keras import ops

from trimgrid.allocation.overrides import overridden
from trimgrid.allocation.setting import Allocation, allocation_of
from trimgrid.arguments import check_integer
from trimgrid.errors import InputError
from trimgrid.iterative import may_rewind
from trimgrid.layouts import layout_like, whole
from trimgrid.mask_choice import MaskChoice
from trimgrid.prunable import check_prunable
from trimgrid.schedule_kinds import SCHEDULES
from trimgrid.schedules import Schedule, warn_of_stop
from trimgrid.structures.kinds import Structure, structure_config, structure_of
from trimgrid.tfmot_schedules import known_schedule
from trimgrid.timed import masks_epoch_ends
from trimgrid.updates import Updates, planned_updates
from trimgrid.weight_rewinding import Start, values_at_hand

# Saved models hold the schedule in the optimizer's config: tell Keras how to read it back.
for _schedule in SCHEDULES.values():
    keras.saving.register_keras_serializable("trimgrid")(_schedule)


@dataclass(frozen=True)
class _Pruned:
    """The pruned variables and their masks, in an object that Keras does not look into.

    Lists of variables in an attribute of an optimizer are tracked, and these already are.
    """

    indices: tuple[int, ...]
    variables: tuple[Any, ...]
    masks: tuple[Any, ...]

    @property
    def paths(self) -> list[str]:
        """The paths of the variables."""
        return [str(variable.path) for variable in self.variables]


@keras.saving.register_keras_serializable("trimgrid")
class MagnitudePruning(keras.optimizers.Optimizer):  # type: ignore[misc]
    """An optimizer that prunes while another one trains.

    Use it in place of the optimizer: `model.compile(MagnitudePruning("adam", schedule), ...)`.
    After each update of the inner optimizer the weights are multiplied by 0/1 masks, one for each
    pruned variable, inside the compiled step. Where the schedule says so the masks are chosen anew
    first, each from its variable's own magnitudes; pruned weights hold that step's update then,
    so they can come back. Layers, names and the saved model stay as they are; the masks are
    variables of the optimizer and are saved and restored with it. Where the schedule sends weights
    back (see `trimgrid.iterative.IterativePruning`), so is what they began with: the weights that
    there were when the optimizer was built, or when `begin` was called.

    `optimizer`: a Keras optimizer or its name. `schedule`: any object with `plan(steps)`; steps are
    training batches, also under gradient accumulation. (To save a compiled model, a schedule of
    your own needs `get_config`, like any object that Keras saves.) A schedule of the TensorFlow
    Model Optimization toolkit, or its config, is taken to the step: see
    `trimgrid.tfmot_schedules.known_schedule`. `include`, `exclude`: patterns
    on variable paths, see `trimgrid.prunable.prunable_variables`. `allocation`, a name next to
    `min_kept` and `overrides` or a `trimgrid.Allocation` of all three, shares the sparsity out
    among the tensors; without any of them each tensor has the schedule's sparsity for itself.
    `structure`, a `trimgrid.Blocks`, `NofM` or `Units`, its words such as "2:4" or its config, lets
    groups of weights stay or go as one. Tensors that it does not fit are not pruned, and of whole
    units those of the last kernel stay unless `Units` names others: see `prunable_variables`.

    `steps`: the length of the whole training, against which the schedule is checked;
    `trimgrid.BeginPruning` finds it out. Without either nothing knows the length: a decay needs an
    `end_step`, a `ConstantSparsity` goes on by its frequency, and that a schedule begins or ends
    after the training is not noticed. The update of step 0 chooses masks from the weights before
    the first batch; in a plain `fit` they take hold with that batch's update, after `begin` (or
    with `BeginPruning`) before it.

    `steps_per_epoch`: counts only for schedules with ``timing="tfmot"``, and `BeginPruning` finds
    it out, too. TFMOT sets pruned weights to zero at the end of each epoch, so that they can't come
    back at an update in front of an epoch's first batch.

    Raises `InputError` for a schedule that can't reach its target in `steps`, patterns that match
    nothing, a model without prunable weights, an allocation or a structure that is unknown or can't
    reach the schedule's target, and one pruning optimizer around another. Warns (`UserWarning`) of
    a schedule in TFMOT's timing that stops short of its target in `steps`.

    Source of the method: Zhu & Gupta 2017, "To prune, or not to prune".

    >>> import numpy as np
    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile(MagnitudePruning("adam", ConstantSparsity(0.75)), loss="mse")
    >>> _ = model.fit(np.ones((6, 4)), np.zeros((6, 8)), batch_size=2, verbose=0)
    >>> int((model.get_weights()[0] == 0).sum())
    24
    """

    def __init__(
        self,
        optimizer: Any,
        schedule: Schedule,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        steps: int | None = None,
        name: str = "magnitude_pruning",
        allocation: str | Allocation | None = None,
        min_kept: int | None = None,
        overrides: Mapping[str, float] | None = None,
        steps_per_epoch: int | None = None,
        structure: Structure | str | Mapping[str, Any] | None = None,
    ) -> None:
        optimizer = keras.optimizers.get(optimizer)
        if isinstance(optimizer, MagnitudePruning):
            raise InputError(
                "A pruning optimizer can't go around another one. "
                f"Received: optimizer={optimizer.name!r}. Give the optimizer that trains."
            )
        schedule = known_schedule(schedule)
        if not isinstance(schedule, Schedule):
            raise InputError(
                f"A pruning schedule must have a plan. Received: schedule={schedule!r}. "
                "Give a ConstantSparsity or a PolynomialDecay."
            )
        if steps is not None:
            schedule.plan(steps)
            warn_of_stop(schedule, steps)
        if steps_per_epoch is not None:
            steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, minimum=1)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = optimizer
        self.schedule = schedule
        self.include = None if include is None else tuple(include)
        self.exclude = None if exclude is None else tuple(exclude)
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        if isinstance(allocation, Allocation) and (min_kept, overrides) != (None, None):
            raise InputError(
                "An Allocation holds min_kept and overrides itself. "
                f"Received: {allocation!r} with min_kept={min_kept!r}, overrides={overrides!r}. "
                "Put them into it."
            )
        if not isinstance(allocation, Allocation):
            allocation = allocation_of(allocation, min_kept, overrides)
        self.allocation = allocation
        self.structure = structure_of(structure)
        self._begun = False

    # -- state ---------------------------------------------------------------------------------

    def build(self, variables: Sequence[Any]) -> None:
        """Create the masks (all ones) and the inner optimizer's state. Changes no weight."""
        variables = list(variables)
        if self.built or not variables:  # Keras' reader of .h5 files builds with no variables
            return
        found = check_prunable(variables, self.include, self.exclude, self.structure)
        indices = tuple(i for i, each in enumerate(found) if each.reason is None)
        overrides = None if self.allocation is None else self.allocation.overrides
        overridden(overrides, [found[i].path for i in indices])
        super().build(variables)
        self._start = None
        if may_rewind(self.schedule):
            with values_at_hand():
                self.inner_optimizer.build(variables)
                self._start = Start.of(
                    variables, self.inner_optimizer, self.add_variable_from_reference
                )
        else:
            self.inner_optimizer.build(variables)
        mask_variables = tuple(
            self.add_variable(
                shape=variables[i].shape,
                initializer="ones",
                dtype="bool",
                layout=layout_like(variables[i]),
                name=f"{variables[i].path.replace('/', '_')}_mask",
            )
            for i in indices
        )
        self._pruned = _Pruned(indices, tuple(variables[i] for i in indices), mask_variables)

    @property
    def variables(self) -> list[Any]:
        """The masks and counters, followed by the inner optimizer's variables."""
        return [*super().variables, *self.inner_optimizer.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables, the inner optimizer's included, in the order of `variables`."""
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Save the counters and masks; Keras saves the inner optimizer by itself."""
        for i, variable in enumerate(super().variables):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` saved."""
        own = super().variables
        if len(store.keys()) != len(own):
            raise ValueError(
                f"A saved {type(self).__name__} must have the masks of this one. Received: "
                f"{len(store.keys())} variables for {len(own)}."
            )
        for i, variable in enumerate(own):
            variable.assign(store[str(i)])

    # -- the step ------------------------------------------------------------------------------

    def begin(self, steps: int | None = None) -> None:
        """Settle the schedule for a training of `steps` batches and do the update of step 0 now.

        Call it on a built optimizer before the first batch; `BeginPruning` does.
        Raises `InputError` if the schedule can't reach its target in `steps`.
        """
        if not self.built:
            raise InputError(
                "A pruning optimizer must be built before it begins. "
                "Call build(model.trainable_variables) first."
            )
        self.settle(steps)
        if self._start is not None:
            self._start.take()
        sparsity = self._updates().at(int(ops.convert_to_numpy(self.iterations)))
        if sparsity is not None:
            self._choose_masks(sparsity)
        self._begun = True

    def settle(self, steps: int | None) -> None:
        """Plan the schedule for a training of `steps` batches in all, counted from step 0.

        Raises `InputError` if the schedule can't reach its target in them.
        """
        if steps is not None:
            self.schedule.plan(steps)
            self.steps = steps
        self._choice()

    def finish(self) -> None:
        """Choose masks of the schedule's last sparsity now, and apply them.

        For a training that ends with fewer steps than were planned, because an outer
        `LossScaleOptimizer` skipped batches whose gradients overflowed.
        """
        self._choose_masks(float(self._updates().sparsities[-1]))

    def _choose_masks(self, sparsity: float) -> None:
        weights = [ops.convert_to_numpy(variable) for variable in self._pruned.variables]
        # By the NumPy oracle: outside a compiled step it is the faster of the two.
        chosen = self._choice().masks(weights, sparsity)
        for mask, each in zip(self._pruned.masks, chosen, strict=True):
            mask.assign(each)
        self._apply_masks()

    def _apply_masks(self) -> None:
        for variable, mask in zip(self._pruned.variables, self._pruned.masks, strict=True):
            variable.assign(_masked(ops.convert_to_tensor(variable), mask))

    def _updates(self) -> Updates:
        return planned_updates(self.schedule, self.steps)

    def _choice(self) -> MaskChoice:
        pruned = self._pruned
        shapes = [tuple(variable.shape) for variable in pruned.variables]
        targets = self._updates().sparsities
        return MaskChoice(self.allocation, pruned.paths, shapes, targets, self.structure)

    def _prune(
        self, step: Any, before: Sequence[Any], after: Sequence[Any], current: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Return (weights, masks) once the batch that follows `step` has been trained.

        `before` and `after`: the pruned variables' values around the inner optimizer's update.
        """
        updates = self._updates()
        wanted = ops.cast(step, "int32") + 1
        if self._needs_start(updates):
            # No batch came before step 0, so its update is done together with the first batch's.
            wanted = ops.where(ops.equal(wanted, 1), 0, wanted)
            after_first = ops.greater(wanted, 0)
            ranked = [ops.where(after_first, a, b) for a, b in zip(after, before, strict=True)]
        else:
            ranked = list(after)
        due, sparsity = updates.due(wanted)
        if masks_epoch_ends(self.schedule) and self.steps_per_epoch is not None:
            ended = ops.equal(ops.mod(wanted, self.steps_per_epoch), 0)
            ranked = [
                ops.where(ended, _masked(each, mask), each)
                for each, mask in zip(ranked, current, strict=True)
            ]
        choice = self._choice()
        updated = ops.cond(
            due,
            lambda: choice.masks_in_step(whole(ranked), sparsity),
            lambda: [ops.convert_to_tensor(mask) for mask in current],
        )
        return [_masked(a, mask) for a, mask in zip(after, updated, strict=True)], list(updated)

    def _needs_start(self, updates: Updates) -> bool:
        """Whether step 0's update is still to be done, and not overtaken by one at step 1."""
        return not self._begun and updates.at(0) is not None and updates.at(1) is None

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables with the inner optimizer, then prune. Called in each step."""
        if not self.built:
            if trainable_variables is None:
                raise ValueError("An optimizer that is not built needs `trainable_variables`.")
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        pruned = self._pruned
        # Copies: TensorFlow's variables would be read only after the update.
        start = self._needs_start(self._updates())
        before = [ops.copy(variable) for variable in pruned.variables] if start else []
        self.inner_optimizer.apply(grads, trainable_variables)
        after = [ops.convert_to_tensor(variable) for variable in pruned.variables]
        weights, new_masks = self._prune(self.iterations, before, after, pruned.masks)
        for variable, weight in zip(
            (*pruned.variables, *pruned.masks), (*weights, *new_masks), strict=True
        ):
            variable.assign(weight)
        if self._start is not None:
            self._go_back(self._start)
        self.iterations.assign_add(1)

    def _go_back(self, start: Start) -> None:
        """Put back the weights and the inner optimizer where the schedule rewinds them."""
        inner = self.inner_optimizer.variables
        weights, state = start.back(
            self._updates().rewinds_at(ops.cast(self.iterations, "int32") + 1),
            [ops.convert_to_tensor(each) for each in start.variables],
            dict(zip(self._pruned.indices, self._pruned.masks, strict=True)),
            [ops.convert_to_tensor(each) for each in inner],
            ops.convert_to_tensor,
        )
        for variable, value in zip((*start.variables, *inner), (*weights, *state), strict=True):
            variable.assign(value)

    def stateless_apply(
        self,
        optimizers: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The same as `apply` on values instead of variables; returns the new values."""
        state = [ops.convert_to_tensor(value) for value in optimizers]
        before = [ops.convert_to_tensor(value) for value in trainable_variables]
        pruned, own = self._pruned, len(super().variables)
        after, inner = self.inner_optimizer.stateless_apply(state[own:], grads, before)
        after = list(after)
        weights, new_masks = self._prune(
            state[0],
            [before[i] for i in pruned.indices],
            [after[i] for i in pruned.indices],
            state[own - len(pruned.masks) : own],
        )
        for i, weight in zip(pruned.indices, weights, strict=True):
            after[i] = weight
        if self._start is not None:
            values = {id(each): value for each, value in zip(self.variables, state, strict=True)}
            after, inner = self._start.back(
                self._updates().rewinds_at(ops.cast(state[0], "int32") + 1),
                after,
                dict(zip(pruned.indices, new_masks, strict=True)),
                inner,
                lambda variable: values[id(variable)],
            )
        rest = state[1 : own - len(pruned.masks)]
        return after, [state[0] + 1, *rest, *new_masks, *inner]

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let the inner optimizer finish, and prune the moving averages that it may put in."""
        inner = self.inner_optimizer
        inner.finalize_variable_values(var_list)
        if getattr(inner, "inner_optimizer", inner).use_ema:
            self._apply_masks()

    # -- what belongs to the inner optimizer ---------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def loss_scale_factor(self) -> float | None:
        """The inner optimizer's loss scale; that of a LossScaleOptimizer is its initial one."""
        inner = self.inner_optimizer
        factor = getattr(inner, "initial_scale", inner.loss_scale_factor)
        return None if factor is None else float(factor)

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        if not hasattr(self, "inner_optimizer"):
            return  # the base class sets its default before there is an inner optimizer
        if isinstance(self.inner_optimizer, keras.optimizers.LossScaleOptimizer):
            raise InputError(
                "The loss must be scaled once. Received: a LossScaleOptimizer around "
                "MagnitudePruning around another one. Give MagnitudePruning the plain optimizer, "
                "or compile with auto_scale_loss=False."
            )
        self.inner_optimizer.loss_scale_factor = factor

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Exclude variables from the inner optimizer's weight decay."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def scale_loss(self, loss: Any) -> Any:
        """Scale the loss as the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, serialized the way Keras does."""
        return {
            "optimizer": keras.optimizers.serialize(self.inner_optimizer),
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "include": self.include,
            "exclude": self.exclude,
            "steps": self.steps,
            "name": self.name,
            "allocation": self.allocation and self.allocation.kind,
            "min_kept": self.allocation and self.allocation.min_kept,
            "overrides": self.allocation and self.allocation.overrides,
            "steps_per_epoch": self.steps_per_epoch,
            "structure": self.structure and structure_config(self.structure),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the optimizer that `get_config` described."""
        read = keras.saving.deserialize_keras_object
        parts = {key: read(config[key], custom_objects) for key in ("optimizer", "schedule")}
        steps = config.get("steps")
        found = cls(**{**config, **parts, "steps": None})
        found.steps = steps  # what there is to say of it was said when it was new
        return found


def _masked(weights: Any, mask: Any) -> Any:
    # Not a product: a pruned weight becomes 0 even if it was NaN, and never -0.
    return ops.where(ops.convert_to_tensor(mask), weights, ops.zeros_like(weights))
