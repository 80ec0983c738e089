"""Which variables are pruned, copies that share nothing, and files that stay data."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.errors import InputError
from trimgrid.models import (
    copy_model,
    count_weights,
    load_model,
    sample_inputs,
)
from trimgrid.prunable import prunable_variables


def reasons(model: Any, **patterns: Any) -> dict[str, str | None]:
    return {each.path: each.reason for each in prunable_variables(model.variables, **patterns)}


def pruned(model: Any, **patterns: Any) -> set[str]:
    return {path for path, reason in reasons(model, **patterns).items() if reason is None}


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(3, name="d"), (4,), {"d/kernel"}),
        (layers.Conv1D(3, 2, name="d"), (8, 4), {"d/kernel"}),
        (layers.Conv2D(3, 2, name="d"), (8, 8, 2), {"d/kernel"}),
        (layers.Conv3D(3, 2, name="d"), (4, 4, 4, 2), {"d/kernel"}),
        (layers.Conv2DTranspose(3, 2, name="d"), (8, 8, 2), {"d/kernel"}),
        (layers.SeparableConv2D(3, 2, name="d"), (8, 8, 2), {"d/pointwise_kernel"}),
        (layers.DepthwiseConv2D(2, name="d"), (8, 8, 2), set()),
        (layers.Embedding(9, 4, name="d"), (5,), {"d/embeddings"}),
        (layers.LSTM(3, name="d"), (5, 2), {"d/lstm_cell/kernel", "d/lstm_cell/recurrent_kernel"}),
        (layers.GRU(3, name="d"), (5, 2), {"d/gru_cell/kernel", "d/gru_cell/recurrent_kernel"}),
        (
            layers.Bidirectional(layers.LSTM(3), name="d"),
            (5, 2),
            {
                f"d/{way}_lstm/lstm_cell/{kind}"
                for way in ("forward", "backward")
                for kind in ("kernel", "recurrent_kernel")
            },
        ),
        (layers.TimeDistributed(layers.Dense(3, name="in"), name="d"), (5, 2), {"d/in/kernel"}),
        (layers.EinsumDense("abc,cd->abd", (None, 4), name="d"), (5, 2), {"d/kernel"}),
        (layers.BatchNormalization(name="d"), (4,), set()),
        (layers.LayerNormalization(axis=[1, 2], name="d"), (4, 5), set()),
        (layers.PReLU(name="d"), (4, 5), set()),
        (layers.Dense(3, name="d", trainable=False), (4,), set()),
        (layers.Rescaling(2.0, name="d"), (4,), set()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.Layer) else "",
)
def test_what_is_pruned_of_each_layer(
    layer: Any, shape: tuple[int, ...], expected: set[str]
) -> None:
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    assert pruned(model) == expected
    assert set(reasons(model)) == {variable.path for variable in model.variables}


def test_attention_biases_are_no_kernels() -> None:
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, name="a")(inputs, inputs))
    parts = ("query", "key", "value", "attention_output")
    assert pruned(model) == {f"a/{part}/kernel" for part in parts}


@keras.saving.register_keras_serializable("tests")
class Scaled(layers.Layer):  # type: ignore[misc]
    """A custom layer with a matrix, a scalar and an integer."""

    def build(self, shape: Any) -> None:
        self.matrix = self.add_weight(shape=(shape[-1], 2), name="matrix")
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs: Any) -> Any:
        return self.scale * (inputs @ self.matrix)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], 2)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):  # type: ignore[misc]
    """A subclassed model with layers in a list, one of them used twice."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.blocks = [layers.Dense(units), Scaled()]
        self.twice = layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return self.twice(self.twice(inputs))

    def build(self, shape: Any) -> None:
        for part in (*self.blocks, self.twice):
            part.build(shape)
            shape = part.compute_output_shape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}


def test_custom_and_shared_layers_of_a_subclassed_model() -> None:
    model = Subclassed(3)
    model.build((None, 4))
    names = [path.split("/")[-1] for path in sorted(pruned(model))]
    assert sorted(names) == ["kernel", "kernel", "matrix"]
    assert "scalar" in reasons(model).values()


def test_nested_models() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="inside")], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, name="outside")])
    assert {path.split("/")[-2] for path in pruned(outer)} == {"inside", "outside"}
    for a, b in zip(copy_model(outer).get_weights(), outer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def two_layers() -> Any:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="conv_1"), layers.Dense(2, name="last")]
    )


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({}, {"conv_1/kernel", "last/kernel"}),
        ({"include": ["last/kernel"]}, {"last/kernel"}),
        ({"include": ["*/kernel"], "exclude": ["conv_?/*"]}, {"last/kernel"}),
        ({"include": ["last/*"]}, {"last/kernel", "last/bias"}),
        ({"exclude": ["kernel"]}, set()),
        ({"include": []}, set()),
    ],
)
def test_patterns(patterns: dict[str, Any], expected: set[str]) -> None:
    paths = pruned(two_layers(), **patterns)
    assert {"/".join(path.split("/")[-2:]) for path in paths} == expected


