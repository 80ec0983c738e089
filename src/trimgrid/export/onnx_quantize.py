"""Smaller numbers in an ONNX model, by ONNX Runtime's own tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trimgrid.export.loaded_model import ModelInputs
from trimgrid.export.onnx_names import name_canonically


def quantize_onnx(model: Any, quantize: str, training: ModelInputs | None, folder: Path) -> bytes:
    """Return the file of an `onnx.ModelProto`, quantized; inputs and outputs keep their types.

    `quantize`: "none" keeps float32, "float16" stores weights and computes in float16, "dynamic"
    has int8 weights and sees the ranges of activations when it runs, "int8" has int8 weights and
    activations, with the ranges seen on the `training` rows. There are no static ranges inside an
    LSTM, so with "int8" too those are dynamic.
    """
    if quantize != "none":
        # Both at once: the second adds its folder to sys.path, where the first looks for modules,
        # and the child sets sys.path anew for each conversion.
        from onnxruntime import quantization
        from onnxruntime.transformers.float16 import convert_float_to_float16
    if quantize == "float16":
        model = convert_float_to_float16(model, keep_io_types=True)
        name_canonically(model)  # it puts its first casts after their readers
    if quantize in ("none", "float16"):
        content: bytes = model.SerializeToString(deterministic=True)
        return content
    start, halfway, end = (folder / f"{name}.onnx" for name in ("float", "halfway", "quantized"))
    start.write_bytes(model.SerializeToString(deterministic=True))
    int8 = quantization.QuantType.QInt8
    if quantize == "dynamic":
        quantization.quantize_dynamic(start, end, weight_type=int8)
    else:
        assert training is not None
        quantization.quantize_dynamic(
            start, halfway, weight_type=int8, op_types_to_quantize=["LSTM"]
        )
        quantization.quantize_static(
            halfway,
            end,
            _Rows(training.by_name),
            weight_type=int8,
            activation_type=int8,
            per_channel=True,
        )
    return end.read_bytes()


class _Rows:
    """Rows one after the other, as ONNX Runtime's calibration asks for them."""

    def __init__(self, inputs: dict[str, NDArray[Any]]) -> None:
        count = len(next(iter(inputs.values())))
        self._rows: Iterator[dict[str, NDArray[Any]]] = (
            {name: array[i : i + 1] for name, array in inputs.items()} for i in range(count)
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next row, or None."""
        return next(self._rows, None)
