"""How variables lie on several devices, where Keras spreads a model over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def layout_like(variable: Any) -> Any:
    """Return the layout for a variable that must lie like another one, None on a single device.

    The path of a mask is not that of its weight, so that a layout map would not find it.

    >>> layout_like(keras.Variable([1.0])) is None
    True
    """
    distribution = keras.distribution.distribution()
    return None if distribution is None else distribution.get_variable_layout(variable)


def whole(tensors: Sequence[Any]) -> list[Any]:
    """Return tensors as each device has them in full; on a single device they are as they were.

    What is chosen from them is chosen on every device by the same operations in the same order, as
    if there were only one: sums of parts would be rounded otherwise.

    >>> tensor = keras.ops.ones((2, 3))
    >>> whole([tensor])[0] is tensor
    True
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return list(tensors)
    mesh = distribution.device_mesh
    return [
        keras.distribution.distribute_tensor(
            each, keras.distribution.TensorLayout([None] * len(each.shape), mesh)
        )
        for each in tensors
    ]
