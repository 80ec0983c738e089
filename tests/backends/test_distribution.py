"""Distributions of Keras that a study takes, and those that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import distribution as kd
from keras import layers

from trimgrid import InputError, Study
from trimgrid.engines.choice import choose_engine
from trimgrid.engines.distribution import check_distribution, distribution_settings, scope_of
from trimgrid.engines.even_batches import EvenBatches
from trimgrid.training import Training

JAX = keras.config.backend() == "jax"
on_jax = pytest.mark.skipif(not JAX, reason="Keras spreads models on JAX only")
X = np.random.default_rng(0).random((24, 6), dtype="float32")


def model_of() -> Any:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")], name="m"
    )


def study_of(distribution: Any, batch_size: int = 8, train: Any = None) -> Study:
    return Study(
        model_of(),
        (X, X[:, :2]) if train is None else train,
        test=(X, X[:, :2]),
        loss="mse",
        epochs=1,
        batch_size=batch_size,
        distribution=distribution,
    )


def split(**layouts: Any) -> Any:
    """A model that is split over two devices, by patterns with "_" in place of "/"."""
    found = kd.LayoutMap(kd.DeviceMesh((1, 2), ["batch", "model"], devices=["cpu:0", "cpu:1"]))
    for pattern, axes in layouts.items():
        found[pattern.replace("_", "/")] = axes
    return kd.ModelParallel(layout_map=found)


def overlapping() -> Any:
    found = kd.LayoutMap(kd.DeviceMesh((1, 2), ["batch", "model"], devices=["cpu:0", "cpu:1"]))
    found[".*kernel"] = found["m/a.*"] = ("model",)
    return kd.ModelParallel(layout_map=found)


def stream() -> Any:
    yield X[:9], X[:9, :2]
    yield X[:4], X[:4, :2]


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: "DataParallel", {}, r"DataParallel or ModelParallel\. Received: .*='DataParallel'"),
    (lambda: kd.DataParallel, {}, r"Received: distribution=<class.*Give for example"),
    (kd.DataParallel, {"batch_size": 5}, r"batches of 5 examples for 2 shares.*of 4 or 6\."),
    (kd.DataParallel, {"batch_size": 1}, r"batches of 1 examples for 2 shares.*batches of 2\."),
    (kd.DataParallel, {"train": stream}, r"batches of 9 examples for 2 shares"),
    (lambda: kd.DataParallel(devices=["cpu:0", "cpu:7"]), {}, r"Received: 'cpu:7' in"),
    (lambda: kd.DataParallel(devices=["cpu:0", "cpu:0"]), {}, r"each once. Received: 'cpu:0' in"),
    (lambda: split(a_kernel=("model", None)), {}, r"match none of the paths 'm/a/kernel', "),
    (
        lambda: split(m_a_kernel=(None, "model")),
        {},
        r"'model'\) for 'm/a/kernel' of shape \(6, 3\)",
    ),
    (lambda: split(m_a_bias=(None, "model")), {}, r"for 'm/a/bias' of shape \(3,\)"),
    (overlapping, {}, r"one layout\. Received: Path 'm/a/kernel' matches multiple"),
]


@on_jax
@pytest.mark.parametrize(("distribution", "options", "message"), REFUSED)
def test_what_is_refused(distribution: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study_of(distribution(), **options)


@pytest.mark.skipif(JAX, reason="JAX is the backend on which it works")
def test_another_backend_is_refused() -> None:
    device = keras.distribution.list_devices("cpu")[:1]
    with pytest.raises(InputError, match="Received: DataParallel on the backend 'tensorflow'"):
        study_of(kd.DataParallel(devices=device))


@on_jax
def test_several_processes_and_other_models_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    base = type("Model", (), {"__module__": "tf_keras.src.engine.training"})
    old = type("Own", (base,), {"__module__": "mine", "name": "old", "built": True})()
    data, training = study_of(None).data.train, Training("mse", batch_size=8)
    with pytest.raises(InputError, match="Received: DataParallel for the tf_keras model 'old'"):
        check_distribution(kd.DataParallel(), old, data, training)
    monkeypatch.setattr(kd.DataParallel, "num_processes", 3)
    with pytest.raises(InputError, match="Received: DataParallel for 3 processes"):
        check_distribution(kd.DataParallel(), model_of(), data, training)


@on_jax
def test_the_engine_is_the_sequential_one() -> None:
    chosen = choose_engine(model_of(), distribution=kd.DataParallel())
    assert (chosen.engine, chosen.reason) == (
        "sequential",
        "each attempt is trained by DataParallel on 2 devices",
    )
    with pytest.raises(InputError, match=r"engine='vectorized' with DataParallel on 2 devices"):
        choose_engine(model_of(), "vectorized", kd.DataParallel())


@on_jax
def test_settings_tell_what_is_laid_out_not_how_it_was_written() -> None:
    model = model_of()
    named, patterned = split(m_a_kernel=("model", None)), kd.LayoutMap(split(x=()).device_mesh)
    patterned[".*a/ker.*"] = ("model", None)
    settings = distribution_settings(named, model)
    assert settings["layouts"] == {"m/a/kernel": ["model", None]}
    assert settings == distribution_settings(kd.ModelParallel(layout_map=patterned), model)
    assert settings != distribution_settings(split(m_b_kernel=("model", None)), model)
    assert settings != distribution_settings(kd.DataParallel(), model)


@on_jax
def test_the_distribution_that_was_current_is_so_again() -> None:
    outer, inner = kd.DataParallel(), kd.DataParallel()
    with outer.scope():
        with pytest.raises(TypeError), scope_of(inner):
            len(kd.distribution())  # as where a training fails
        with scope_of(inner):
            assert kd.distribution() is inner
        assert kd.distribution() is outer
    assert kd.distribution() is None


@given(st.integers(1, 9), st.sets(st.integers(1, 40), max_size=6))
def test_filled_batches_divide_and_are_told_apart(shares: int, sizes: set[int]) -> None:
    filled = EvenBatches.among(shares, sizes).filled
    assert set(filled) == {size for size in sizes if size % shares}
    ends = [filled.get(size, size) for size in sizes]
    assert all(end % shares == 0 for end in ends)
    assert len(set(ends)) == len(sizes)
    assert all(end >= size for size, end in zip(sizes, ends, strict=True))


def test_a_filled_batch_is_cut_to_its_rows() -> None:
    even = EvenBatches.among(4, [8, 7])
    batch = {"a": np.arange(7.0), "b": np.zeros((7, 2))}, np.arange(7)
    filled = even.fill(batch)
    assert [each.shape for each in keras.tree.flatten(filled)] == [(12,), (12, 2), (12,)]
    cut = even.cut(lambda state, found: found)(None, filled)
    keras.tree.map_structure(np.testing.assert_array_equal, cut, batch)
    whole = np.zeros((8, 2)), np.zeros(8)
    assert even.fill(whole) is whole
