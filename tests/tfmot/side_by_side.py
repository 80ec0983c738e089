"""One training in TFMOT and the same one here: models, weights, batches and schedule are one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from numpy.typing import NDArray

from trimgrid import (
    AttemptConfig,
    BeginPruning,
    ConstantSparsity,
    MagnitudePruning,
    Training,
)
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.training import Task

Arrays = list[NDArray[Any]]
Build = Callable[[Any], Any]
"""From the module, keras or tf_keras, to a model of its own; both have the same layers."""


@dataclass(frozen=True)
class Case:
    """A training: `build` is called with keras and with tf_keras, `optimizer` names one of both.

    `schedule`: the class of TFMOT's and its arguments. Batches come in the order of the data.
    """

    build: Build
    x: NDArray[Any]
    y: NDArray[Any]
    loss: str
    optimizer: tuple[str, dict[str, Any]]
    schedule: tuple[str, dict[str, Any]]
    batch_size: int
    epochs: int
    seed: int = 0

    def tfmot_schedule(self) -> Any:
        """The schedule, as TFMOT's object."""
        name, arguments = self.schedule
        return getattr(tfmot.sparsity.keras, name)(**arguments)

    def optimizer_of(self, module: Any) -> Any:
        """A fresh optimizer of keras or tf_keras."""
        name, arguments = self.optimizer
        return getattr(module.optimizers, name)(**arguments)


@dataclass(frozen=True)
class Recorded:
    """What a training did: the masks with which each batch was trained, and the last weights.

    `masks`: for each batch those of the pruned tensors. `weights`: of the whole model.
    """

    masks: list[Arrays]
    weights: Arrays


def start_of(case: Case) -> Arrays:
    """The weights with which both begin: those of the Keras 3 model, seeded."""
    keras.utils.set_random_seed(case.seed)
    weights: Arrays = case.build(keras).get_weights()
    return weights


def run_tfmot(case: Case, start: Sequence[NDArray[Any]], batches: Sequence[Any] = ()) -> Recorded:
    """Train with TFMOT: every layer that it can prune is wrapped.

    `batches`: those of all epochs, in place of the data in its order.
    """
    wrapped, callbacks = wrap(case.build(tf_keras), start, case.tfmot_schedule())
    wrapped.compile(case.optimizer_of(tf_keras), loss=case.loss)
    seen: list[Arrays] = []

    class Record(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append([mask.numpy() != 0 for mask in masks_of(wrapped)])

    data: dict[str, Any] = {"x": case.x, "y": case.y, "batch_size": case.batch_size}
    if batches:
        steps = len(batches) // case.epochs
        data = {"x": ((x, y) for x, y, *_ in batches), "steps_per_epoch": steps}
    fit = {"epochs": case.epochs, "shuffle": False, "verbose": 0}
    wrapped.fit(**data, **fit, callbacks=[*callbacks, Record()])
    return Recorded(seen, tfmot.sparsity.keras.strip_pruning(wrapped).get_weights())


def wrap(model: Any, weights: Sequence[NDArray[Any]], schedule: Any) -> tuple[Any, list[Any]]:
    """A tf_keras model with these weights, wrapped by TFMOT, and the callbacks that it needs."""
    model.set_weights(weights)
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    return wrapped, [tfmot.sparsity.keras.UpdatePruningStep()]


def masks_of(wrapped: Any) -> list[Any]:
    """The variables of TFMOT's masks, in the order of the tensors that they belong to."""
    return [variable for variable in wrapped.variables if "/mask:" in variable.name]


def run_trimgrid(case: Case, start: Sequence[NDArray[Any]]) -> Recorded:
    """Train here, with TFMOT's own schedule object, in a plain fit."""
    model = case.build(keras)
    model.set_weights(start)
    optimizer = MagnitudePruning(case.optimizer_of(keras), case.tfmot_schedule())
    model.compile(optimizer, loss=case.loss)
    seen: list[Arrays] = []

    class Record(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if not seen:  # before the first batch: what step 0 chose
                self.record()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.record()

        def record(self) -> None:
            # On JAX a fit keeps its state to itself between batches; callbacks may ask for it.
            getattr(self.model, "jax_state_sync", lambda: None)()
            state = optimizer.variables
            seen.append([np.asarray(each) for each in state if each.name.endswith("_mask")])

    model.fit(
        case.x,
        case.y,
        batch_size=case.batch_size,
        epochs=case.epochs,
        shuffle=False,
        callbacks=[BeginPruning(), Record()],
        verbose=0,
    )
    # The masks that the last batch leaves would be those of the next one, which does not come.
    return Recorded(seen[:-1], model.get_weights())


def train_in_engine(
    engine: str,
    case: Case,
    start: Sequence[NDArray[Any]],
    data: ArrayData | StreamData,
    training: Training,
) -> Arrays:
    """Train in an engine of a study, beside an attempt in our own timing; return the weights."""
    model = case.build(keras)
    model.set_weights(start)
    schedule = AttemptConfig("", case.tfmot_schedule()).pruning_schedule
    tasks = [Task("other", ConstantSparsity(0.3), training), Task("theirs", schedule, training)]
    if engine == "sequential":
        opened: Any = SequentialEngine(model, data)
    else:
        from trimgrid.engines.vectorized import VectorizedEngine

        opened = VectorizedEngine(model, data, training, attempts=len(tasks))
    weights: list[Arrays] = [trained.model.get_weights() for _, trained in opened.train(tasks)]
    return weights[1]


def compare(expected: Recorded, found: Recorded, tolerance: float = 2e-4) -> None:
    """Fail unless the masks of every batch are the same, and the weights at the end nearly so.

    `tolerance`: the greatest difference of a weight, as a share of the largest of its tensor.
    """
    assert len(expected.masks) == len(found.masks), "not as many batches"
    for step, (theirs, ours) in enumerate(zip(expected.masks, found.masks, strict=True), 1):
        assert len(theirs) == len(ours) > 0, "not as many masks"
        for place, (mask, other) in enumerate(zip(theirs, ours, strict=True)):
            differing = int((mask != other).sum())
            assert differing == 0, f"batch {step}, tensor {place}: {differing} masks differ"
    for place, (weights, others) in enumerate(zip(expected.weights, found.weights, strict=True)):
        assert weights.shape == others.shape
        limit = tolerance * max(float(np.abs(weights).max()), 1e-3)
        worst = float(np.abs(weights - others).max())
        assert worst <= limit, f"tensor {place}: weights differ by {worst:.1e} (limit {limit:.1e})"
        np.testing.assert_array_equal(weights == 0, others == 0, f"zeros of tensor {place}")


def chosen_at(recorded: Recorded) -> list[int]:
    """The batches in front of which masks changed, from 1: the first is compared with all kept."""
    before = [np.ones_like(mask) for mask in recorded.masks[0]]
    changed = []
    for step, masks in enumerate(recorded.masks, 1):
        if any((mask != old).any() for mask, old in zip(masks, before, strict=True)):
            changed.append(step)
        before = masks
    return changed
