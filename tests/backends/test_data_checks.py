"""Data that can't be trained on is found out before a training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.data.checks import check_data
from trimgrid.errors import InputError

X = np.ones((8, 4), "float32")
ONE = np.ones((8, 1), "float32")
LABELS = np.arange(8) % 3
ONEHOT = np.eye(3)[LABELS]


def spoiled(array: Any, *values: float) -> Any:
    array = np.array(array, "float64")
    array.flat[: len(values)] = values
    return array


def single(units: int = 1) -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(units)])


def two_inputs() -> Any:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((1,), name="b")}
    return keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(list(inputs.values()))))


def two_outputs(as_dict: bool) -> Any:
    inputs = keras.Input((4,))
    outputs = {
        "value": layers.Dense(1, name="value")(inputs),
        "label": layers.Dense(3, name="label")(inputs),
    }
    return keras.Model(inputs, outputs if as_dict else list(outputs.values()))


def absolute(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.abs(y_true - y_pred)


SPARSE = "sparse_categorical_crossentropy"
BOTH = {"value": "mse", "label": SPARSE}


@pytest.mark.parametrize(
    ("model", "data", "loss"),
    [
        (single(), (X, ONE), "binary_crossentropy"),
        (single(), (X, ONE[:, 0] > 0), keras.losses.BinaryCrossentropy()),
        (single(), (X, ONE * 0.5), "crossentropy"),
        (single(3), (X, LABELS), "crossentropy"),
        (single(3), (X, LABELS[:, None]), "ce"),
        (single(3), (X, ONEHOT), "crossentropy"),
        (single(), (X, ONE * 7), "poisson"),
        (single(), (X, spoiled(ONE, np.nan)), absolute),
        (single(), (X, ONE, ONE[:, 0]), "mse"),
        (two_inputs(), ({"a": X, "b": ONE}, ONE), "mse"),
        (two_outputs(True), (X, {"value": ONE, "label": LABELS}), BOTH),
        (two_outputs(False), (X, {"value": ONE, "label": LABELS}), BOTH),
        (two_outputs(False), (X, [ONE, LABELS]), BOTH),
        (two_outputs(False), (X, [ONE, LABELS]), ["mse", SPARSE]),
        (two_outputs(False), (X, [ONE, LABELS]), [absolute, None]),
        (two_outputs(True), (X, {"label": LABELS}), {"label": SPARSE}),
        (two_outputs(True), (X, {"value": ONE, "label": ONEHOT}), "mse"),
    ],
)
def test_data_that_fits(model: Any, data: Any, loss: Any) -> None:
    check_data(model, data, loss, "data")


@pytest.mark.parametrize(
    ("model", "data", "loss", "message"),
    [
        (single(), (spoiled(X, np.nan, np.inf), ONE), "mse",
         r"inputs of the data must be finite\. Received: NaN or infinity in 2 of 32 values"),
        (single(), (X, spoiled(ONE, -np.inf)), "mse", r"targets of the data .* 1 of 8 values"),
        (single(), (spoiled(X, np.nan), ONE), absolute, r"inputs of the data must be finite"),
        (single(), (X, ONE, spoiled(ONE[:, 0], np.nan)), "mse", r"weights of the data must be fi"),
        (two_inputs(), ({"a": X, "b": spoiled(ONE, np.nan)}, ONE), "mse",
         r"inputs 'b' of the data must be finite"),
        (single(), (np.array([[1], [1, 2]], object), ONE[:2]), "mse",
         r"inputs of the data must be numbers.*type object, which holds Python objects"),
        (single(), (X, ONE.astype(str)), "mse", r"targets of the data must be numbers"),
        (two_inputs(), ({"a": X, "b": ONE[:3]}, ONE), "mse",
         r"same number of rows.*\(8, 4\) of inputs 'a', \(3, 1\) of inputs 'b', \(8, 1\)\."),
        (two_inputs(), ({"a": X, "c": ONE}, ONE), "mse", r"inputs of the data must fit the model"),
        (single(), (X, LABELS), SPARSE, r"an output for each class, where the model has one"),
        (single(), (X, ONE), "categorical_crossentropy", r"Take binary_crossentropy"),
        (single(), (X, LABELS), "binary_crossentropy",
         r"between 0 and 1 for binarycrossentropy\. Received: targets from 0 to 2"),
        (single(), (X, -ONE), keras.losses.BinaryCrossentropy(), r"targets from -1\.0 to -1\.0"),
        (single(3), (X, LABELS + 1), "crossentropy", r"0 to 2\. Received: labels from 1 to 3"),
        (single(3), (X, LABELS + np.eye(8)[1] / 4), SPARSE,
         r"must be whole numbers, 0 to 2\. Received: 1 of 8 labels that are none, such as \d\.25"),
        (two_outputs(True), (X, {"value": ONE, "label": LABELS + 1}), BOTH,
         r"labels of the data for the output 'label' must be classes of the model, 0 to 2"),
        (two_outputs(False), (X, [X, LABELS]), ["mse", SPARSE],
         r"targets of the data for the output 0 must fit.*\(8, 4\), where the loss takes"),
        (two_outputs(False), (X, [ONE, LABELS]), ["mse"], r"Loss must be given for the model"),
        (two_outputs(True), (X, {"value": ONE}), BOTH, r"The targets must be given for the model"),
        (two_outputs(True), (X, {"value": ONE, "label": LABELS}), {"values": "mse"},
         r"Received: \['values'\] for the outputs \['value', 'label'\]"),
        (two_outputs(False), (X, ONE), "mse", r"The targets must be given for the model's outputs"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit(model: Any, data: Any, loss: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_data(model, data, loss, "data")


def test_all_values_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimgrid.data.checks._PIECE", 8)
    x = np.asfortranarray(spoiled(np.ones((9, 4))))
    x[[0, 4, 8], 1] = np.nan
    with pytest.raises(InputError, match="NaN or infinity in 3 of 36 values"):
        check_data(single(), (x, np.ones((9, 1))), "mse", "data")
