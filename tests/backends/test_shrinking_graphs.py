"""Random graphs with idle units: the same outputs, smaller, and nothing left to do afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from trimgrid import copy_model, shrink_model
from trimgrid.shrinking.groups import tied_groups

WIDTH = 4
SIMPLE = {
    "pool": lambda name: layers.AveragePooling2D(2, strides=1, padding="same", name=name),
    "largest": lambda name: layers.MaxPooling2D(2, strides=1, padding="same", name=name),
    "depthwise": lambda name: layers.DepthwiseConv2D(2, padding="same", name=name),
    "separable": lambda name: layers.SeparableConv2D(WIDTH, 2, padding="same", name=name),
    "transposed": lambda name: layers.Conv2DTranspose(WIDTH, 2, padding="same", name=name),
    "padded": lambda name: layers.ZeroPadding2D(1, name=name),
    "slopes": lambda name: layers.PReLU(shared_axes=[1, 2], name=name),
    "turned": lambda name: layers.Permute((2, 1, 3), name=name),
    "mixed": lambda name: layers.LayerNormalization(name=name),
}
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": keras.ops.relu,
    "gelu": keras.activations.gelu,
    "scaled": lambda x: x * 2.0 - 1,
    "from one": lambda x: 1 - x / 2,
    "clipped": lambda x: keras.ops.clip(-x, -0.5, 2.0),
    "square": lambda x: abs(x) ** 2 / 4,
    "with itself": lambda x: keras.ops.maximum(x, keras.ops.tanh(x)),
}
FORMS = [*SIMPLE, "conv", "conv", "norm", "act", "sum", "sum", "concat", "product", "groups"]
FORMS += [*OPERATIONS]
ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid"]


def convolved(draw: Any, images: list[Any], name: str) -> Any:
    """One more tensor of places and channels, made of those there are."""
    x = draw(st.sampled_from(images))
    form = draw(st.sampled_from(FORMS))
    others = [each for each in images if each.shape == x.shape]
    if form == "conv":
        return layers.Conv2D(
            WIDTH,
            draw(st.sampled_from([1, 2])),
            padding=draw(st.sampled_from(["same", "valid"])) if x.shape[1] > 1 else "same",
            use_bias=draw(st.booleans()),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            name=name,
        )(x)
    if form == "groups":
        groups = 2 if x.shape[-1] % 2 == 0 else 1
        return layers.Conv2D(WIDTH, 2, padding="same", groups=groups, name=name)(x)
    if form in OPERATIONS:
        return OPERATIONS[form](x)
    if form == "norm":
        return layers.BatchNormalization(scale=draw(st.booleans()), name=name)(x)
    if form == "act":
        return layers.Activation(draw(st.sampled_from(ACTIVATIONS)), name=name)(x)
    if form in SIMPLE:
        return SIMPLE[form](name)(x)
    if form == "concat":
        return layers.Concatenate(name=name)([x, draw(st.sampled_from(others))])
    kind = layers.Add if form == "sum" else layers.Multiply
    return kind(name=name)([x, draw(st.sampled_from(others))])


@pytest.fixture(autouse=True, scope="module")
def _no_random_weights() -> Iterator[None]:
    """Weights begin with zeros: JAX compiles random ones for each shape."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.GlorotUniform, "__call__", zeros_instead)
        yield


def zeros_instead(_: Any, shape: Any, dtype: Any = None) -> Any:
    return keras.ops.convert_to_tensor(np.zeros(shape, "float32"), dtype)


