"""Which rule holds for a layer. What is not in the table may read all channels together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from keras import layers

from trimgrid.shrinking import (
    rules_merging,
    rules_mixing,
    rules_operations,
    rules_passing,
)
from trimgrid.shrinking.behaviors import Behavior, Blocking
from trimgrid.shrinking.graph import Call, Graph, Shape

Rule: TypeAlias = Callable[[Call, Sequence[Shape]], Behavior]

_RULES: dict[Any, Rule] = {
    **dict.fromkeys((layers.Dense, layers.TimeDistributed), rules_mixing.dense),
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), rules_mixing.convolution),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
        rules_mixing.transposed_convolution,
    ),
    **dict.fromkeys(
        (layers.SeparableConv1D, layers.SeparableConv2D), rules_mixing.separable_convolution
    ),
    layers.Embedding: rules_mixing.embedding,
    **dict.fromkeys(
        (layers.LSTM, layers.GRU, layers.SimpleRNN, layers.Bidirectional), rules_mixing.recurrent
    ),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), rules_passing.depthwise),
    **dict.fromkeys(
        (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU), rules_passing.elementwise
    ),
    layers.PReLU: rules_passing.prelu,
    layers.BatchNormalization: rules_passing.batch_normalization,
    **dict.fromkeys(
        (
            layers.Identity,
            layers.ActivityRegularization,
            layers.Dropout,
            layers.SpatialDropout1D,
            layers.SpatialDropout2D,
            layers.SpatialDropout3D,
            layers.AlphaDropout,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.MaxPooling1D,
            layers.MaxPooling2D,
            layers.MaxPooling3D,
            layers.AveragePooling1D,
            layers.AveragePooling2D,
            layers.AveragePooling3D,
            layers.GlobalMaxPooling1D,
            layers.GlobalMaxPooling2D,
            layers.GlobalMaxPooling3D,
            layers.GlobalAveragePooling1D,
            layers.GlobalAveragePooling2D,
            layers.GlobalAveragePooling3D,
            layers.Cropping1D,
            layers.Cropping2D,
            layers.Cropping3D,
            layers.UpSampling1D,
            layers.UpSampling3D,
            layers.RepeatVector,
        ),
        rules_passing.unchanged,
    ),
    **dict.fromkeys(
        (
            layers.ZeroPadding1D,
            layers.ZeroPadding2D,
            layers.ZeroPadding3D,
            layers.UpSampling2D,
        ),
        rules_passing.zeros_stay,
    ),
    layers.Permute: rules_passing.permute,
    layers.Flatten: rules_passing.flatten,
    layers.Reshape: rules_passing.reshape,
    **dict.fromkeys(
        (
            layers.Add,
            layers.Subtract,
            layers.Multiply,
            layers.Average,
            layers.Maximum,
            layers.Minimum,
        ),
        rules_merging.merge,
    ),
    layers.Concatenate: rules_merging.concatenate,
}


def behaviors(graph: Graph) -> list[Behavior]:
    """Return for each call of a graph what it does to channels."""
    return [_behavior(call, [graph.shapes[each] for each in call.inputs]) for call in graph.calls]


def _behavior(call: Call, shapes: Sequence[Shape]) -> Behavior:
    if not shapes:
        return Blocking(f"{call.path!r} is an input of the model")
    kind = type(call.layer)
    rule = _RULES.get(kind)
    if rule is None and rules_operations.is_followed(call.layer):
        rule = rules_operations.operation
    if rule is None:
        return Blocking(f"{kind.__name__} {call.path!r} may read all channels together")
    if not call.plain:  # Keras tells a mask that comes along by itself as an argument, too
        return Blocking(f"{call.path!r} is called with more than tensors")
    if any(len(each) < 2 for each in shapes):
        return Blocking(f"{call.path!r} has an input without an axis of channels")
    return rule(call, shapes)
