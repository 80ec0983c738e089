"""How a model is trained: the same settings for the original and for every attempt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trimgrid.allocation.setting import Allocation
from trimgrid.arguments import check_integer
from trimgrid.distillation import Distillation, check_distillation
from trimgrid.errors import InputError, first_line
from trimgrid.objectives import (
    check_loss,
    check_loss_weights,
    check_metrics,
    check_optimizer,
    fresh_metrics,
    made_optimizer,
)
from trimgrid.optimizers import with_rate
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedules import Schedule
from trimgrid.structures.kinds import Structure


@dataclass(frozen=True)
class Training:
    """The settings of a training, shared by the original and all attempts.

    `loss`: a Keras loss or its name; of a model with several outputs a list or dict of them, which
    `loss_weights` add up (a list or dict of numbers, None: all alike). `optimizer`: a Keras
    optimizer or its name; every training gets a fresh one made from its config, the given one is
    never used itself. `epochs` and `batch_size` count; the last batch of an epoch may be smaller.
    `seed` determines the order of the data and the random layers. `metrics`: Keras metrics for the
    history, of which every training gets fresh ones, or their names; for several outputs in
    whatever structure `compile` takes. `class_weight`: the weight of each class's examples in the
    loss, 1 where not named. `distillation`: how a copy of a model learns from that model too; only
    attempts have it, through `AttemptConfig`.

    Raises `InputError` for epochs or a batch size below 1, a negative seed, unknown names, weights
    of losses that are no numbers, metrics and optimizers that can't be made, a learning rate of 0
    or below, an optimizer that prunes, and what is no `Distillation`.

    >>> Training(loss="mse", epochs=100, batch_size=80).steps(480)
    600
    """

    loss: Any
    optimizer: Any = "adam"
    epochs: int = 1
    batch_size: int = 32
    seed: int = 0
    metrics: Sequence[Any] | Mapping[str, Any] = ()
    class_weight: Mapping[int, float] | None = None
    loss_weights: Sequence[float] | Mapping[str, float] | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        check_loss(self.loss)
        check_loss_weights(self.loss_weights)
        check_optimizer(self.optimizer)
        check_metrics(self.metrics)
        if self.class_weight is not None and not isinstance(self.class_weight, Mapping):
            raise InputError(
                "Class weights must be a dict from class numbers to weights. "
                f"Received: class_weight={self.class_weight!r}. Give for example {{1: 5.0}}."
            )
        if isinstance(self.optimizer, MagnitudePruning):
            raise InputError(
                "The optimizer of a training only trains: what is pruned, the attempts say. "
                f"Received: optimizer={self.optimizer.name!r}. Give the optimizer inside it."
            )
        check_distillation(self.distillation)
        for name, minimum in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), minimum))

    def steps(self, examples: int) -> int:
        """Return the number of batches that training on so many examples takes in all."""
        return math.ceil(examples / self.batch_size) * self.epochs

    def fresh_optimizer(self) -> Any:
        """Return a new optimizer without any state."""
        return fresh_optimizer(self.optimizer)

    def with_learning_rate(self, learning_rate: float) -> Training:
        """Return the same settings with an optimizer that has another learning rate.

        It takes the place of a schedule of rates, too.

        Raises `InputError` for an optimizer with a schedule that does not take a number.

        >>> Training("mse").with_learning_rate(0.5).optimizer.get_config()["learning_rate"]
        0.5
        """
        optimizer = self.fresh_optimizer()
        try:
            optimizer.learning_rate = learning_rate
        except TypeError:  # it has a schedule, which does not give way
            optimizer = self._without_schedule(optimizer, learning_rate)
        return replace(self, optimizer=optimizer)

    def _without_schedule(self, optimizer: Any, learning_rate: float) -> Any:
        try:
            return with_rate(optimizer, learning_rate)
        except Exception as error:  # whatever a custom class raises
            raise InputError(
                "A learning rate needs an optimizer that takes a number for it. Received: "
                f"learning_rate={learning_rate} for {type(optimizer).__name__}, which fails with "
                f"{type(error).__name__}: {first_line(error)} Give the attempt an optimizer."
            ) from error


@dataclass(frozen=True)
class Task:
    """One training that an engine is asked for: of the original, or of an attempt with one seed.

    `schedule`: when and how much is pruned; None trains without pruning. `id`: names the training
    among checkpoints, whose trainings have ids of their own. `rates`: the learning rate of each
    batch, shape [steps], in place of the number that the training's optimizer has; None leaves the
    optimizer its own. `allocation`: how the sparsity is shared out among the tensors; None gives it
    to each for itself. `structure`: that of the masks.

    Raises `InputError` for rates without a schedule.

    >>> Task("original", None, Training("mse")).training.epochs
    1
    """

    name: str
    schedule: Schedule | None
    training: Training
    id: str = ""
    rates: NDArray[np.float32] | None = field(default=None, compare=False)
    allocation: Allocation | None = None
    structure: Structure | None = None

    def __post_init__(self) -> None:
        if self.rates is not None and self.schedule is None:
            raise InputError(
                "Learning rates are planned for trainings that prune. Received: "
                f"{self.name!r} with rates and schedule=None. Give a schedule, or the optimizer "
                "its rate."
            )


def fresh_optimizer(optimizer: Any) -> Any:
    """Return a new Keras optimizer from a name, a config or another optimizer's config.

    >>> adam = keras.optimizers.Adam(0.01)
    >>> fresh_optimizer(adam) is adam
    False
    """
    optimizer = made_optimizer(optimizer)
    return optimizer.__class__.from_config(optimizer.get_config())


def scaled_for(model: Any, optimizer: Any) -> Any:
    """Return the optimizer, inside a scaling of the loss if the model computes in float16.

    >>> type(scaled_for(keras.Sequential([keras.layers.Dense(1)]), keras.optimizers.SGD())).__name__
    'SGD'
    """
    half = model.dtype_policy.name == "mixed_float16"
    if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def compile_model(model: Any, optimizer: Any, training: Training) -> None:
    """Compile a model for a training with an optimizer, which is taken as it is.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> compile_model(model, keras.optimizers.SGD(), Training("mse"))
    >>> model.loss
    'mse'
    """
    model.compile(
        optimizer=optimizer,
        loss=training.loss,
        loss_weights=training.loss_weights,
        metrics=fresh_metrics(training.metrics),
        auto_scale_loss=False,
    )
