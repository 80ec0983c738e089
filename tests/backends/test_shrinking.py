"""What leaves a model, what stays and why, one kind of layer after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import InputError, Shrunk, copy_model, shrink_model
from trimgrid.models import count_weights, sample_inputs
from trimgrid.shrinking.behaviors import Blocking
from trimgrid.shrinking.graph import read_graph
from trimgrid.shrinking.rules import behaviors
from trimgrid.shrinking.rules_operations import is_followed


@pytest.fixture(autouse=True)
def _no_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights begin with zeros: JAX compiles random ones for each shape."""
    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", zeros_instead)


def zeros_instead(_: Any, shape: Any, dtype: Any = None) -> Any:
    return keras.ops.convert_to_tensor(np.zeros(shape, "float32"), dtype)


def with_weights(model: Any, **zeros: Any) -> Any:
    """The model with random weights, those of each named layer zero: {"units": ..., "rows": ...}.

    Units are places on the last axis of a kernel, rows those on the one before it.
    """
    generator = np.random.default_rng(0)
    model.set_weights(
        [
            generator.uniform(0.2, 1.0, a.shape) * generator.choice([-1, 1], a.shape)
            if "variance" not in v.path
            else generator.uniform(0.5, 2.0, a.shape)
            for a, v in zip(model.get_weights(), model.weights, strict=True)
        ]
    )
    for name, each in zeros.items():
        layer = model
        for part in name.split("__"):
            layer = layer.get_layer(part)
        kernel, *rest = layer.get_weights()
        kernel[..., list(each.get("units", ()))] = 0
        if kernel.ndim > 1:
            kernel[..., list(each.get("rows", ())), :] = 0
        layer.set_weights([kernel, *rest])
    return model


def shrunk(model: Any) -> Shrunk:
    """The shrunken model, after a check that it is the same function and the other untouched."""
    before, config = model.get_weights(), model.get_config()
    result = shrink_model(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_config() == config
    assert_same_outputs(model, result.model)
    assert result.total_weights_before == count_weights(model)[0]
    assert result.total_weights == count_weights(result.model)[0]
    assert (result.total_weights < result.total_weights_before) == bool(result.removed)
    assert not shrink_model(result.model).removed
    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in result.model.layers] == names
    assert type(result.model) is type(model)
    for old, new in zip(model.layers, result.model.layers, strict=True):
        if not isinstance(old, keras.Model):
            assert settings_but_sizes(old) == settings_but_sizes(new)
    return result


def settings_but_sizes(layer: Any) -> dict[str, Any]:
    """The config of a layer without what may change in a smaller model."""
    sizes = {"units", "filters", "output_dim", "use_bias", "target_shape", "layer"}
    return {
        name: value
        for name, value in layer.get_config().items()
        if name not in sizes and not name.endswith("_layer")
    }


def assert_same_outputs(model: Any, other: Any) -> None:
    generator = np.random.default_rng(1)

    def normal(sample: Any) -> Any:
        return generator.normal(size=sample.shape).astype(sample.dtype) * (
            1 if sample.dtype.kind == "f" else 3
        )

    inputs = keras.tree.map_structure(normal, sample_inputs(model, 5))
    if any(v.path.endswith("embeddings") for v in model.variables):
        inputs = keras.tree.map_structure(abs, inputs)
    expected, found = (
        keras.tree.map_structure(keras.ops.convert_to_numpy, each(inputs, training=False))
        for each in (model, other)
    )
    keras.tree.assert_same_structure(expected, found)
    for old, new in zip(keras.tree.flatten(expected), keras.tree.flatten(found), strict=True):
        assert old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-5 * max(1.0, np.nanmax(abs(old))))


def chain(shape: tuple[int, ...], *between: Any, first: Any = None, last: Any = None) -> Any:
    """A Sequential model: a Dense "a" of 4 units, what is between, a Dense "z" of 2 units."""
    first = first or layers.Dense(4, name="a")
    return keras.Sequential(
        [keras.Input(shape), first, *between, last or layers.Dense(2, name="z")]
    )


