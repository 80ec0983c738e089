"""What a model was compiled with comes as objects of their own; files that are damaged say so."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.compiled_settings import Settings, compiled_settings, load_compiled
from trimgrid.errors import InputError
from trimgrid.training import Training

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


NOT_COMPILED = Settings(no_loss="a model that is not compiled")


def build() -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])


def compiled(**settings: Any) -> Any:
    model = build()
    model.compile(**settings)
    return model


def absolute(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.abs(y_true - y_pred)


def test_a_model_that_was_not_compiled() -> None:
    assert compiled_settings(build()) == NOT_COMPILED


def test_names() -> None:
    found = compiled_settings(compiled(optimizer="adam", loss="mse", metrics=["mae", "accuracy"]))
    assert (found.loss, found.metrics) == ("mse", ("mae", "accuracy"))
    assert isinstance(found.optimizer, keras.optimizers.Adam)
    assert (found.loss_weights, found.left_out) == (None, ())
    assert Training(found.loss, found.optimizer, metrics=found.metrics).epochs == 1


def test_objects_are_new_and_the_model_stays_as_it_is() -> None:
    metric = keras.metrics.BinaryAccuracy(threshold=0.7)
    optimizer = keras.optimizers.SGD(0.25, momentum=0.5)
    loss = keras.losses.BinaryCrossentropy(label_smoothing=0.1)
    model = compiled(optimizer=optimizer, loss=loss, metrics=[metric])
    model.fit(X, X[:, :1] > 0, verbose=0)
    optimizer.learning_rate = 0.125
    before = [np.array(each) for each in (*model.variables, *optimizer.variables)]
    found = compiled_settings(model)
    assert found.optimizer is not optimizer
    assert (float(found.optimizer.learning_rate), found.optimizer.momentum) == (0.125, 0.5)
    assert int(found.optimizer.iterations) == 0
    assert found.loss is not loss
    assert found.loss.get_config() == loss.get_config()
    (fresh,) = found.metrics
    assert fresh is not metric
    assert fresh.get_config() == metric.get_config()
    for array, variable in zip(before, (*model.variables, *optimizer.variables), strict=True):
        np.testing.assert_array_equal(array, variable)
    assert model.optimizer is optimizer


def test_what_a_config_does_not_hold() -> None:
    loss = keras.losses.Huber(delta=2.0)
    assert compiled_settings(compiled(loss=loss)).loss is loss
    assert compiled_settings(compiled(loss=absolute)).loss is absolute


@pytest.mark.parametrize(
    ("loss", "weights", "metrics"),
    [
        (["mse", "mae"], [0.5, 2.0], [["mae"], ["mse", "mae"]]),
        ({"a": "mse", "b": absolute}, {"a": 0.5, "b": 2.0}, {"a": ["mae"], "b": "mse"}),
    ],
)
def test_several_outputs(loss: Any, weights: Any, metrics: Any) -> None:
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in "ab"]
    named = dict(zip("ab", outputs, strict=True)) if isinstance(loss, dict) else outputs
    model = keras.Model(inputs, named)
    model.compile(loss=loss, loss_weights=weights, metrics=metrics)
    found = compiled_settings(model)
    assert (found.loss, found.loss_weights) == (loss, weights)
    assert found.metrics == (metrics if isinstance(metrics, dict) else tuple(metrics))


def test_no_loss() -> None:
    found = compiled_settings(compiled(optimizer="sgd"))
    assert (found.loss, found.no_loss) == (None, "a model that was compiled without a loss")


def test_what_is_left_out_is_said() -> None:
    model = compiled(loss="mse", weighted_metrics=["mae"], steps_per_execution=4)
    said = compiled_settings(model).left_out
    assert [each.split(" ", 1)[0] for each in said] == ["weighted_metrics", "steps_per_execution"]
    assert (
        compiled_settings(compiled(loss="mse", run_eagerly=True))
        .left_out[0]
        .startswith("run_eagerly")
    )


@keras.saving.register_keras_serializable("compiled_settings")
class Own(keras.Sequential):  # type: ignore[misc]
    """A model with a compile() of its own."""

    def compile(self, *arguments: Any, **settings: Any) -> None:
        """As Keras'."""
        super().compile(*arguments, **settings)


