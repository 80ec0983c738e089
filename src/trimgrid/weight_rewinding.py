"""What the weights and the optimizer of a plain `model.fit` go back to where a schedule rewinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from trimgrid.optimizers import state_places


@contextmanager
def values_at_hand() -> Iterator[None]:
    """Leave the graph that TensorFlow may be tracing, in which variables have no values to read.

    A plain `fit` there builds the optimizer in its first step.
    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            yield
    else:
        yield


@dataclass(frozen=True)
class Start:
    """The trainable variables and the optimizer as a training began, for a rewinding schedule.

    `variables` are the trainable ones and `weights` hold, in variables of their own, what they
    began with. `state` are the optimizer's variables that go back, by their places among all of
    them: to one number where that is what fills them, as with most slots, else to a variable.

    An object that Keras does not look into: lists of variables in an attribute of an optimizer are
    tracked, and these already are.
    """

    variables: tuple[Any, ...]
    weights: tuple[Any, ...]
    state: Mapping[int, Any]

    @classmethod
    def of(
        cls, variables: Sequence[Any], optimizer: Any, add_variable: Callable[..., Any]
    ) -> Start:
        """Hold what there is now.

        `add_variable` makes one like another, as an optimizer's `add_variable_from_reference`.
        """

        def held(variable: Any) -> Any:
            copy = add_variable(variable, name="start")
            copy.assign(ops.copy(variable))
            return copy

        state = {}
        for place in state_places(optimizer):
            variable = optimizer.variables[place]
            value = ops.convert_to_numpy(variable)
            number = value.flat[0] if value.size else value.dtype.type(0)
            state[place] = number if np.all(value == number) else held(variable)
        return cls(tuple(variables), tuple(held(each) for each in variables), state)

    def take(self) -> None:
        """Hold the weights that there are now."""
        for weight, variable in zip(self.weights, self.variables, strict=True):
            weight.assign(ops.copy(variable))

    def back(
        self,
        due: Any,
        weights: Sequence[Any],
        masks: Mapping[int, Any],
        state: Sequence[Any],
        value_of: Callable[[Any], Any],
    ) -> tuple[list[Any], list[Any]]:
        """Return the weights and the optimizer's state after a step, as they began where it is due.

        `due`: a boolean scalar. `weights`, `state`: the values of all trainable and all of the
        optimizer's variables. `masks`: those of pruned variables, by their places. `value_of` gives
        the value of a variable that is held here.
        """

        def begin() -> list[Any]:
            values = [value_of(each) for each in self.weights]
            for place, mask in masks.items():
                values[place] = ops.where(mask, values[place], ops.zeros_like(values[place]))
            for place, current in enumerate(state):
                first = self.state.get(place, current)
                if isinstance(first, np.generic):
                    values.append(ops.full(current.shape, first, current.dtype))
                else:
                    values.append(current if first is current else value_of(first))
            return values

        found = list(ops.cond(due, begin, lambda: [*weights, *state]))
        return found[: len(weights)], found[len(weights) :]
