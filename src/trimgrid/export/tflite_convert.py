"""A Keras model to the bytes of a `.tflite` file: what the child process does with TensorFlow."""

from __future__ import annotations

from typing import Any

from trimgrid.export.loaded_model import ModelInputs
from trimgrid.export.serving import Served


def to_tflite(
    model: Any,
    inputs: ModelInputs,
    quantize: str,
    training: ModelInputs | None,
    sparse: bool = False,
) -> bytes:
    """Convert for a batch of one; LiteRT's built-in operations only.

    `quantize`: "none" keeps float32, "float16" stores the weights so, "dynamic" stores the larger
    ones in int8 and computes with integers where it pays, "int8" computes everything in int8, with
    the ranges seen on the `training` rows, from float inputs to float outputs, and "int4" stores
    the weights of dense layers and convolutions in 4 bits. `sparse` leaves zeros out of the
    weights of dense layers and convolutions in which that saves bytes.
    """
    import tensorflow as tf

    served = Served(model, inputs, batch=1)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [served.function.get_concrete_function()], served.module
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize in ("float16", "dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if sparse:
        converter.optimizations = [*converter.optimizations, tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        assert training is not None
        rows = len(training.samples[0])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            {name: array[i : i + 1] for name, array in training.by_name.items()}
            for i in range(rows)
        )
    content: bytes = converter.convert()
    return _to_int4(content) if quantize == "int4" else content


def _to_int4(content: bytes) -> bytes:
    # TensorFlow's converter has no int4 weights. This package has int8 activations too, but cuts
    # off outliers: that cost half of the output's range where TensorFlow's int8 lost 0.05 of it.
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(bytearray(content), recipe.dynamic_wi4_afp32())
    return bytes(made.quantize(enable_progress_report=False).quantized_model)