# Channels are apart in these: a unit of "a" without incoming weights and one without outgoing ones
# leave, whatever stands between "a" and "z".
APART: list[tuple[tuple[int, ...], Callable[[], Any]]] = [
    ((3,), lambda: layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.2)),
    ((3,), lambda: layers.PReLU()),
    ((5, 3), lambda: layers.PReLU(shared_axes=[1])),
    ((3,), lambda: layers.Activation("gelu")),
    ((3,), lambda: layers.Identity()),
    ((3,), lambda: layers.Dropout(0.5)),
    ((3,), lambda: layers.BatchNormalization()),
    ((5, 5, 3), lambda: layers.MaxPooling2D(2, padding="same")),
    ((5, 5, 3), lambda: layers.AveragePooling2D(2, padding="same")),
    ((4, 4, 4, 3), lambda: layers.AveragePooling3D(2)),
    ((5, 3), lambda: layers.GlobalAveragePooling1D()),
    ((5, 5, 3), lambda: layers.GlobalAveragePooling2D(keepdims=True)),
    ((5, 5, 3), lambda: layers.UpSampling2D(2)),
    ((5, 5, 3), lambda: layers.DepthwiseConv2D(3)),
    ((5, 3), lambda: layers.DepthwiseConv1D(1, padding="same")),
    ((4, 5, 3), lambda: layers.Permute((2, 1, 3))),
    ((4, 5, 3), lambda: layers.Reshape((20, 4))),
    ((3,), lambda: layers.RepeatVector(3)),
]  # fmt: skip
MORE_APART: list[tuple[tuple[int, ...], Callable[[], Any]]] = [
    ((3,), lambda: layers.BatchNormalization(axis=1, scale=False)),
    ((4, 4, 3), lambda: layers.BatchNormalization(center=False)),
    ((6, 3), lambda: layers.MaxPooling1D(2)),
    ((6, 3), lambda: layers.AveragePooling1D(3, padding="same")),
    ((5, 3), lambda: layers.GlobalMaxPooling1D()),
    ((5, 5, 3), lambda: layers.Cropping2D(1)),
    ((5, 5, 3), lambda: layers.DepthwiseConv2D(3, use_bias=False, activation="relu")),
    ((4, 5, 3), lambda: layers.Reshape((-1, 4))),
    ((3,), lambda: layers.LeakyReLU()),
    ((3,), lambda: layers.ELU()),
    ((3,), lambda: layers.GaussianNoise(0.5)),
    ((5, 3), lambda: layers.SpatialDropout1D(0.5)),
    ((5, 3), lambda: layers.UpSampling1D(2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "make"),
    [
        *(pytest.param(*each, id=type(each[1]()).__name__) for each in APART),
        *(
            pytest.param(*each, id=type(each[1]()).__name__, marks=pytest.mark.slow)
            for each in MORE_APART
        ),
    ],
)
def test_layers_that_keep_channels_apart(shape: tuple[int, ...], make: Callable[[], Any]) -> None:
    model = with_weights(chain(shape, make()), a={"units": [1]}, z={"rows": [3]})
    result = shrunk(model)
    assert result.removed == {"a": 2}
    assert not result.left


@keras.saving.register_keras_serializable("tests")  # type: ignore[untyped-decorator]
def doubled(values: Any) -> Any:
    return values * 2


@pytest.mark.parametrize(
    ("shape", "make", "constant", "said"),
    [
        ((3,), lambda: layers.LayerNormalization(name="b"), 0, "LayerNormalization 'b' may read"),
        ((3,), lambda: layers.Softmax(name="b"), 0, "Softmax 'b' may read"),
        ((3,), lambda: layers.Activation("softmax", name="b"), 0, "softmax of 'b' mixes"),
        ((3,), lambda: layers.Activation(doubled, name="b"), 0, "doubled of 'b' mixes"),
        ((5, 3), lambda: layers.GroupNormalization(2, name="b"), 0, "GroupNormalization 'b'"),
        ((5, 3), lambda: layers.BatchNormalization(axis=1, name="b"), 0, "another axis"),
        ((5, 3), lambda: layers.Permute((2, 1), name="b"), 0, "moves the last axis"),
        ((6, 3), lambda: layers.Reshape((3, 8), name="b"), 0, "cuts channels apart"),
        ((4, 4, 3), lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, name="b"), 0, "multipl"),
        ((4, 4, 3), lambda: layers.Conv2D(4, 2, groups=2, name="b"), 0, "groups"),
        ((3,), lambda: layers.UnitNormalization(name="b"), 0, "UnitNormalization 'b' may read"),
        # Places at the border get zeros beside the constant: the unread unit leaves all the same.
        ((5, 3), lambda: layers.ZeroPadding1D(1), 1, "reads of them varies"),
        ((5, 5, 3), lambda: layers.UpSampling2D(interpolation="bilinear"), 1, "of them varies"),
        ((5, 5, 3), lambda: layers.DepthwiseConv2D(3, padding="same"), 1, "reads of them varies"),
        ((5, 3), lambda: layers.PReLU(), 1, "reads of them varies"),
    ],
)  # fmt: skip
def test_layers_that_keep_units(
    shape: tuple[int, ...], make: Callable[[], Any], constant: int, said: str
) -> None:
    model = with_weights(chain(shape, make()), a={"units": [1]}, z={"rows": [3]})
    layer = model.get_layer("a")
    layer.set_weights([layer.get_weights()[0], -np.ones(4)])  # where slopes of PReLU count
    result = shrunk(model)
    assert result.removed == ({"a": constant} if constant else {})
    assert said in result.left["a"], result.left
    assert result.left["a"].startswith(("1 idle unit stays: ", "2 idle units stay: "))


