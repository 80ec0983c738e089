"""Studies of tf_keras models, from the model to the files to ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from tests.tfmot.legacy_models import X, Y, bidirectional, cnn, embedding, inputs_of, lstm, mlp
from trimgrid import (
    AttemptConfig,
    ConstantSparsity,
    Cosine,
    Distillation,
    IterativePruning,
    OneShot,
    PolynomialDecay,
    Study,
    article_grid,
    build_pruning_model,
    prunable_variables,
    retrieve_size_of_lite_model,
)
from trimgrid.engines.tfmot import TfmotEngine
from trimgrid.errors import InputError, RunError
from trimgrid.export.files import ModelWriter, measure_model, write_keras
from trimgrid.models import copy_model
from trimgrid.run_directory.store import read_manifest
from trimgrid.runs.checking import ORIGINAL

HALF = AttemptConfig("half", ConstantSparsity(0.5, frequency=2))
MOST = AttemptConfig("most", PolynomialDecay(0.1, 0.9, frequency=2), learning_rate=0.01)


def study(model: Any, **options: Any) -> Study:
    x = inputs_of(model)
    settings: dict[str, Any] = {
        "train": (x[:32], Y[:32]),
        "validation": (x[32:40], Y[32:40]),
        "test": (x[40:], Y[40:]),
        "loss": "mse",
        "epochs": 2,
        "batch_size": 8,
        "seed": 1,
    } | options
    return Study(model, **settings)


def run(of: Study, folder: Path, grid: Any = (HALF, MOST), **options: Any) -> Any:
    return of.run(grid, folder, **({"tflite": False, "progress": False} | options))


def test_a_study_from_the_model_to_the_files(tmp_path: Path) -> None:
    model = mlp()
    model.compile(tf_keras.optimizers.Adam(0.02), loss="mse", metrics=["mae"])
    before, said = model.get_weights(), list[str]()
    results = run(
        study(model, loss=None, pretrain_epochs=2), tmp_path / "run", tflite=True, say=said.append
    )
    assert said == [
        "Engine: tfmot on tf_keras: TFMOT trains tf_keras models, one attempt after the other."
    ]
    assert [(info.name, info.status) for info in results] == [
        (name, "ok") for name in (ORIGINAL, "half", "most")
    ]
    for mine, its in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    settings = read_manifest(tmp_path / "run").settings
    assert settings["engine"] == "tfmot"
    assert {"tensorflow", "tf_keras", "tfmot"} <= settings["versions"].keys()
    assert settings["training"]["optimizer"]["config"]["learning_rate"] == pytest.approx(0.02)
    half = results["half"]
    assert list(half.history) == ["seed", "epoch", "loss", "mae", "val_loss", "val_mae"]
    assert half.unzippedlt_size < half.keras_size
    assert half.error == pytest.approx(float(np.mean((half.y_pred - Y[40:]) ** 2)), rel=1e-5)
    kernels = [each for each in half.details.tensors if each.reason is None]
    assert [(each.path, each.zeros) for each in kernels] == [("a/kernel", 24), ("b/kernel", 6)]
    assert half.details.updates[-1] == (8, 0.5)
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert results.to_dicts()[1]["name"] == "half"

    loaded = half.load()
    assert isinstance(loaded, tf_keras.Sequential)
    np.testing.assert_allclose(loaded.predict(X[40:], verbose=0), half.y_pred, rtol=1e-5)
    for ending, quantize in (("tflite", "int8"), ("h5", "none"), ("keras", "none")):
        exported = half.export(tmp_path / f"small.{ending}", quantize)
        assert exported.max_difference <= 0.05 * exported.output_range, ending
        assert exported.keras_error == pytest.approx(half.error, rel=1e-5)
    old = tf_keras.models.load_model(tmp_path / "small.h5")
    np.testing.assert_array_equal(old.get_weights()[0], loaded.get_weights()[0])
    assert [layer.name for layer in old.layers] == [layer.name for layer in model.layers]
    whole = half.export(tmp_path / "small.tflite", sparse=True, shrink=True)
    assert whole.sparse is False  # so few weights take no less room without their zeros
    assert "tf_keras" in whole.shrunk["reason"]
    measured = half.measure_latency(seconds=0.3)
    assert results["half"].latency_ms == measured.all_of("dynamic")[1].milliseconds[1].median
    with pytest.raises(RunError, match="Keras 2 has no quantized layers"):
        half.export(tmp_path / "other.keras", "int8")


@pytest.mark.parametrize(
    "build",
    [
        lstm,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (cnn, embedding, bidirectional)),
    ],
)
def test_other_layers(build: Any, tmp_path: Path) -> None:
    results = run(study(build()), tmp_path, [HALF], tflite=True)
    assert {info.status for info in results} == {"ok"}
    half = results["half"]
    pruned = [each for each in half.details.tensors if each.reason is None]
    assert pruned
    for each in pruned:
        assert each.zeros == each.weights - round(each.weights * 0.5), each.path
    exported = half.export(tmp_path / "small.h5")
    assert exported.max_difference == 0


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(study(mlp(), pretrain_epochs=1), tmp_path / "whole").to_dicts()
    train, trained = TfmotEngine.train, list[str]()

    def stopped(self: Any, tasks: Any, *rest: Any) -> Any:
        for place, found in train(self, tasks, *rest):
            trained.append(tasks[place].name)
            if tasks[place].name == "most":
                raise KeyboardInterrupt
            yield place, found

    monkeypatch.setattr(TfmotEngine, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(study(mlp(), pretrain_epochs=1), tmp_path / "run")
    monkeypatch.setattr(TfmotEngine, "train", train)
    seen: list[str] = []
    again = run(
        study(mlp(), pretrain_epochs=1), tmp_path / "run", on_result=lambda i: seen.append(i.name)
    )
    assert trained == [ORIGINAL, "half", "most"]
    assert seen == trained
    assert again.to_dicts() == whole


def test_without_a_grid_it_is_the_articles(tmp_path: Path) -> None:
    of = study(mlp(), train=(X[:8], Y[:8]), epochs=1)
    assert of.recommended_grid() == article_grid()


def test_streams_weights_and_repeats(tmp_path: Path) -> None:
    batches = [(X[start : start + 8], Y[start : start + 8]) for start in (0, 8, 16)]
    results = run(study(mlp(), train=batches), tmp_path / "stream", [HALF], repeats=2)
    assert len(set(results["half"].errors)) == 2
    weighted = (X[:32], Y[:32], np.linspace(0, 1, 32, dtype="float32"))
    (_, one), (_, other) = (
        run(study(mlp(), train=train), tmp_path / f"{place}", [HALF])
        for place, train in enumerate((weighted, weighted[:2]))
    )
    assert one.error != other.error


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (replace(HALF, allocation="lamp"), "Received: allocation='lamp'"),
        (replace(HALF, min_kept=3), "Received: min_kept=3"),
        (replace(HALF, structure="2:4"), "Received: structure=NofM(n=2, m=4)"),
        (replace(HALF, overrides={"a/kernel": 0.1}), "Received: overrides="),
        (replace(HALF, distillation=Distillation()), "Received: distillation="),
        (replace(HALF, learning_rate=Cosine(0.01)), "Received: learning_rate=Cosine"),
        (replace(HALF, learning_rate="rewind"), "Received: learning_rate='rewind'"),
        (AttemptConfig("cut", OneShot(0.5)), "Received: pruning_schedule=OneShot"),
        (
            AttemptConfig("rounds", IterativePruning(0.5, rewind="weights")),
            "Received: pruning_schedule=IterativePruning",
        ),
    ],
)
def test_what_tfmot_has_no_counterpart_for(
    attempt: AttemptConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        run(study(mlp()), tmp_path / "run", [attempt])
    assert message in str(raised.value)
    assert "load the model into Keras 3" in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_other_refusals(tmp_path: Path) -> None:
    import tensorflow_model_optimization as tfmot

    of = study(mlp())
    with pytest.raises(InputError, match="vectorized engine trains models of Keras 3"):
        run(of, tmp_path, engine="vectorized")
    with pytest.raises(InputError, match="engine must be one of auto"):
        run(of, tmp_path, engine="tfmot")
    with pytest.raises(InputError, match="A scan is one of a model of Keras 3"):
        of.scan(3)
    with pytest.raises(InputError, match="A sensitivity is one of a model of Keras 3"):
        of.sensitivity()
    with pytest.raises(InputError, match="A search is one of a model of Keras 3"):
        of.search(run_dir=tmp_path / "run")
    with pytest.raises(InputError, match=r"Give strip_pruning\(model\)"):
        study(tfmot.sparsity.keras.prune_low_magnitude(mlp()))

    class Own(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = tf_keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    own = Own()
    own.build((None, 4))
    with pytest.raises(InputError, match="TFMOT prunes Sequential and functional models"):
        Study(own, (X, Y), test=(X, Y), loss="mse", epochs=1)
    with pytest.raises(InputError, match="needs the loss"):
        study(mlp(), loss=None)
    with pytest.raises(InputError, match=r"must fit the model\. Received: shape \(32, 3\)"):
        study(mlp(), train=(X[:32, :3], Y[:32]))
    bare = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.BatchNormalization()])
    with pytest.raises(InputError, match="must have weights that can be pruned"):
        Study(bare, (X, X), test=(X, X), loss="mse", epochs=1)


def test_sequential_is_what_tfmot_does(tmp_path: Path) -> None:
    run(study(mlp()), tmp_path, [HALF], engine="sequential")
    assert read_manifest(tmp_path).settings["engine"] == "tfmot"


def test_a_schedule_of_tfmot_means_what_it_means_there(tmp_path: Path) -> None:
    import tensorflow_model_optimization as tfmot

    schedule = tfmot.sparsity.keras.PolynomialDecay(0.1, 0.9, 2, 8, frequency=3)
    half = run(study(mlp()), tmp_path, [AttemptConfig("decay", schedule)])["decay"]
    steps, sparsities = zip(*half.details.updates, strict=True)
    assert steps == (1, 4, 7)  # in front of TFMOT's batches 2, 5 and 8 of 8
    expected = [float(schedule(batch)[1]) for batch in (2, 5, 8)]
    assert sparsities == pytest.approx(expected)
    kernel = half.details.tensors[0]
    assert kernel.zeros == kernel.weights - round(kernel.weights * (1 - expected[-1]))


def test_errors_and_objects_of_tf_keras(tmp_path: Path) -> None:
    options = {
        "loss": tf_keras.losses.Huber(delta=0.5),
        "optimizer": tf_keras.optimizers.SGD(0.1),
        "metrics": [tf_keras.metrics.MeanAbsoluteError()],
        "error": tf_keras.metrics.MeanAbsoluteError(),
    }
    one = study(mlp(), **options)
    assert isinstance(one.training.loss, keras.losses.Huber)
    half = run(one, tmp_path, [HALF])["half"]
    assert half.error == pytest.approx(float(np.abs(half.y_pred - Y[40:]).mean()), rel=1e-5)


def test_copies_and_files_of_tf_keras_models(tmp_path: Path) -> None:
    model = bidirectional()
    model.layers[-1].trainable = False
    copy = copy_model(model)
    assert [layer.trainable for layer in copy.layers] == [layer.trainable for layer in model.layers]
    assert not {id(each) for each in copy.variables} & {id(each) for each in model.variables}
    weights = [np.float32(np.random.default_rng(1).random(a.shape)) for a in model.get_weights()]
    writer = ModelWriter(model)
    (tmp_path / "writer").mkdir()
    sizes = writer.measure(weights, tmp_path / "writer")
    model.set_weights(weights)
    (tmp_path / "model").mkdir()
    assert measure_model(model, tmp_path / "model") == sizes
    for name in ("model.h5", "model.keras"):
        one, other = (tmp_path / folder / name for folder in ("writer", "model"))
        assert one.read_bytes() == other.read_bytes(), name
    write_keras(model, tmp_path / "again.keras")
    assert (tmp_path / "again.keras").read_bytes() == one.read_bytes()


@tf_keras.saving.register_keras_serializable("studies")
class Nested(tf_keras.Model):  # type: ignore[misc]
    """A model with a weight of its own, to be put into another."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = tf_keras.layers.Dense(4)
        self.scale = self.add_weight(name="scale", shape=(4, 4))

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs) @ self.scale

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def with_nested() -> Any:
    inputs = tf_keras.Input((4,))
    return tf_keras.Model(inputs, tf_keras.layers.Dense(1)(Nested(name="inner")(inputs)))


