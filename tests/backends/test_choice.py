"""The choice of the engine: by backend, device and what the model is made of."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from keras import layers

from trimgrid.engines import choice
from trimgrid.engines.choice import EngineChoice, choose_engine
from trimgrid.engines.layers import has_convolutions
from trimgrid.errors import InputError

JAX = keras.config.backend() == "jax"


@keras.saving.register_keras_serializable("choice")
class Holder(keras.layers.Layer):  # type: ignore[misc]
    """A layer of one's own that keeps others in an attribute, in a list and in a dict."""

    def __init__(self, where: str) -> None:
        super().__init__()
        inner = layers.Conv1D(2, 3)
        if where == "attribute":
            self.inner = inner
        elif where == "list":
            self.inner = [layers.Dense(2), inner]
        else:
            self.inner = {"a": layers.Dense(2), "b": inner}


def sequential(*parts: Any) -> keras.Model:
    return keras.Sequential(list(parts))


def shared_twice() -> keras.Model:
    """The same inner model twice: looking through it must end."""
    x = keras.Input((8, 8, 1))
    inner = sequential(keras.Input((8, 8, 1)), layers.Conv2D(1, 3, padding="same"))
    return keras.Model(x, inner(inner(x)))


WITH: dict[str, Any] = {
    "Conv1D": lambda: sequential(layers.Conv1D(2, 3)),
    "Conv2D": lambda: sequential(layers.Conv2D(2, 3)),
    "Conv3D": lambda: sequential(layers.Conv3D(2, 3)),
    "Conv2DTranspose": lambda: sequential(layers.Conv2DTranspose(2, 3)),
    "DepthwiseConv1D": lambda: sequential(layers.DepthwiseConv1D(3)),
    "SeparableConv2D": lambda: sequential(layers.SeparableConv2D(2, 3)),
    "ConvLSTM2D": lambda: sequential(layers.ConvLSTM2D(2, 3)),
    "nested": lambda: sequential(sequential(sequential(layers.Conv2D(2, 3)))),
    "shared": shared_twice,
    "TimeDistributed": lambda: sequential(layers.TimeDistributed(layers.Conv2D(2, 3))),
    "attribute": lambda: sequential(Holder("attribute")),
    "list": lambda: sequential(Holder("list")),
    "dict": lambda: sequential(Holder("dict")),
}
WITHOUT: dict[str, Any] = {
    "Dense": lambda: sequential(layers.Dense(2)),
    "LSTM": lambda: sequential(layers.Bidirectional(layers.LSTM(2))),
    "attention": lambda: sequential(layers.MultiHeadAttention(2, 2)),
    "pooling": lambda: sequential(layers.MaxPooling2D()),
}


@pytest.mark.parametrize("name", WITH)
def test_convolutions_are_found(name: str) -> None:
    assert has_convolutions(WITH[name]())


@pytest.mark.parametrize("name", WITHOUT)
def test_other_layers_are_none(name: str) -> None:
    assert not has_convolutions(WITHOUT[name]())


@pytest.mark.parametrize(
    ("backend", "platform", "build", "engine", "reason"),
    [
        ("jax", "cpu", WITHOUT["Dense"], "vectorized", "one program"),
        ("jax", "cpu", WITH["Conv2D"], "sequential", "KERAS_BACKEND=tensorflow"),
        ("jax", "gpu", WITH["Conv2D"], "vectorized", "one program"),
        ("tensorflow", "cpu", WITHOUT["Dense"], "sequential", "needs JAX"),
        ("tensorflow", "cpu", WITH["Conv2D"], "sequential", "faster than JAX"),
        ("tensorflow", "gpu", WITH["Conv2D"], "sequential", "needs JAX"),
        ("torch", "gpu", WITH["Conv2D"], "sequential", "needs JAX"),
    ],
)
def test_auto(
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    platform: str,
    build: Any,
    engine: str,
    reason: str,
) -> None:
    model = build()
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    monkeypatch.setattr(choice, "_platform", lambda: platform)
    monkeypatch.setattr(choice, "gpu_at_hand", lambda: platform == "gpu")
    chosen = choose_engine(model)
    assert chosen.engine == engine
    assert reason in chosen.reason


def test_what_is_asked_for_is_taken_whatever_the_model() -> None:
    model = WITH["Conv2D"]()
    assert choose_engine(model, "sequential").engine == "sequential"
    if JAX:
        assert choose_engine(model, "vectorized").engine == "vectorized"
    else:
        with pytest.raises(InputError, match="KERAS_BACKEND=jax"):
            choose_engine(model, "vectorized")


def test_an_unknown_engine() -> None:
    with pytest.raises(InputError, match=r"auto, vectorized, sequential.*engine='fast'"):
        choose_engine(WITHOUT["Dense"](), "fast")


def test_the_line_says_engine_backend_devices_and_reason() -> None:
    backend = keras.config.backend()
    line = EngineChoice("sequential", "as asked for").describe()
    assert line == f"Engine: sequential on {backend}: as asked for."
    if JAX:
        import jax

        line = EngineChoice("vectorized", "as asked for").describe()
        count = jax.local_device_count()
        assert line.startswith(
            f"Engine: vectorized on jax, {count} {jax.default_backend().upper()}"
        )
