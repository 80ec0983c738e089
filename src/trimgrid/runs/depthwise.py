"""Depthwise convolutions that structures would take for others, because no name tells them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from trimgrid.allocation.overrides import matches
from trimgrid.errors import InputError
from trimgrid.structures.kinds import Blocks, Structure
from trimgrid.training import Task

_KINDS = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def check_depthwise(task: Task, model: Any, pruned: list[str]) -> None:
    """Check that a structure takes no depthwise kernel for that of a convolution.

    What is pruned is decided from names and shapes, which tell a depthwise kernel with a multiplier
    only where "depthwise" is in its path. Its last axis counts no units, and each of its channels
    is an output by itself, so that neither units nor n:m mean anything there. Blocks of weights do.

    `pruned`: the paths of the variables that the task prunes. Layers are those that a model or a
    wrapper shows as its `layers` or `layer`.

    Raises `InputError` for such a kernel, unless its sparsity is 0.
    """
    structure: Structure | None = task.structure
    if structure is None or isinstance(structure, Blocks):
        return
    overrides = (task.allocation and task.allocation.overrides) or {}
    for layer in _layers(model):
        path = str(layer.kernel.path) if isinstance(layer, _KINDS) else ""
        spared = any(matches(path, each) for each, sparsity in overrides.items() if sparsity == 0)
        if path in pruned and not spared:
            raise InputError(
                f"A depthwise convolution has no {structure}. Received: {path} of shape "
                f"{tuple(layer.kernel.shape)}, which its name does not tell. "
                f'Give overrides={{"{path}": 0.0}}, or the layer a name with "depthwise" in it.'
            )


def _layers(layer: Any) -> Iterator[Any]:
    inner = getattr(layer, "layer", None)
    for each in [*getattr(layer, "layers", ()), *([] if inner is None else [inner])]:
        yield each
        yield from _layers(each)
