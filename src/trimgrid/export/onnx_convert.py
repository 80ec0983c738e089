"""A Keras model to the bytes of an `.onnx` file: what the child process does with tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trimgrid.export.loaded_model import ModelInputs
from trimgrid.export.onnx_names import inner_graphs, name_canonically
from trimgrid.export.onnx_quantize import quantize_onnx
from trimgrid.export.runtimes import run_onnx
from trimgrid.export.serving import Served

# The operations of ONNX 1.12, which every runtime of the last years has.
_OPSET = 17


def to_onnx(
    model: Any,
    inputs: ModelInputs,
    quantize: str,
    training: ModelInputs | None,
    folder: Path,
) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Convert for any batch size, or for a batch of one if the model allows no other.

    Returns the file and its outputs for the samples. For `quantize` see `quantize_onnx`; `folder`
    takes files meanwhile.
    """
    try:
        return _convert(model, inputs, quantize, training, folder, batch=None)
    except Exception:  # of TensorFlow, tf2onnx or ONNX Runtime, for a size fixed in the model
        return _convert(model, inputs, quantize, training, folder, batch=1)


def _convert(
    model: Any,
    inputs: ModelInputs,
    quantize: str,
    training: ModelInputs | None,
    folder: Path,
    batch: int | None,
) -> tuple[bytes, dict[str, NDArray[Any]]]:
    import tf2onnx

    served = Served(model, inputs, batch)
    made, _ = tf2onnx.convert.from_function(
        served.function, input_signature=served.specs, opset=_OPSET
    )
    _without_erfc(made.graph)
    name_canonically(made)
    content = quantize_onnx(made, quantize, training, folder)
    return content, run_onnx(content, inputs.by_name)


def _without_erfc(graph: Any) -> None:
    """Write erfc(x), which Keras' gelu has and tf2onnx takes for an operation, as 1 - erf(x)."""
    import onnx

    one = "one for erfc"
    nodes = []
    for node in graph.node:
        for inner in inner_graphs(node):
            _without_erfc(inner)
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        (name,) = node.output
        nodes.append(onnx.helper.make_node("Erf", node.input, [f"{name} erf"]))
        nodes.append(onnx.helper.make_node("Sub", [one, f"{name} erf"], [name]))
    if len(nodes) > len(graph.node):
        graph.initializer.append(onnx.helper.make_tensor(one, onnx.TensorProto.FLOAT, [], [1.0]))
        del graph.node[:]
        graph.node.extend(nodes)
