"""LSTM layers of Keras 2 as plain loops, for a converter that has a fused operation for them."""

from __future__ import annotations

from typing import Any

from trimgrid.legacy.copying import made_apart

# Of the arguments of an LSTM layer those of the loop; the others are the cell's.
_OF_LOOP = (
    *("name", "trainable", "return_sequences", "return_state", "go_backwards", "stateful"),
    *("unroll", "time_major", "zero_output_for_mask", "batch_input_shape"),
)


def with_loops(model: Any) -> Any:
    """Return a model of `tf_keras` with a loop over an LSTM cell in the place of each LSTM layer.

    Where there is none it is the model given. TensorFlow's converter makes of the layer itself an
    operation of LiteRT that keeps its state from one call to the next.
    """
    config = model.get_config()
    found = looped(config)
    if found == config:
        return model

    def make() -> Any:
        other = model.__class__.from_config(found)
        other.set_weights(model.get_weights())
        return other

    return made_apart(make)


def looped(node: Any) -> Any:
    """Return the config of a model with a loop over an LSTM cell for each LSTM layer.

    >>> layer = {"class_name": "LSTM", "config": {"name": "a", "units": 3, "unroll": False}}
    >>> looped(layer)["config"]["cell"]["config"]
    {'units': 3, 'name': 'lstm_cell'}
    """
    if isinstance(node, list):
        return [looped(item) for item in node]
    if isinstance(node, tuple):
        return tuple(looped(item) for item in node)
    if not isinstance(node, dict):
        return node
    found = {key: looped(value) for key, value in node.items()}
    if found.get("class_name") != "LSTM" or "units" not in (found.get("config") or {}):
        return found
    config = found["config"]
    cell = {key: value for key, value in config.items() if key not in _OF_LOOP}
    loop = {key: config[key] for key in _OF_LOOP if key in config}
    if "dtype" in config:
        loop["dtype"] = config["dtype"]
    loop["cell"] = {
        **{key: found[key] for key in ("module", "registered_name") if key in found},
        "class_name": "LSTMCell",
        "config": {**cell, "name": "lstm_cell"},
    }
    return {**found, "class_name": "RNN", "config": loop}
