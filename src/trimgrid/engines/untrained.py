"""Attempts that are pruned without any training, the same whatever the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from trimgrid.engines.trained import Trained
from trimgrid.models import copy_model
from trimgrid.pruning import MagnitudePruning
from trimgrid.training import Task


def pruned_only(original: Any, weights: Sequence[Any], task: Task) -> Trained:
    """Return a copy of a model with its smallest weights at 0, as the task's schedule begins.

    `weights`: those of the copy, as `get_weights` gives them. The history is empty.

    >>> from trimgrid.one_shot import OneShot
    >>> from trimgrid.training import Training
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> task = Task("cut", OneShot(0.75), Training("mse"))
    >>> found = pruned_only(model, model.get_weights(), task)
    >>> int((found.model.get_weights()[0] == 0).sum()), found.history
    (6, {})
    """
    assert task.schedule is not None
    model = copy_model(original, seed=task.training.seed)
    model.set_weights(weights)
    # One without slots: nothing is ever trained with it.
    optimizer = MagnitudePruning(
        keras.optimizers.SGD(),
        task.schedule,
        allocation=task.allocation,
        structure=task.structure,
    )
    optimizer.build(model.trainable_variables)
    optimizer.begin()
    return Trained(model, {}, None)