class Untold(keras.metrics.Metric):  # type: ignore[misc]
    """A metric without a config."""

    def __init__(self, power: float) -> None:
        super().__init__()


def test_what_is_refused() -> None:
    own = Own([keras.Input((4,)), keras.layers.Dense(1)])
    own.compile(loss="mse")
    with pytest.raises(InputError, match=r"Received: Own, which has a compile\(\) of its own"):
        compiled_settings(own)
    model = compiled(loss="mse", metrics=[Untold(2.0)])
    with pytest.raises(InputError, match="must be copyable through its config"):
        compiled_settings(model)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("loss", ["mse", keras.losses.LogCosh()])
def test_loading(loss: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    model = compiled(optimizer=keras.optimizers.SGD(0.25), loss=loss, metrics=["mae"])
    model.fit(X, X[:, :1], verbose=0)
    model.save(path)
    loaded, found = load_compiled(path)
    for mine, its in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert getattr(found.loss, "name", found.loss) == getattr(loss, "name", loss)
    assert found.metrics == ("mae",)
    assert float(found.optimizer.learning_rate) == 0.25
    assert (found.left_out, found.no_loss) == ((), "")
    build().save(path)
    assert load_compiled(path)[1] == NOT_COMPILED


@keras.saving.register_keras_serializable("compiled_settings")
class Unsure(keras.metrics.MeanSquaredError):  # type: ignore[misc]
    """A metric, and an optimizer, that are forgotten before the file is read."""


@keras.saving.register_keras_serializable("compiled_settings")
class Step(keras.optimizers.SGD):  # type: ignore[misc]
    """An optimizer of one's own."""


@keras.saving.register_keras_serializable("compiled_settings")  # type: ignore[untyped-decorator]
def inside(y_true: Any, y_pred: Any) -> Any:
    """A loss of one's own."""
    return absolute(y_true, y_pred)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("lost", "settings"),
    [
        ("loss", {"loss": inside}),
        ("loss", {"loss": {"a": "mse", "b": inside}}),
        ("optimizer", {"optimizer": Step(0.125)}),
        ("metrics", {"metrics": [Unsure()]}),
    ],
)
def test_what_can_t_be_loaded_is_said_and_the_rest_is_there(
    lost: str,
    settings: dict[str, Any],
    suffix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"model{suffix}"
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, outputs if isinstance(settings.get("loss"), dict) else outputs[0])
    good = {"loss": "mse", "optimizer": keras.optimizers.SGD(0.25), "metrics": ["mae"]}
    if isinstance(settings.get("loss"), dict):
        good["metrics"] = {"a": ["mae"]}
    model.compile(**good | settings)
    model.save(path)
    for name in ("Unsure", "Step", "inside"):
        monkeypatch.delitem(globals(), name)
        monkeypatch.delitem(keras.saving.get_custom_objects(), f"compiled_settings>{name}")
    _, found = load_compiled(path)
    (said,) = found.left_out
    assert said.startswith(f"the {lost} fails with ")
    assert said.endswith(": left out")
    if lost == "loss":
        assert found.no_loss.startswith("a model whose loss fails with ")
    else:
        assert (found.loss, found.no_loss) == ("mse", "")
    if lost == "optimizer":
        assert found.optimizer is None
    else:
        assert float(found.optimizer.learning_rate) == 0.25
    if lost == "metrics":
        assert found.metrics is None
    else:
        assert found.metrics in (("mae",), {"a": ["mae"]})


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    compiled(loss="mse").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="must be a whole zip archive"):
        load_compiled(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({}))
    with pytest.raises(InputError, match="must be whole, and its classes known"):
        load_compiled(path)
    with pytest.raises(InputError, match="must exist"):
        load_compiled(tmp_path / "none.keras")