def convolved(*between: Any, **arguments: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, padding="same", name="a"),
            *between,
            layers.Conv2D(3, **{"kernel_size": 3, "name": "z", **arguments}),
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "removed"),
    [
        ({}, 2),
        ({"strides": 2, "use_bias": False}, 2),
        ({"dilation_rate": 2, "activation": "tanh"}, 2),
        ({"padding": "same"}, 1),
        ({"padding": "same", "kernel_size": 1, "strides": 2}, 2),
    ],
)
def test_convolutions(arguments: Any, removed: int) -> None:
    """A constant other than 0 is another one beside the border where that is padded."""
    model = with_weights(convolved(**arguments), a={"units": [1]}, z={"rows": [3]})
    result = shrunk(model)
    assert result.removed == {"a": removed}
    if removed == 1:
        assert result.left == {"a": "1 idle unit stays: 'z' can't fold a constant other than 0."}


def test_a_constant_zero_leaves_a_padded_convolution() -> None:
    model = with_weights(convolved(layers.ReLU(), padding="same"), a={"units": [1]})
    kernel, bias = model.get_layer("a").get_weights()
    bias[1] = -0.3
    model.get_layer("a").set_weights([kernel, bias])
    assert shrunk(model).removed == {"a": 1}


@pytest.mark.parametrize(
    ("shape", "layer", "removed"),
    [
        ((7, 3), lambda: layers.Conv1D(2, 3, name="z"), 2),
        ((7, 3), lambda: layers.Conv1D(2, 3, padding="causal", name="z"), 1),
        ((4, 4, 4, 3), lambda: layers.Conv3D(2, 2, name="z"), 2),
        ((5, 5, 3), lambda: layers.Conv2DTranspose(2, 2, strides=2, name="z"), 1),
        ((7, 3), lambda: layers.Conv1DTranspose(2, 3, name="z"), 1),
        ((5, 3), lambda: layers.TimeDistributed(layers.Dense(2), name="z"), 2),
        ((5, 3), lambda: layers.LSTM(2, name="z"), 1),
        ((5, 3), lambda: layers.GRU(2, return_sequences=True, name="z"), 1),
        ((5, 3), lambda: layers.SimpleRNN(2, use_bias=False, name="z"), 1),
    ],
)
def test_layers_that_read(shape: tuple[int, ...], layer: Callable[[], Any], removed: int) -> None:
    model = with_weights(chain(shape, last=layer()), a={"units": [1]})
    last = model.get_layer("z")
    kernel, *rest = last.get_weights()
    if "Transpose" in type(last).__name__:
        kernel[..., 3] = 0
    else:
        kernel[..., 3, :] = 0
    last.set_weights([kernel, *rest])
    assert shrunk(model).removed == {"a": removed}


def test_filters_of_a_transposed_convolution() -> None:
    model = chain((4, 4, 3), first=layers.Conv2DTranspose(5, 3, name="a"))
    kernel, bias = with_weights(model).get_layer("a").get_weights()
    kernel[:, :, 1] = 0
    model.get_layer("a").set_weights([kernel, bias])
    assert shrunk(model).removed == {"a": 1}


def test_separable_convolutions() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(5, 3, name="a"),
            layers.SeparableConv2D(4, 2, name="s", activation="relu"),
            layers.SeparableConv2D(3, 2, name="t"),
        ]
    )
    model = with_weights(model, a={"units": [0]})
    depthwise, pointwise, bias = model.get_layer("s").get_weights()
    depthwise[:, :, 1] = 0
    pointwise[:, :, 2] = 0
    pointwise[..., 3] = 0
    model.get_layer("s").set_weights([depthwise, pointwise, bias])
    assert shrunk(model).removed == {"a": 3, "s": 1}


def test_both_ways_of_a_bidirectional_layer() -> None:
    model = chain((5, 3), last=layers.Bidirectional(layers.LSTM(2), name="z"))
    weights = with_weights(model).get_layer("z").get_weights()
    weights[0][1:3] = 0
    weights[3][2:4] = 0
    model.get_layer("z").set_weights(weights)
    assert shrunk(model).removed == {"a": 1}