def with_function() -> Any:
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [layers.Input((4,)), layers.Lambda(lambda rows: rows * 2), layers.Dense(1)]
    )


def test_what_has_no_copy_is_refused() -> None:
    with pytest.raises(InputError, match=r"A model must be copyable through its config\. Received"):
        study(with_function())


def test_a_model_inside_with_a_weight_of_its_own(tmp_path: Path) -> None:
    half = run(study(with_nested()), tmp_path, [HALF])["half"]
    reasons = {each.path: each.reason for each in half.details.tensors}
    assert [each for each in reasons.values() if each is None] == [None]
    assert "TFMOT can't prune Functional" in reasons.values()


@pytest.mark.filterwarnings("ignore:Mixed precision")
def test_mixed_precision(tmp_path: Path) -> None:
    """The policy counts with which a model was made, whatever it is later."""
    layers = tf_keras.layers
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = tf_keras.Sequential(
            [layers.Input((4,)), layers.Dense(8), layers.Dense(1, dtype="float32")]
        )
        model.compile("adam", loss="mse")
        one = study(model, loss=None)
        first = run(one, tmp_path / "mixed", [HALF])["half"]
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert isinstance(one.training.optimizer, keras.optimizers.Adam)
    other = run(study(model, loss=None), tmp_path / "later", [HALF])["half"]
    assert first.error == other.error
    assert [int((each == 0).sum()) for each in other.load().get_weights()[::2]] == [16, 4]
    policies = [layer.dtype_policy.name for layer in other.load().layers]
    assert policies == ["mixed_float16", "float32"]


def test_an_attempt_has_an_optimizer_of_tf_keras(tmp_path: Path) -> None:
    mine = replace(HALF, optimizer=tf_keras.optimizers.SGD(0.05))
    its = replace(HALF, name="its", optimizer=keras.optimizers.SGD(0.05))
    _, one, other = run(study(mlp()), tmp_path, [mine, its])
    assert one.error == other.error


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    model, said = mlp(), list[str]()
    model.compile("adam", "mse", run_eagerly=True, steps_per_execution=2)
    run(study(model, loss=None), tmp_path, [HALF], say=said.append)
    assert any("run_eagerly is left out" in line for line in said)
    assert any("steps_per_execution is left out" in line for line in said)


def test_the_helpers_of_the_article() -> None:
    model = mlp()
    plain, zipped = retrieve_size_of_lite_model(model)
    assert plain > zipped > 0
    message = r"Received: 'a/kernel:0'.*Give a tf_keras model to a"
    with pytest.raises(InputError, match=message):
        build_pruning_model(model, ConstantSparsity(0.5))
    with pytest.raises(InputError, match=message):
        prunable_variables(model.variables)
