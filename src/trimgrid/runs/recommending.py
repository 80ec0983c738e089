"""The recommended grid for a model: Keras tells its shapes and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import keras

from trimgrid.allocation.setting import check_allocation
from trimgrid.arguments import check_integer, real
from trimgrid.compiled_settings import compiled_settings, counted_steps
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.grids.recommended import recommended_attempts
from trimgrid.prunable import check_prunable
from trimgrid.rate_rewinding import Rewound
from trimgrid.shrinking.output_kernels import with_outputs
from trimgrid.structures.kinds import Structure, structure_of
from trimgrid.training import Training


def recommended_grid(
    model: Any,
    steps: int,
    *,
    learning_rate: float | None = None,
    allocation: str = "lamp",
    structure: Structure | str | None = None,
) -> list[AttemptConfig]:
    """Return the attempts that an expert would run today to make a model smaller.

    Sparsities of 50, 80, 90, 95, 98 and 99 %, each of which leaves about half of the weights that
    the one before it leaves; shared out among the tensors by LAMP; a cubic ramp over the first half
    of the training with about 50 updates of the masks; and learning rates along a cosine with a
    warm-up, once up to the original's highest rate and once up to five times that. Sparsities that
    leave less than a weight for each unit of the model are left out. The reason for each choice,
    and what was measured: docs/methods.md.

    `model`: a Keras model; it stays as it is. `steps`: the batches on which each attempt trains,
    the number of batches of an epoch times that of epochs; `trimgrid.Study.steps` has it.
    `learning_rate`: the highest one with which the original was trained; by default that of the
    optimizer with which the model was compiled, the highest of its schedule if it has one, and
    0.001, that of Keras' Adam, for a model that is not compiled. `allocation`: another one than
    LAMP, see `trimgrid.Allocation`. `structure`: that of the masks, such as "units"; sparsities
    that it does not reach are left out.

    Raises `InputError` for a model without prunable weights, steps below 1, a learning rate that is
    no finite number above 0 or can't be read, and an unknown allocation or structure.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(10)])
    >>> grid = recommended_grid(model, steps=1000)
    >>> len(grid), grid[0].name, grid[-1].name
    (12, 'lamp 50 %, peak 0.001', 'lamp 99 %, peak 0.005')
    """
    if not isinstance(model, keras.Model):
        raise InputError(
            "A grid is recommended for a Keras model. "
            f"Received: {model!r}. Load it first, or ask a Study: it takes a file too."
        )
    check_allocation(allocation)
    steps = check_integer("steps", steps, minimum=1)
    asked = structure_of(structure)
    found = check_prunable(model.trainable_variables, structure=with_outputs(asked, model))
    shapes = [each.shape for each in found if each.reason is None]
    if learning_rate is None:
        optimizer = compiled_settings(model).optimizer
        trained = counted_steps(model) or steps
        learning_rate = highest_rate("adam" if optimizer is None else optimizer, trained)
    if not 0 < real(learning_rate) < math.inf:
        raise InputError(
            "The highest learning rate of the original must be a finite number above 0. "
            f"Received: learning_rate={learning_rate!r}. Give the one that it was trained with."
        )
    return recommended_attempts(shapes, steps, real(learning_rate), allocation, asked)


def highest_rate(optimizer: Any, steps: int) -> float:
    """Return the highest learning rate of an optimizer, or its name, in a training of its own.

    A schedule counts by the first `steps` batches, those of the original's training. What an
    optimizer was set to later, by a callback or by hand, is not known.

    Raises `InputError` for an optimizer that can't be made, or whose rates are no numbers.

    >>> highest_rate("sgd", steps=100)
    0.01
    """
    rates = Rewound(Training("mse", optimizer), steps).plan(steps)
    # Shortest text that float32 reads back as the same: 0.001, not 0.0010000000474974513.
    return float(str(rates.max()))
