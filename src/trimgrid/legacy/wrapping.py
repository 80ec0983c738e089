"""TFMOT's wrappers around the layers of a model: which of them it can prune, and their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tf_keras

from trimgrid.legacy.copying import made_apart
from trimgrid.legacy.telling import wrappers
from trimgrid.legacy.toolkit import tfmot


def wrapped(model: Any, schedule: Any) -> Any:
    """Return a model with TFMOT's wrappers around each layer that it can prune.

    The layers inside are those of `model`, so training the one trains the other: what is a trap
    with the user's own model saves a way back with a copy. Layers that TFMOT does not know, and
    those without anything to prune, stay as they are, where `prune_low_magnitude(model)` would
    refuse the whole model.
    """

    def wrap(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            try:
                return tf_keras.models.clone_model(layer, clone_function=wrap)
            except ValueError:  # a subclassed one: nobody knows its layers' order
                return layer
        try:
            # The wrapper casts the inputs, so that it must have the layer's types.
            found = tfmot.sparsity.keras.prune_low_magnitude(
                layer, pruning_schedule=schedule, dtype=layer.dtype_policy
            )
        except ValueError:
            return layer
        return found if layer.get_prunable_weights() else layer

    made = tf_keras.models.clone_model(model, clone_function=wrap)
    if not made.built:
        made.build(model.input_shape)
    return made


@dataclass(frozen=True)
class LegacyWeight:
    """A weight of a model of `tf_keras`: what a variable of Keras 3 tells, and who prunes it.

    `layer` is the class of the layer that TFMOT sees, `pruned` whether it prunes the weight.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    layer: str
    pruned: bool


def legacy_weights(model: Any) -> list[LegacyWeight]:
    """Return the weights of a model, a copy that may be changed, in the order of `get_weights`."""
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    inside = wrappers(made_apart(lambda: wrapped(model, schedule)))
    pruned = {id(weight) for each in inside for weight in each.layer.get_prunable_weights()}
    trained = {id(weight) for weight in model.trainable_weights}
    kinds = {id(weight): type(layer).__name__ for layer in _seen(model) for weight in layer.weights}
    return [
        LegacyWeight(
            path := str(weight.name).split(":")[0],
            path.rpartition("/")[2],
            tuple(weight.shape),
            str(weight.dtype.name),
            id(weight) in trained,
            kinds.get(id(weight), type(model).__name__),
            id(weight) in pruned,
        )
        for weight in model.weights
    ]


def _seen(model: Any) -> Iterator[Any]:
    """The layers as TFMOT sees them: those of models inside, but no layers inside of layers."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.Sequential | tf_keras.Model) and layer.layers:
            yield from _seen(layer)
        else:
            yield layer