def random_model(draw: Any) -> Any:
    """A functional model of two inputs and two outputs, with some units made idle.

    Its layer "idle" has a unit without incoming weights that only the Dense "last" reads.
    """
    image, vector = keras.Input((4, 4, 2), name="image"), keras.Input((3,), name="vector")
    images = [image, layers.Conv2D(WIDTH, 1, name="first")(image)]
    for number in range(draw(st.integers(1, 5))):
        images.append(convolved(draw, images[1:], f"image_{number}"))
    if draw(st.booleans()):
        flat = layers.Flatten(name="flat")(images[-1])
    else:
        flat = layers.GlobalAveragePooling2D(name="flat")(images[-1])
    flats = [layers.Dense(WIDTH, "relu", name="narrow")(flat)]
    flats.append(layers.Dense(WIDTH, name="beside")(vector))
    for number in range(draw(st.integers(0, 3))):
        parts = [draw(st.sampled_from(flats)) for _ in range(2)]
        kind = draw(st.sampled_from([layers.Add, layers.Concatenate, layers.Maximum]))
        joined = kind(name=f"join_{number}")(parts)
        act = draw(st.sampled_from(ACTIVATIONS))
        if draw(st.booleans()):
            joined = OPERATIONS[draw(st.sampled_from([*OPERATIONS]))](joined)
        flats.append(layers.Dense(WIDTH, act, name=f"flat_{number}")(joined))
    idle = layers.Dense(WIDTH, "tanh", name="idle")(layers.Concatenate(name="all")(flats))
    last = layers.Dense(2, name="last")(idle)
    model = keras.Model([image, vector], {"last": last, "other": layers.Dense(1)(flats[-1])})
    put_weights(model, draw(st.integers(0, 2**16)), draw(st.floats(0.0, 0.6)))
    return model


def put_weights(model: Any, seed: int, share: float) -> None:
    """Random weights; each unit loses its incoming or outgoing ones with a probability."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        arrays = []
        for weight in layer.weights:
            array = generator.normal(size=weight.shape) * generator.choice([0.0, 1.0], p=[0.1, 0.9])
            if weight.name in ("moving_variance", "gamma"):
                array = generator.uniform(0.5, 2.0, weight.shape)
            if weight.name in ("kernel", "gamma", "pointwise_kernel"):
                array[..., generator.random(array.shape[-1]) < share] = 0
            if weight.name in ("kernel", "pointwise_kernel") and array.ndim > 1:
                array[..., generator.random(array.shape[-2]) < share, :] = 0
            arrays.append(array)
        layer.set_weights(arrays)
    kernel, bias = model.get_layer("idle").get_weights()
    kernel[:, 1] = 0
    kernel[:, 0] = 1  # so that another unit varies
    model.get_layer("idle").set_weights([kernel, bias])


def outputs(model: Any) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    inputs = [generator.normal(size=(6, *each.shape[1:])).astype("float32") for each in model.input]
    found = model(inputs, training=False)
    return {name: keras.ops.convert_to_numpy(each) for name, each in found.items()}


@pytest.mark.parametrize("examples", [8, pytest.param(80, marks=pytest.mark.slow)])
def test_a_shrunken_graph_is_the_same_function(examples: int) -> None:
    limits = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    limits(given(st.data())(check_a_graph))()


def check_a_graph(data: Any) -> None:
    model = random_model(data.draw)
    before, expected = model.get_weights(), outputs(model)
    result = shrink_model(model)
    assert result.reason is None
    assert result.removed["idle"] >= 1
    assert result.total_weights < result.total_weights_before
    found = outputs(result.model)
    for name, each in expected.items():
        scale = max(1.0, float(np.abs(each).max()))
        np.testing.assert_allclose(found[name], each, rtol=0, atol=1e-5 * scale)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    again = shrink_model(result.model)
    assert again.removed == {}
    copy = copy_model(result.model)
    for old, new in zip(result.model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_what_ties_reach(ties: list[tuple[int, int]]) -> None:
    """Beside a search that follows one tie after the other."""
    reached = [{each} for each in range(20)]
    for _ in range(20):
        for one, other in ties:
            reached[one] |= reached[other]
            reached[other] |= reached[one]
    pairs = [(np.array([one]), np.array([other])) for one, other in ties]
    assert tied_groups(20, pairs).tolist() == [min(each) for each in reached]