def test_columns_of_an_embedding() -> None:
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(9, 6, name="e"),
         layers.Flatten(), layers.Dense(2, name="z")]
    )  # fmt: skip
    model = with_weights(model, e={"units": [1]}, z={"rows": [3, 9, 15, 21, 4, 10, 16]})
    assert shrunk(model).removed == {"e": 2}


@pytest.mark.parametrize("mask", [False, True])
def test_a_mean_of_masked_steps_is_no_constant(mask: bool) -> None:
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(9, 6, mask_zero=mask, name="e")(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Dense(4, name="a")(x))
    model = with_weights(keras.Model(inputs, layers.Dense(2, name="z")(x)), a={"units": [1]})
    result = shrunk(model)
    assert result.removed == ({} if mask else {"a": 1})
    assert ("called with more than tensors" in str(result.left)) is mask


def test_flat_channels_leave_only_together() -> None:
    model = keras.Sequential(
        [keras.Input((2, 2, 3)), layers.Conv2D(4, 1, name="a"), layers.Flatten(),
         layers.Reshape((2, 8)), layers.Reshape((16,)), layers.Dense(2, name="z")]
    )  # fmt: skip
    rows = [1, 5, 9, 13, 2, 6, 10]  # the places of channel 1, three of four of channel 2
    assert shrunk(with_weights(model, z={"rows": rows})).removed == {"a": 1}


def test_a_flat_input_takes_the_shape_of_places_and_channels() -> None:
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(12, name="a"), layers.Reshape((2, 2, 3)),
         layers.Conv2D(2, 2, name="z")]
    )  # fmt: skip
    result = shrunk(with_weights(model, z={"rows": [1]}))
    assert result.removed == {"a": 4}
    assert result.model.layers[1].target_shape == (2, 2, 2)


def test_what_leaves_takes_more_along() -> None:
    """An unread unit is the only reader of another; a constant makes the next unit a constant."""
    model = keras.Sequential(
        [keras.Input((3,)), *(layers.Dense(4, "tanh", name=name) for name in "abcz")]
    )
    model = with_weights(model, a={"units": [0]}, b={"rows": [1]}, z={"rows": [3]})
    kernel, bias = model.get_layer("b").get_weights()
    kernel[1:, 2] = 0  # reads nothing but the constant
    kernel[2] = [0, 0, 0, 1]  # is read by unit 3 alone
    model.get_layer("b").set_weights([kernel, bias])
    kernel, bias = model.get_layer("c").get_weights()
    kernel[3] = [0, 0, 0, 1]  # which is read by the unread unit 3 alone
    model.get_layer("c").set_weights([kernel, bias])
    assert shrunk(model).removed == {"a": 3, "b": 2, "c": 1}


def test_the_fold_beside_numpy() -> None:
    model = with_weights(
        chain((3,), first=layers.Dense(4, "sigmoid", name="a")), a={"units": [1, 2]}
    )
    kernel, bias = model.get_layer("a").get_weights()
    row, old = model.get_layer("z").get_weights()
    constants = 1 / (1 + np.exp(-bias[1:3].astype("float64")))
    result = shrunk(model)
    np.testing.assert_allclose(
        result.model.get_layer("z").get_weights()[1], old + constants @ row[1:3], rtol=1e-6
    )
    np.testing.assert_array_equal(result.model.get_layer("z").get_weights()[0], row[[0, 3]])
    np.testing.assert_array_equal(result.model.get_layer("a").get_weights()[0], kernel[:, [0, 3]])
    assert (result.total_weights_before, result.total_weights) == (26, 14)


@pytest.mark.parametrize("active", [False, True])
def test_a_bias_comes_only_where_it_is_needed(active: bool) -> None:
    first = layers.Dense(4, "sigmoid" if active else "relu", use_bias=False, name="a")
    model = chain((3,), first=first, last=layers.Dense(2, use_bias=False, name="z"))
    model.get_layer("z").trainable = False
    result = shrunk(with_weights(model, a={"units": [1]}))
    assert result.removed == {"a": 1}
    assert result.model.get_layer("z").use_bias is active
    assert not result.model.get_layer("z").trainable_weights
    assert [layer.trainable for layer in result.model.layers] == [True, False]


