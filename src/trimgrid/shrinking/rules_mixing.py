"""Layers whose units are weighted sums of channels: Dense, convolutions, embeddings, recurrent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from trimgrid.shrinking.activations import activated, is_elementwise, told_activation
from trimgrid.shrinking.behaviors import (
    Axes,
    Behavior,
    Blocking,
    Floats,
    Giving,
    Known,
    Mask,
    Mixing,
    Reading,
)
from trimgrid.shrinking.graph import Call, Shape


def dense(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Dense, and of TimeDistributed around one."""
    layer = call.layer
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
        if type(layer) is not keras.layers.Dense:
            return Blocking(f"{call.path!r} wraps a {type(layer).__name__}, which is not followed")
    weights = _weights(layer, ["kernel"])
    if weights is None:
        return _unusual(call)
    kernel = weights[0]
    return _mixing(call, layer, kernel != 0, kernel, True, [{0: "in", 1: "out"}], "units")


def convolution(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Conv1D, Conv2D and Conv3D: a constant adds its times the window's sum."""
    layer = call.layer
    weights = _weights(layer, ["kernel"])
    if weights is None:
        return _unusual(call)
    if layer.groups == 1:
        return _windowed(call, weights[0], [{-2: "in", -1: "out"}])
    found = _windowed(call, _ungrouped(weights[0], layer.groups), [{}])
    if not isinstance(found, Mixing):
        return found
    # All groups have to stay as large as each other. Its constants go on all the same.
    why = f"{call.path!r} has groups, which stay as they are"
    return replace(found, axes=[{}] * len(layer.weights), units_stay=why, rows_stay=why)


def separable_convolution(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of SeparableConv1D and 2D with one depthwise filter a channel."""
    layer = call.layer
    weights = _weights(layer, ["depthwise_kernel", "pointwise_kernel"])
    if weights is None:
        return _unusual(call)
    if layer.depth_multiplier != 1:
        return Blocking(f"{call.path!r} has a depth multiplier, which is not followed")
    depthwise, pointwise = weights
    # Structurally: where two weights of any size cancel out, the channel is read all the same.
    kernel = depthwise * pointwise.reshape(pointwise.shape[-2:])
    return _windowed(call, kernel, [{-2: "in"}, {-2: "in", -1: "out"}])


def transposed_convolution(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of the transposed convolutions, where places differ in how many taps they get."""
    weights = _weights(call.layer, ["kernel"])
    if weights is None:
        return _unusual(call)
    if call.layer.data_format != "channels_last":
        return _channels_first(call)
    kernel = np.swapaxes(weights[0], -1, -2)
    axes: list[Axes] = [{-2: "out", -1: "in"}]
    return _mixing(call, call.layer, _any(kernel), _sum(kernel), False, axes, "filters")


def embedding(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Embedding: its input stays, columns that nobody reads may leave."""
    weights = _weights(call.layer, ["embeddings"])
    if weights is None:
        return _unusual(call)
    table = weights[0]
    known = Known.checked((table == table[:1]).all(axis=0), table[0].astype("float64"))
    return Giving(known, [{1: "out"}], "output_dim", _shared(call))


def recurrent(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of LSTM, GRU, SimpleRNN and Bidirectional around one: only their rows may leave."""
    kinds = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
    inner = [call.layer]
    if isinstance(call.layer, keras.layers.Bidirectional):
        inner = [call.layer.forward_layer, call.layer.backward_layer]
    names = {each.name for each in call.layer.weights}
    if any(type(each) not in kinds for each in inner) or len(shapes) != 1:
        return Blocking(f"{call.path!r} is not followed: it has a cell or an input of another kind")
    if not names <= {"kernel", "recurrent_kernel", "bias"}:
        return _unusual(call)
    kernels = [each for each in call.layer.weights if each.name == "kernel"]
    reads = np.concatenate([keras.ops.convert_to_numpy(each) != 0 for each in kernels], axis=1)
    axes: list[Axes] = [{0: "in"} if each.name == "kernel" else {} for each in call.layer.weights]
    stay = f"the units of {call.path!r} are tied by its state"
    return Reading(reads, axes, stay, rows_stay=_shared(call))


def _weights(layer: Any, names: list[str]) -> list[Floats] | None:
    """The arrays of a layer's weights beside its bias; None where it has others than it should."""
    found = [each.name for each in layer.weights]
    if found not in (names, [*names, "bias"]):
        return None  # quantized, or trained by low-rank adapters
    return [np.asarray(each) for each in layer.get_weights()[: len(names)]]


def _windowed(call: Call, kernel: Floats, axes: list[Axes]) -> Behavior:
    layer = call.layer
    if layer.data_format != "channels_last":
        return _channels_first(call)
    # Padding puts zeros beside a constant, unless a window is one place wide.
    folds = layer.padding == "valid" or math.prod(layer.kernel_size) == 1
    return _mixing(call, layer, _any(kernel), _sum(kernel), folds, axes, "filters")


def _mixing(
    call: Call,
    layer: Any,
    reads: Mask,
    gains: Floats,
    folds: bool,
    axes: list[Axes],
    size: str,
) -> Behavior:
    units = gains.shape[1]
    bias = np.zeros(units)
    if layer.use_bias:
        bias = np.asarray(layer.get_weights()[-1]).astype("float64")
        axes = [*axes, {0: "out"}]
    mixing = Mixing(reads, gains, folds, activated(layer, bias), axes, size)
    if (shared := _shared(call)) is not None:
        return replace(mixing, units_stay=shared, rows_stay=shared)
    if not is_elementwise(layer.activation):
        name = told_activation(layer.activation)
        return replace(mixing, units_stay=f"the activation {name} of {call.path!r} reads all units")
    return mixing


def _ungrouped(kernel: Floats, groups: int) -> Floats:
    """The kernel of the same convolution without groups: zeros for the channels of the others."""
    channels, filters = kernel.shape[-2], kernel.shape[-1] // groups
    whole = np.zeros((*kernel.shape[:-2], channels * groups, filters * groups), kernel.dtype)
    for group in range(groups):
        units = slice(group * filters, (group + 1) * filters)
        rows = slice(group * channels, (group + 1) * channels)
        whole[..., rows, units] = kernel[..., units]
    return whole


def _any(kernel: Floats) -> Mask:
    return np.asarray((kernel != 0).any(axis=tuple(range(kernel.ndim - 2))))


def _sum(kernel: Floats) -> Floats:
    return np.asarray(kernel.astype("float64").sum(axis=tuple(range(kernel.ndim - 2))))


def _shared(call: Call) -> str | None:
    return f"{call.path!r} is called more than once" if call.calls > 1 else None


def _channels_first(call: Call) -> Blocking:
    return Blocking(f"{call.path!r} has its channels first, which is not followed")


def _unusual(call: Call) -> Blocking:
    return Blocking(f"{call.path!r} has weights of another kind than usual, as if quantized")
