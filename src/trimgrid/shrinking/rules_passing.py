"""Layers that keep channels apart: activations, normalization, pooling, places moved about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimgrid.shrinking.activations import (
    applied,
    float_type,
    is_elementwise,
    told_activation,
)
from trimgrid.shrinking.behaviors import Axes, Behavior, Blocking, Floats, Known, Passing, Places
from trimgrid.shrinking.graph import Call, Shape


def unchanged(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of layers that give constants back as they are: Dropout, pooling, upsampling."""
    if getattr(call.layer, "data_format", None) == "channels_first":
        return Blocking(f"{call.path!r} has its channels first, which is not followed")
    return _apart(call, shapes[0], lambda known: known)


def zeros_stay(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of layers that put zeros in or interpolate: only a constant 0 comes out as one."""
    if getattr(call.layer, "data_format", None) == "channels_first":
        return Blocking(f"{call.path!r} has its channels first, which is not followed")
    if getattr(call.layer, "interpolation", None) == "nearest":
        return unchanged(call, shapes)
    return _apart(
        call, shapes[0], lambda known: Known(known.constant & (known.value == 0), 0 * known.value)
    )


def elementwise(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of activations without weights: a constant becomes the activation's value."""
    activation = getattr(call.layer, "activation", None)
    if not is_elementwise(activation):
        return Blocking(f"{told_activation(activation)} of {call.path!r} mixes the channels")
    return elementwise_call(call, shapes, call.layer)


def elementwise_call(
    call: Call, shapes: Sequence[Shape], function: Callable[[Any], Any]
) -> Behavior:
    """Return what a call does that makes of each number alone what `function` makes of it."""
    return _apart(call, shapes[0], _by_calling(function, len(shapes[0])))


def prelu(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of PReLU, whose slopes may differ from place to place."""
    if call.calls > 1:
        return Blocking(f"{call.path!r} is called more than once")
    slopes = np.asarray(call.layer.get_weights()[0])
    same = bool((slopes == slopes.reshape(-1, slopes.shape[-1])[0]).all())
    values = slopes.reshape(-1, slopes.shape[-1])[0].astype("float64")

    def forward(known: Known) -> Known:
        constant = known.constant & (same | (known.value >= 0))
        value = np.where(known.value < 0, known.value * values, known.value)
        return Known.checked(constant, value)

    return _apart(call, shapes[0], forward, [{-1: "out"}])


def batch_normalization(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of BatchNormalization at inference; where gamma is 0 a channel becomes beta."""
    layer, rank = call.layer, len(shapes[0])
    axis = layer.axis if isinstance(layer.axis, int) else -2
    if axis not in (-1, rank - 1):
        return Blocking(f"{call.path!r} normalizes another axis than the last")
    if call.calls > 1:
        return Blocking(f"{call.path!r} is called more than once")
    channels = shapes[0][-1]
    dead = np.asarray(layer.get_weights()[0]) == 0 if layer.scale else np.zeros(channels or 0, bool)
    compute = _by_calling(lambda values: layer(values, training=False), rank, float_type(layer))

    def forward(known: Known) -> Known:
        return compute(Known(known.constant | dead, known.value))

    return _apart(call, shapes[0], forward, [{0: "out"}] * len(layer.weights))


def depthwise(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of DepthwiseConv1D and 2D with one filter a channel."""
    layer = call.layer
    if layer.data_format != "channels_last" or layer.depth_multiplier != 1 or call.calls > 1:
        return Blocking(
            f"{call.path!r} has its channels first, a depth multiplier or more than one call, "
            "which are not followed"
        )
    kernel, *biases = (np.asarray(each).astype("float64") for each in layer.get_weights())
    kernel = kernel[..., 0]
    spatial = tuple(range(kernel.ndim - 1))
    dead, gains = (kernel == 0).all(axis=spatial), kernel.sum(axis=spatial)
    bias = biases[0] if biases else np.zeros(dead.size)
    whole = layer.padding == "valid" or kernel[..., 0].size == 1
    known_activation = is_elementwise(layer.activation)
    if not known_activation:
        return Blocking(f"{told_activation(layer.activation)} of {call.path!r} mixes the channels")

    def forward(known: Known) -> Known:
        constant = dead | (known.constant & (whole | (known.value == 0)))
        value = np.where(dead, 0.0, known.value * gains) + bias
        if layer.activation is not None:
            value = applied(layer.activation, value, dtype=float_type(layer))
        return Known.checked(constant, value)

    axes: list[Axes] = [{-2: "in"}, {0: "out"}]
    return _apart(call, shapes[0], forward, axes[: len(layer.weights)])


def permute(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Permute where the last axis stays the last."""
    if call.layer.dims[-1] != len(call.layer.dims):
        return Blocking(f"{call.path!r} moves the last axis")
    return unchanged(call, shapes)


def flatten(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Flatten: channel c goes to the places c, c + channels, c + 2 * channels, ..."""
    if call.layer.data_format != "channels_last":
        return Blocking(f"{call.path!r} has its channels first, which is not followed")
    return _reshaped(call, shapes[0], None)


def reshape(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Reshape where the channels stay the last axis, or one of the shapes is flat."""
    if call.calls > 1:
        return Blocking(f"{call.path!r} is called more than once")
    return _reshaped(call, shapes[0], "target_shape")


def _reshaped(call: Call, shape: Shape, size: str | None) -> Behavior:
    result = call.layer.compute_output_shape(shape)
    channels, after = shape[-1], result[-1]
    if channels is None or after is None:
        return Blocking(f"{call.path!r} has an axis of channels of free length")
    if channels == after:
        ties, takes = np.arange(channels), np.arange(channels)
    elif len(result) == 2 and after % channels == 0:
        ties, takes = np.arange(after) % channels, np.arange(after)
    elif len(shape) == 2 and channels % after == 0:
        ties, takes = np.arange(channels), np.arange(channels) % after
    else:
        return Blocking(f"{call.path!r} cuts channels apart")

    def forward(inputs: Sequence[Known]) -> Known:
        return gathered([(inputs[0], ties, takes)], after)

    return Passing([(ties, takes)], forward, after, size=size)


def gathered(parts: Sequence[tuple[Known, Places, Places]], channels: int) -> Known:
    """Return what is known of channels that consist of others: constant if those are the same one.

    Each part is (what is known of an input, its channels, the channels that are made of them).

    >>> known = Known(np.array([True, True]), np.array([1.0, 2.0]))
    >>> gathered([(known, np.array([0, 1]), np.array([0, 0]))], 1).constant.tolist()
    [False]
    """
    lowest, highest = np.full(channels, np.inf), np.full(channels, -np.inf)
    constant = np.ones(channels, bool)
    for known, taken, places in parts:
        np.minimum.at(lowest, places, known.value[taken])
        np.maximum.at(highest, places, known.value[taken])
        np.logical_and.at(constant, places, known.constant[taken])
    return Known.checked(constant & (lowest == highest), lowest)


def _apart(
    call: Call, shape: Shape, forward: Callable[[Known], Known], axes: Sequence[Axes] = ()
) -> Behavior:
    channels = shape[-1]
    if channels is None:
        return Blocking(f"{call.path!r} has an axis of channels of free length")
    same = np.arange(channels)
    return Passing([(same, same)], lambda inputs: forward(inputs[0]), channels, axes)


def _by_calling(
    function: Callable[[Any], Any], rank: int, dtype: str = "float32"
) -> Callable[[Known], Known]:
    """What a layer makes of constants, found by calling it on one place that has them."""

    def forward(known: Known) -> Known:
        if not known.constant.any():
            return known
        value: Floats = applied(function, known.value.reshape([1] * (rank - 1) + [-1]), dtype=dtype)
        return Known.checked(known.constant, value.reshape(-1))

    return forward