def test_a_gamma_of_zero_makes_a_constant() -> None:
    model = chain((3,), layers.BatchNormalization(name="b"), layers.ReLU())
    model = with_weights(model, b={"units": [2]})
    result = shrunk(model)
    assert result.removed == {"a": 1}
    for old, new in zip(
        model.get_layer("b").get_weights(), result.model.get_layer("b").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(new, old[[0, 1, 3]])


@pytest.mark.parametrize("joined", ["Add", "Subtract", "Average", "Maximum", "Minimum", "+", "*"])
def test_a_residual_channel_leaves_all_branches_or_none(joined: str) -> None:
    inputs = keras.Input((3,))
    a, b = layers.Dense(5, name="a")(inputs), layers.Dense(5, "tanh", name="b")(inputs)
    sums = {"+": lambda: a + b, "*": lambda: a * b}
    x = sums[joined]() if joined in sums else getattr(layers, joined)()([a, b])
    outputs = layers.Dense(2, name="z")(x)
    model = with_weights(
        keras.Model(inputs, outputs),
        a={"units": [0, 1]},  # unit 0 is a constant in both
        b={"units": [0, 2]},
        z={"rows": [4]},
    )
    result = shrunk(model)
    assert result.removed == {"a": 2, "b": 2}
    assert "reads of them varies" in result.left["a"]
    assert result.left["b"].startswith("1 idle unit stays: ")


def test_what_is_multiplied_by_zero_leaves() -> None:
    inputs = keras.Input((3,))
    a, b = layers.Dense(4, name="a")(inputs), layers.Dense(4, "relu", name="b")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="z")(layers.Multiply()([a, b])))
    with_weights(model, b={"units": [1]})
    kernel, _ = model.get_layer("b").get_weights()
    model.get_layer("b").set_weights([kernel, -np.ones(4)])
    assert shrunk(model).removed == {"a": 1, "b": 1}


def test_broadcast_places_and_different_shapes() -> None:
    inputs = keras.Input((4, 4, 3))
    a = layers.Conv2D(4, 1, name="a")(inputs)
    gate = layers.Dense(4, "sigmoid", name="b")(layers.GlobalAveragePooling2D(keepdims=True)(a))
    wide = layers.Conv2D(1, 1, name="c")(a)
    x = layers.Multiply()([a, gate])
    model = keras.Model(inputs, [layers.Dense(2, name="z")(x), layers.Add(name="s")([a, wide])])
    with_weights(model, z={"rows": [1]}, b={"rows": [1]}, c={"rows": [1]})
    result = shrunk(model)
    assert result.removed == {}
    assert "'s'" in result.left["a"]


@pytest.mark.parametrize("axis", [-1, 1])
def test_concatenated_channels(axis: int) -> None:
    inputs = keras.Input((2, 3))
    parts = [layers.Dense(4, name=name)(inputs) for name in "ab"]
    x = layers.Concatenate(axis=axis)(parts)
    model = keras.Model(inputs, layers.Dense(2, name="z")(x))
    model = with_weights(model, a={"units": [1]}, z={"rows": [2, 7] if axis == -1 else [2]})
    expected = {"a": 2, "b": 1} if axis == -1 else {"a": 1, "b": 1}
    result = shrunk(model)
    assert result.removed == expected


def test_all_readers_have_to_agree() -> None:
    inputs = keras.Input((3,), name="in")
    x = layers.Dense(5, name="a")(inputs)
    outputs = {"one": layers.Dense(2, name="y")(x), "two": layers.Dense(3, name="z")(x)}
    model = with_weights(
        keras.Model({"in": inputs}, outputs), y={"rows": [0, 1]}, z={"rows": [1, 2]}
    )
    result = shrunk(model)
    assert result.removed == {"a": 1}
    assert set(result.model.output) == {"one", "two"}
    assert set(result.model.input) == {"in"}


def test_inputs_and_outputs_in_any_structure() -> None:
    """Dicts in an order that is not that of their keys, with sizes that would be confused."""
    ins = {name: keras.Input((size,), name=name) for name, size in (("v", 5), ("u", 3))}
    a, b = layers.Dense(6, name="a")(ins["u"]), layers.Dense(4, name="b")(ins["v"])
    both = layers.Concatenate()([a, b])
    outs = {"z": layers.Dense(2, name="y")(both), "m": [a * 1.0, layers.Dense(7, name="x")(b)]}
    model = keras.Model(ins, outs)
    result = shrunk(with_weights(model, a={"units": [0]}, b={"units": [1, 2]}))
    assert result.removed == {"b": 2}


def test_models_without_units() -> None:
    inputs = keras.Input((3,))
    assert shrunk(keras.Model(inputs, layers.ReLU()(inputs))).removed == {}
    first = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a")], name="m")
    model = keras.Sequential([first, layers.Dense(2, name="z")])
    assert shrunk(with_weights(model, m__a={"units": [1]})).removed == {"m/a": 1}


def test_outputs_stay() -> None:
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="a")(inputs)
    model = keras.Model(inputs, [x, layers.Dense(2, name="z")(x)])
    result = shrunk(with_weights(model, a={"units": [1]}, z={"units": [0], "rows": [2]}))
    assert result.removed == {}
    assert result.left == {
        "a": "2 idle units stay: they are outputs of the model.",
        "z": "1 idle unit stays: they are outputs of the model.",
    }


