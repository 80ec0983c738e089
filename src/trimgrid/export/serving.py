"""A Keras model as one TensorFlow function with named inputs and outputs, ready to be converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trimgrid.export.loaded_model import ModelInputs
from trimgrid.legacy.telling import is_legacy

# As constants in the graph small weights convert in half the time that they take as variables;
# above this many bytes it is the other way round.
_CONSTANTS_UP_TO = 2**22


class Served:
    """`function` maps the flat inputs, `specs`, to {"output_0": ..., "output_1": ...}.

    `module` holds the variables, which must live as long as the conversion. `batch`: how many
    examples a call has, None for any number.

    The weights of a model of Keras 3 are handed over one by one through a `StatelessScope`, as
    constants or as variables of a plain module: a converter that is given the Keras model to look
    for them itself may leave them out without a word. Those of a `tf_keras` model are TensorFlow's
    variables already.
    """

    def __init__(self, model: Any, inputs: ModelInputs, batch: int | None) -> None:
        import keras
        import tensorflow as tf

        self.module = tf.Module()
        call = model
        if is_legacy(model):
            self.module.weights = list(model.variables)
        else:
            call = self._with_weights(model)

        def serve(*tensors: Any) -> dict[str, Any]:
            outputs = keras.tree.flatten(call(inputs.pack(tensors), training=False))
            return {f"output_{i}": output for i, output in enumerate(outputs)}

        self.specs = [
            tf.TensorSpec((batch, *sample.shape[1:]), sample.dtype, name=name)
            for name, sample in zip(inputs.names, inputs.samples, strict=True)
        ]
        self.function = tf.function(serve, autograph=False, input_signature=self.specs)

    def _with_weights(self, model: Any) -> Callable[..., Any]:
        """The call of a model whose weights are constants, or variables of the module."""
        import keras
        import tensorflow as tf

        variables = list(model.variables)
        weights = [variable.numpy() for variable in variables]
        if sum(array.nbytes for array in weights) > _CONSTANTS_UP_TO:
            weights = [tf.Variable(array, trainable=False) for array in weights]
            self.module.weights = weights

        def call(packed: Any, training: bool) -> Any:
            state = [(v, tf.convert_to_tensor(w)) for v, w in zip(variables, weights, strict=True)]
            with keras.StatelessScope(state_mapping=state):
                return model(packed, training=training)

        return call