def test_a_pattern_that_matches_nothing_names_the_paths() -> None:
    with pytest.raises(InputError, match=r"include='dens/\*'.*conv_1/kernel, .*conv_1/bias"):
        prunable_variables(two_layers().variables, include=["dens/*"])


def test_a_copy_shares_nothing_and_leaves_no_trace() -> None:
    model = two_layers()
    model.compile("adam", "mse")
    before = model.get_weights()
    state, numpy_state = random.getstate(), str(np.random.get_state())
    copy = copy_model(model)
    assert random.getstate() == state
    assert str(np.random.get_state()) == numpy_state
    assert not copy.compiled
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    copy.set_weights([array + 1 for array in before])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_random_layers_of_a_copy_start_from_the_seed() -> None:
    model = keras.Sequential([keras.Input((50,)), layers.Dropout(0.5)])
    ones = np.ones((1, 50), "float32")

    def dropped(copy: Any) -> list[float]:
        return np.asarray(keras.ops.convert_to_numpy(copy(ones, training=True))).ravel().tolist()

    first = dropped(copy_model(model, seed=1))
    model(ones, training=True)  # moves the original's state on
    assert dropped(copy_model(model, seed=1)) == first
    assert dropped(copy_model(model, seed=2)) != first


def test_a_subclassed_model_is_copied() -> None:
    model = Subclassed(3)
    model.build((None, 4))
    for a, b in zip(copy_model(model).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_config_leaves_out_is_copied() -> None:
    model = two_layers()
    model.layers[0].kernel.trainable = False
    model.layers[1].trainable = False
    copy = copy_model(model)
    assert [v.trainable for v in copy.weights] == [v.trainable for v in model.weights]
    assert len(copy.trainable_variables) == len(model.trainable_variables) == 1
    subclassed = Subclassed(3)
    subclassed.build((None, 4))
    subclassed.twice.trainable = False
    assert len(copy_model(subclassed).trainable_variables) == 4
    assert not copy_model(subclassed).twice.trainable


class Forgetful(keras.Model):  # type: ignore[misc]
    """A model whose config does not say what it takes."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_what_can_not_be_copied() -> None:
    model = Forgetful(2)
    with pytest.raises(InputError, match="must be built"):
        copy_model(model)
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(InputError, match="get_config"):
        copy_model(model)


def test_count_weights() -> None:
    model = two_layers()
    kernel = np.ones((4, 3), "float32")
    kernel[0] = 0
    model.layers[0].set_weights([kernel, np.zeros(3, "float32")])
    assert count_weights(model) == (23, 9 + 6)


def test_sample_inputs_follow_the_model() -> None:
    a, b = keras.Input((None, 3), name="a"), keras.Input((2,), dtype="int32", name="b")
    model = keras.Model({"a": a, "b": b}, layers.GlobalAveragePooling1D()(a))
    samples = sample_inputs(model, rows=5)
    assert {key: (value.shape, value.dtype.name) for key, value in samples.items()} == {
        "a": ((5, 1, 3), "float32"),
        "b": ((5, 2), "int32"),
    }
    assert {0, 1} == set(samples["b"].ravel().tolist())


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_go_round(tmp_path: Path, suffix: str) -> None:
    model = two_layers()
    model.save(tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"model{suffix}"
    two_layers().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"Received: .*model"):
        load_model(path)


def _touching(path: str) -> Any:
    def touch(x: Any, path: str = path) -> Any:
        open(path, "w").close()  # noqa: PTH123 - the code is saved without its imports
        return x

    return touch


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(tmp_path: Path, suffix: str) -> None:
    flag = tmp_path / "ran"
    hostile = keras.Sequential([keras.Input((2,)), layers.Lambda(_touching(str(flag)))])
    flag.unlink(missing_ok=True)
    hostile.save(tmp_path / f"model{suffix}")
    with pytest.raises(InputError, match=r"Lambda layer|Could not locate function"):
        load_model(tmp_path / f"model{suffix}")
    assert not flag.exists()


@pytest.mark.parametrize("name", ["missing.keras", "model.onnx"])
def test_wrong_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=name):
        load_model(tmp_path / name)