def test_the_last_unit_stays() -> None:
    model = chain((3,), layers.Dense(3, name="b"))
    result = shrunk(with_weights(model, a={"units": range(4)}, z={"rows": range(3)}))
    assert result.removed == {"a": 3, "b": 2}
    assert result.left["a"] == "1 idle unit stays: at least one unit has to."


def test_shared_layers() -> None:
    """Layers with weights stay as they are; one without may be shared."""
    one, two = keras.Input((3,)), keras.Input((3,))
    shared, relu = layers.Dense(4, name="a"), layers.ReLU()
    own = [layers.Dense(4, name=name) for name in "bc"]
    parts = [relu(after(shared(x))) for after, x in zip(own, (one, two), strict=True)]
    model = keras.Model([one, two], layers.Dense(2, name="z")(layers.Concatenate()(parts)))
    result = shrunk(with_weights(model, a={"units": [1]}, b={"units": [0]}, z={"rows": [7]}))
    assert result.removed == {"b": 1, "c": 1}
    assert result.left == {"a": "1 idle unit stays: 'a' is called more than once."}


def test_a_softmax_inside_reads_all_units() -> None:
    model = chain((3,), layers.Dense(5, "softmax", name="b"))
    result = shrunk(with_weights(model, a={"units": [1]}, b={"rows": [0]}, z={"rows": [2]}))
    assert result.removed == {"a": 2}
    assert result.left == {"b": "1 idle unit stays: the activation softmax of 'b' reads all units."}


@pytest.mark.parametrize("arguments", [{"training": True}])
def test_a_layer_called_for_training_blocks(arguments: Any) -> None:
    inputs = keras.Input((3,))
    x = layers.BatchNormalization(name="n")(layers.Dense(4, name="a")(inputs), **arguments)
    model = with_weights(keras.Model(inputs, layers.Dense(2, name="z")(x)), a={"units": [1]})
    assert (
        shrink_model(model).left["a"]
        == "1 idle unit stays: 'n' is called with more than \
tensors."
    )


@pytest.mark.parametrize(
    "made",
    [
        lambda x: 1 - 2.0 * keras.ops.relu(x + 1) / 3,
        lambda x: keras.ops.clip(abs(-x) ** 2, 0.1, 3.0),
        lambda x: keras.ops.maximum(keras.activations.gelu(x), keras.ops.tanh(x) - 0.5),
        lambda x: keras.activations.relu(x, negative_slope=0.1) * keras.ops.exp(x),
    ],
)
def test_operations_on_each_number(made: Callable[[Any], Any]) -> None:
    inputs = keras.Input((3,))
    outputs = layers.Dense(2, name="z")(made(layers.Dense(4, name="a")(inputs)))
    model = with_weights(keras.Model(inputs, outputs), a={"units": [1]}, z={"rows": [3]})
    result = shrunk(model)
    assert result.removed == {"a": 2}
    assert not result.left


def test_followed_operations_act_on_each_number_alone() -> None:
    """All of Keras' operations of one tensor: another number changes no others."""
    values = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    others = values.copy()
    others[:, 1] = 0.25
    others[2] = 0.75
    same = values == others
    followed = set()
    for name in dir(keras.ops):
        function = getattr(keras.ops, name)
        for arguments in ((), (0.5,), (0.5, 2.0)):
            inputs = keras.Input((4,))
            try:
                made = keras.Model(inputs, function(inputs, *arguments)).operations[-1]
                found = function(values, *arguments) if is_followed(made) else None
            except Exception:  # of what takes other arguments
                continue
            if found is None or type(made).__name__ in followed:
                continue
            followed.add(type(made).__name__)
            changed = keras.ops.convert_to_numpy(function(others, *arguments))
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(found)[same], changed[same])
    assert len(followed) > 50


class Own(keras.Operation):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x - keras.ops.mean(x, axis=-1, keepdims=True)

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda x: keras.ops.softmax(x), "Softmax 's' may read"),
        (lambda x: keras.ops.multiply(x, np.arange(4.0)), "more than tensors"),
        (lambda x: 1 / (x * 0.0), "reads of them varies"),  # no finite constant
    ],
)
def test_operations_that_keep_units(made: Callable[[Any], Any], said: str) -> None:
    inputs = keras.Input((3,))
    outputs = layers.Dense(2, name="z")(made(layers.Dense(4, name="a")(inputs)))
    model = with_weights(keras.Model(inputs, outputs), a={"units": [1]})
    result = shrink_model(model)
    assert result.removed == {}
    assert said.replace("'s'", repr(model.operations[2].name)) in result.left["a"]


