"""Optimizers: what their variables are for, what is inside them, and others like them."""

from __future__ import annotations

from typing import Any

import keras


def held_in_variables(optimizer: Any) -> list[str]:
    """The settings of an optimizer that it holds in variables: rows may differ in them.

    >>> held_in_variables(keras.optimizers.SGD(0.1, momentum=0.9))
    ['learning_rate']
    """
    return [
        key
        for key in optimizer.get_config()
        if isinstance(getattr(optimizer, key, None), keras.Variable)
    ]


def unscaled(optimizer: Any) -> Any:
    """The optimizer inside a `LossScaleOptimizer`, or else the optimizer itself.

    >>> type(unscaled(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))).__name__
    'SGD'
    """
    scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer.inner_optimizer if scaling else optimizer


def with_rate(optimizer: Any, rate: float) -> Any:
    """Return a new optimizer like this one, with a number for its learning rate.

    >>> adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 100), beta_1=0.5)
    >>> other = with_rate(adam, 0.25)
    >>> float(other.learning_rate), other.beta_1
    (0.25, 0.5)
    """
    config = optimizer.get_config()
    if unscaled(optimizer) is optimizer:
        config["learning_rate"] = rate
    else:
        inner = with_rate(optimizer.inner_optimizer, rate)
        config["inner_optimizer"] = keras.optimizers.serialize(inner)
    return type(optimizer).from_config(config)


def state_places(optimizer: Any) -> tuple[int, ...]:
    """The places, among an optimizer's variables, of those that training changes.

    These are its count of steps, its slots and the scale of a `LossScaleOptimizer`; the others are
    settings.

    >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    >>> optimizer.build([keras.Variable([1.0], name="w")])
    >>> [optimizer.variables[place].name for place in state_places(optimizer)]
    ['iteration', 'w_momentum']
    """
    settings = {
        id(getattr(part, key))
        for part in (optimizer, unscaled(optimizer))
        for key in held_in_variables(part)
    }
    return tuple(i for i, each in enumerate(optimizer.variables) if id(each) not in settings)
