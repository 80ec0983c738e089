"""Operations of `keras.ops` that act on each number alone: `ops.relu(x)`, `x * 2`, `x + y`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from trimgrid.shrinking.behaviors import Behavior
from trimgrid.shrinking.graph import Call, Shape
from trimgrid.shrinking.rules_merging import merge
from trimgrid.shrinking.rules_passing import elementwise_call

_OF_ONE = {
    *("Absolute", "Fabs", "Negative", "Sign", "Square", "Sqrt", "Rsqrt", "Cbrt"),
    *("Reciprocal", "Exp", "Exp2", "Expm1", "Log", "Log1p", "Log2", "Log10", "Erf", "Erfc"),
    *("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Arcsin", "Arccos", "Arctan"),
    *("Arcsinh", "Arccosh", "Arctanh", "Sinc", "Clip", "Round", "Floor", "Ceil", "Trunc"),
    *("Relu", "ReLU", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "Sigmoid"),
    *("LogSigmoid", "HardSigmoid", "HardSilu", "HardTanh", "HardShrink", "SoftShrink"),
    *("TanhShrink", "Softplus", "Softsign", "SparsePlus", "SparseSigmoid", "Squareplus"),
    *("Threshold", "StopGradient"),
}
_OF_TWO = {
    *("Add", "Subtract", "Multiply", "TrueDivide", "Divide", "DivideNoNan", "Power"),
    *("Maximum", "Minimum"),
}


def is_followed(layer: Any) -> bool:
    """Tell whether something called in a model is an operation of Keras that `operation` follows.

    >>> x = keras.Input((2,))
    >>> [is_followed(each) for each in keras.Model(x, keras.ops.softmax(x * 2)).operations]
    [False, True, False]
    """
    if isinstance(layer, keras.Layer) or type(layer).__module__.split(".")[0] != "keras":
        return False
    return type(layer).__name__ in _OF_ONE | _OF_TWO


def operation(call: Call, shapes: Sequence[Shape]) -> Behavior:
    """The rule of operations: of one tensor as an activation, of two as a merging layer."""
    if len(shapes) > 1:
        return merge(call, shapes)

    def applied_to(tensor: Any) -> Any:
        arguments = [tensor]
        for place in sorted(call.numbers):
            arguments.insert(place, call.numbers[place])
        return call.layer(*arguments)

    return elementwise_call(call, shapes, applied_to)