@pytest.mark.parametrize("name", ["Own", "Relu"])
def test_operations_of_ones_own_may_read_everything(name: str) -> None:
    """Whatever their class is called."""
    kind = type(name, (Own,), {})
    inputs = keras.Input((3,))
    outputs = layers.Dense(2, name="z")(kind(name="b")(layers.Dense(4, name="a")(inputs)))
    graph = read_graph(with_weights(keras.Model(inputs, outputs), a={"units": [1]}))
    found = {call.path: each for call, each in zip(graph.calls, behaviors(graph), strict=True)}
    assert found["b"] == Blocking(f"{name} 'b' may read all channels together")


def test_constants_go_through_groups() -> None:
    """A grouped convolution stays whole; what comes after it may leave."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, name="a")(inputs)
    x = layers.Conv2D(6, 2, groups=2, activation="relu", name="b")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, name="c")(x))
    model = keras.Model(inputs, layers.Dense(2, name="z")(x))
    with_weights(model, a={"units": [1]}, b={"units": [0, 3, 4, 5]}, c={"rows": [1, 2]})
    result = shrunk(model)  # "c" reads of "b" only constants
    assert result.removed == {"c": 3}
    assert result.left["a"] == "3 idle units stay: 'b' has groups, which stay as they are."
    assert result.left["b"].endswith("'b' has groups, which stay as they are.")


def nested(kind: str) -> Any:
    body = [layers.Dense(5, "relu", name="b"), layers.Dense(6, name="c")]
    if kind == "sequential":
        return keras.Sequential([keras.Input((4,)), *body], name="m")
    inputs = keras.Input((4,))
    outputs = body[1](body[0](inputs))
    return keras.Model(inputs, {"x": outputs} if kind == "dict" else outputs, name="m")


@pytest.mark.parametrize("outer", ["sequential", "functional"])
@pytest.mark.parametrize("kind", ["sequential", "functional", "dict"])
def test_nested_models(outer: str, kind: str) -> None:
    first, inner, last = layers.Dense(4, name="a"), nested(kind), layers.Dense(2, name="z")
    if outer == "sequential":
        if kind == "dict":
            return
        model = keras.Sequential([keras.Input((3,)), first, inner, last])
    else:
        inputs = keras.Input((3,))
        x = inner(first(inputs))
        model = keras.Model(inputs, last(x["x"] if kind == "dict" else x))
    zeros = {"a": {"units": [1]}, "m__b": {"units": [2]}, "m__c": {"rows": [3]}, "z": {"rows": [5]}}
    result = shrunk(with_weights(model, **zeros))
    if kind == "dict":
        assert result.removed == {}
        assert "Functional 'm' may read" in result.left["a"]
    else:
        assert result.removed == {"a": 1, "m/b": 2, "m/c": 1}
        assert type(result.model.get_layer("m")) is type(model.get_layer("m"))


def test_a_nested_model_that_is_called_twice_stays() -> None:
    one, two = keras.Input((3,)), keras.Input((3,))
    first, inner = layers.Dense(4, name="a")(one), nested("functional")
    parts = [inner(first), inner(layers.Dense(4, name="d")(two))]
    model = keras.Model([one, two], layers.Dense(2, name="z")(layers.Add()(parts)))
    result = shrunk(with_weights(model, a={"units": [1]}, m__b={"units": [2]}))
    assert result.removed == {}
    assert "'m' may read" in result.left["a"]


@keras.saving.register_keras_serializable("tests")
class Doubled(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs * 2

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.first, self.last = layers.Dense(4, name="a"), layers.Dense(2, name="z")

    def build(self, shape: Any) -> None:
        self.first.build(shape)
        self.last.build((None, 4))

    def call(self, inputs: Any) -> Any:
        return self.last(self.first(inputs))


def test_custom_layers_leave_the_model_whole() -> None:
    for layer in (Doubled(name="own"), layers.TimeDistributed(Doubled(name="own"))):
        inputs = keras.Input((3, 3))
        x = layer(layers.Dense(4, name="a")(inputs))
        model = keras.Model(inputs, layers.Dense(2, name="z")(x))
        result = shrunk(with_weights(model, a={"units": [1]}))
        assert result.removed == result.left == {}
        assert result.reason == "'own' is a Doubled, a custom layer, which may do anything."


def test_custom_layers_in_nested_models_leave_the_model_whole() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), Doubled(name="own")], name="m")
    outer = [keras.Input((3,)), layers.Dense(4, name="a"), inner, layers.Dense(2, name="z")]
    result = shrink_model(with_weights(keras.Sequential(outer), a={"units": [1]}))
    assert result.removed == result.left == {}
    assert result.reason == "'own' is a Doubled, a custom layer, which may do anything."


def test_subclassed_models_stay_whole() -> None:
    model = Subclassed()
    model.build((None, 3))
    result = shrink_model(model)
    assert result.reason is not None
    assert result.reason == (
        f"Only its class knows how the layers of {model.name!r}, a Subclassed, are called."
    )
    assert result.total_weights == result.total_weights_before == 26
    for old, new in zip(model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(InputError, match="must be built"):
        shrink_model(keras.Sequential([layers.Dense(2)]))


def test_constants_that_are_not_finite_stay() -> None:
    model = with_weights(chain((3,), layers.Activation("exponential")), a={"units": [1]})
    kernel, bias = model.get_layer("a").get_weights()
    bias[1] = 1000.0
    model.get_layer("a").set_weights([kernel, bias])
    assert shrink_model(model).removed == {}


def test_nothing_to_remove() -> None:
    model = with_weights(chain((3,)))
    result = shrunk(model)
    assert result.removed == result.left == {}
    assert result.reason is None
    for old, new in zip(model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_type_policies_stay(policy: str) -> None:
    first = layers.Dense(4, name="a", dtype=policy)
    model = with_weights(chain((3,), first=first), a={"units": [1]}, z={"rows": [3]})
    result = shrink_model(model)
    assert result.removed == {"a": 2}
    assert [layer.dtype_policy.name for layer in result.model.layers] == [policy, "float32"]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    old, new = (keras.ops.convert_to_numpy(each(x)) for each in (model, result.model))
    np.testing.assert_allclose(new, old, atol=2e-2)


def test_quantized_layers_stay() -> None:
    model = with_weights(chain((3,), layers.Dense(4, name="b")), a={"units": [1]})
    model.get_layer("b").quantize("int8")
    result = shrink_model(model)
    assert result.removed == {}
    assert "'b' has weights of another kind" in result.left["a"]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_saved_and_loaded(tmp_path: Any, suffix: str) -> None:
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(5, 3, use_bias=False, name="a")(inputs)
    x = layers.BatchNormalization(name="n")(x)
    x = layers.Add()([x, layers.Conv2D(5, 3, activation="relu", name="b")(inputs)])
    x = nested("sequential")(layers.Dense(4, name="d")(layers.Flatten()(x)))
    model = keras.Model({"image": inputs}, {"out": layers.Dense(2, name="z")(x)})
    zeros = {"a": {"units": [1]}, "b": {"units": [1]}, "d": {"units": [0]}, "z": {"rows": [0]}}
    result = shrunk(with_weights(model, m__b={"units": [1]}, **zeros))
    assert result.removed == {"a": 1, "b": 1, "d": 1, "m/b": 1, "m/c": 1}
    result.model.save(tmp_path / f"model{suffix}")
    loaded = keras.saving.load_model(tmp_path / f"model{suffix}", compile=False)
    assert_same_outputs(model, loaded)
    assert_same_outputs(model, copy_model(result.model))


def test_nothing_global_changes() -> None:
    keras.utils.clear_session(free_memory=False)
    before = layers.Dense(1).name
    keras.utils.clear_session(free_memory=False)
    model = with_weights(chain((3,)), a={"units": [1]})
    shrink_model(model)
    assert layers.Dense(1).name == before


def channels_first(model: Sequence[Any]) -> Any:
    return keras.Sequential([keras.Input((2, 6, 6)), *model])


def test_channels_first_stay() -> None:
    model = channels_first(
        [layers.Permute((2, 3, 1)), layers.Conv2D(4, 1, name="a"),
         layers.Flatten(data_format="channels_first", name="f"), layers.Dense(2, name="z")]
    )  # fmt: skip
    result = shrunk(with_weights(model, a={"units": [1]}))
    assert result.removed == {}
    assert "'f' has its channels first" in result.left["a"]


@pytest.mark.parametrize(
    "layer",
    [
        layers.GlobalAveragePooling2D(data_format="channels_first", name="f"),
        layers.MaxPooling2D(data_format="channels_first", name="f"),
        layers.Conv2D(2, 2, data_format="channels_first", name="f"),
    ],
)
def test_channels_first_say_so(layer: Any) -> None:
    """Of the layer, not of a run of it: TensorFlow has no such convolution on a CPU."""
    places = keras.Input((4, 4, 3))
    x = layer(layers.Conv2D(4, 1, name="a")(places))
    model = keras.Model(places, layers.Dense(2, name="z")(layers.Flatten()(x)))
    result = shrink_model(with_weights(model, a={"units": [1]}))
    assert result.removed == {}
    assert "'f' has its channels first, which is not followed" in result.left["a"]
