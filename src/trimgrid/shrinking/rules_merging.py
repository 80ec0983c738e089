"""Layers of several inputs: sums and their like, and concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from trimgrid.shrinking.activations import applied
from trimgrid.shrinking.behaviors import Behavior, Blocking, Known, Passing, Places
from trimgrid.shrinking.graph import Call, Shape
from trimgrid.shrinking.rules_passing import gathered


def merge(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Add, Subtract, Multiply, Average, Maximum, Minimum: channel by channel.

    A channel is a constant if it is one in all inputs, or if it is multiplied by a constant 0.
    """
    channels, rank = shapes[0][-1], len(shapes[0])
    if any(each[-1] != channels or len(each) != rank for each in shapes) or channels is None:
        return Blocking(f"{call.path!r} joins tensors of different shapes")
    multiplies = type(call.layer).__name__ == "Multiply"

    def merged(*tensors: Any) -> Any:
        is_layer = isinstance(call.layer, keras.Layer)
        return call.layer(list(tensors)) if is_layer else call.layer(*tensors)

    def forward(inputs: Sequence[Known]) -> Known:
        constant = np.all([each.constant for each in inputs], axis=0)
        if multiplies:
            nothing = [each.constant & (each.value == 0) for each in inputs]
            constant |= np.any(nothing, axis=0)
        if not constant.any():
            return Known.nothing(channels)
        values = [each.value.reshape([1] * (rank - 1) + [-1]) for each in inputs]
        value = applied(merged, *values)
        return Known.checked(constant, value.reshape(-1))

    same = np.arange(channels)
    return Passing([(same, same)] * len(shapes), forward, channels)


def concatenate(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of Concatenate: on the last axis side by side, on another one channel by channel."""
    rank = len(shapes[0])
    sizes = [each[-1] for each in shapes]
    if any(size is None for size in sizes):
        return Blocking(f"{call.path!r} has an axis of channels of free length")
    widths = [int(size or 0) for size in sizes]
    ties: list[tuple[Places, Places]] = []
    if call.layer.axis in (-1, rank - 1):
        starts = np.cumsum([0, *widths])
        ties = [
            (np.arange(width), start + np.arange(width))
            for width, start in zip(widths, starts, strict=False)
        ]
        channels = int(starts[-1])
    else:
        channels = widths[0]
        ties = [(np.arange(channels), np.arange(channels))] * len(shapes)

    def forward(inputs: Sequence[Known]) -> Known:
        return gathered([(known, *tie) for known, tie in zip(inputs, ties, strict=True)], channels)

    return Passing(ties, forward, channels)
