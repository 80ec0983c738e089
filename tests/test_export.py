from __future__ import annotations

import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.errors import InputError
from trimgrid.export import files as export
from trimgrid.export.files import ModelWriter, measure_model, write_h5, write_keras
from trimgrid.sizes import measure_file


def mlp() -> Any:
    return keras.Sequential(
        [
            keras.Input((1,), name="input_layer"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(64, activation="relu", name="dense_1"),
            layers.Dense(32, activation="relu", name="dense_2"),
            layers.Dense(1, name="dense_3"),
        ],
        name="mlp_regression_model",
    )


def lstm() -> Any:
    return keras.Sequential(
        [
            keras.Input((6, 1), name="input_layer"),
            layers.LSTM(80, activation="tanh", name="lstm"),
            layers.Dense(1, name="dense"),
        ],
        name="long_short_term_memory_model",
    )


def cnn() -> Any:
    stages = []
    for end in ("", "_1", "_2"):
        stages.append(layers.Conv2D(32, 3, activation="tanh", name=f"conv2d{end}"))
        stages.append(layers.MaxPooling2D(name=f"max_pooling2d{end}"))
    return keras.Sequential(
        [
            keras.Input((180, 180, 3), name="input_layer"),
            *stages,
            layers.Flatten(name="flatten"),
            layers.Dense(128, activation="tanh", name="dense"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(5, name="dense_1"),
        ],
        name="cnn_model",
    )


@pytest.fixture
def trained() -> Any:
    model = mlp()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    return model


@pytest.fixture
def notices() -> Iterator[list[str]]:
    """What reaches the handlers of absl's logger."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect()
    logging.getLogger("absl").addHandler(handler)
    yield messages
    logging.getLogger("absl").removeHandler(handler)


@pytest.mark.parametrize(("build", "h5_bytes"), [(mlp, 37_080), (lstm, 121_112), (cnn, 6_665_504)])
def test_the_article_models_weigh_what_legacy_keras_writes(
    build: Callable[[], Any], h5_bytes: int
) -> None:
    sizes = measure_model(build())
    assert sizes.h5.plain == h5_bytes
    assert sizes.h5.zipped < sizes.h5.plain
    assert sizes.keras.zipped < sizes.keras.plain


@pytest.mark.parametrize(("write", "suffix"), [(write_h5, ".h5"), (write_keras, ".keras")])
def test_a_written_file_loads_and_predicts_the_same(
    write: Callable[[Any, Path], None], suffix: str, trained: Any, tmp_path: Path
) -> None:
    file = tmp_path / f"model{suffix}"
    write(trained, file)
    loaded = keras.saving.load_model(file, safe_mode=True)
    x = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), trained.predict(x, verbose=0))
    assert not loaded.compiled
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(("write", "suffix"), [(write_h5, ".h5"), (write_keras, ".keras")])
def test_the_optimizer_stays_out_of_the_file_and_on_the_model(
    write: Callable[[Any, Path], None], suffix: str, trained: Any, tmp_path: Path
) -> None:
    before = [np.asarray(keras.ops.convert_to_numpy(v)) for v in trained.optimizer.variables]
    write(trained, tmp_path / f"trained{suffix}")
    write(mlp(), tmp_path / f"plain{suffix}")
    sizes = [(tmp_path / f"{name}{suffix}").stat().st_size for name in ("trained", "plain")]
    assert sizes[0] == sizes[1]
    assert b"adam" not in (tmp_path / f"trained{suffix}").read_bytes()
    after = [np.asarray(keras.ops.convert_to_numpy(v)) for v in trained.optimizer.variables]
    assert trained.compiled
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("write", "suffix"), [(write_h5, ".h5"), (write_keras, ".keras")])
def test_the_same_model_gives_the_same_bytes(
    write: Callable[[Any, Path], None], suffix: str, tmp_path: Path
) -> None:
    model = lstm()  # its layers share an object, which Keras writes with its memory address
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    kept = []
    for file in files:
        write(model, file)
        kept.append(lstm())  # takes the memory that the first copy gave back
    assert files[0].read_bytes() == files[1].read_bytes()


def test_no_clock_in_a_keras_file(tmp_path: Path) -> None:
    write_keras(mlp(), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
        assert b'"1980-01-01@00:00:00"' in archive.read("metadata.json")


def test_a_layer_used_twice_is_still_one_layer_after_loading(tmp_path: Path) -> None:
    shared = layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], layers.Add()([shared(a), shared(b)]))
    write_keras(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.count_params() == model.count_params() == 12


def test_measuring_and_writing_agree(trained: Any, tmp_path: Path) -> None:
    write_h5(trained, tmp_path / "any name.h5")
    write_keras(trained, tmp_path / "any name.keras")
    sizes = measure_model(trained)
    assert sizes.h5 == measure_file(tmp_path / "any name.h5", "model.h5")
    assert sizes.keras == measure_file(tmp_path / "any name.keras", "model.keras")


def gru() -> Any:
    """Layers whose variables are of several types, seeds of random layers among them."""
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Bidirectional(layers.GRU(5, dropout=0.2)),
            layers.BatchNormalization(),
            layers.Dense(4, dtype="mixed_bfloat16"),
            layers.Dense(4, dtype="bfloat16"),
            layers.Dense(2, dtype="float16"),
        ]
    )


@keras.saving.register_keras_serializable("trimgrid_test_export")
class Packed(layers.Dense):  # type: ignore[misc]
    """Saves its kernel in a form of its own: the numbers that are not zero."""

    def save_own_variables(self, store: Any) -> None:
        kernel = keras.ops.convert_to_numpy(self.kernel)
        store["values"] = kernel[kernel != 0]

    def load_own_variables(self, store: Any) -> None:
        raise NotImplementedError


def packed() -> Any:
    return keras.Sequential([keras.Input((3,)), Packed(4)])


@keras.saving.register_keras_serializable("trimgrid_test_export")
class Told(layers.Dense):  # type: ignore[misc]
    """Its config holds something of its weights."""

    def get_config(self) -> dict[str, Any]:
        first = float(self.kernel[0, 0]) if self.built else 0.0
        return {**super().get_config(), "note": first}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{key: value for key, value in config.items() if key != "note"})


def told() -> Any:
    return keras.Sequential([keras.Input((3,)), Told(4)])


@pytest.mark.parametrize("build", [mlp, lstm, gru, packed, told])
def test_a_writer_gives_the_bytes_that_keras_gives(
    build: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build()
    rng = np.random.default_rng(0)
    for limit in (2**24, 0):  # with and without layouts
        monkeypatch.setattr(export, "_LAYOUTS_UP_TO", limit)
        writer = ModelWriter(model)
        for share in (0.0, 0.5, 0.99, 1.0):
            weights = [
                (rng.normal(size=array.shape) * (rng.random(array.shape) >= share)).astype(
                    "float32"
                )
                for array in model.get_weights()
            ]
            sizes = writer.measure(weights, tmp_path)
            contents = [(tmp_path / f"model{s}").read_bytes() for s in (".h5", ".keras")]
            model.set_weights(weights)
            assert sizes == measure_model(model, tmp_path)
            assert contents == [(tmp_path / f"model{s}").read_bytes() for s in (".h5", ".keras")]
            assert sizes == writer.measure(weights)


def test_what_a_writer_writes_loads(trained: Any, tmp_path: Path) -> None:
    writer = ModelWriter(mlp())
    writer.measure(trained.get_weights(), tmp_path)
    x = np.linspace(-2, 2, 9)[:, None]
    for name in ("model.h5", "model.keras"):
        loaded = keras.saving.load_model(tmp_path / name, safe_mode=True)
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), trained.predict(x, verbose=0))


def test_a_writer_does_not_change_the_model(trained: Any) -> None:
    before = trained.get_weights()
    writer = ModelWriter(trained)
    writer.measure([array + 1 for array in before])
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("change", [lambda w: w[1:], lambda w: [w[0].T, *w[1:]], lambda w: []])
def test_weights_of_another_model_are_refused(change: Callable[[Any], Any]) -> None:
    model = mlp()
    writer = ModelWriter(model)
    with pytest.raises(InputError, match=r"shapes of the model's: \[\[1, 32\].*Received: \["):
        writer.measure(change(model.get_weights()))


def test_only_the_notice_about_h5_is_held_back(notices: list[str], tmp_path: Path) -> None:
    write_h5(mlp(), tmp_path / "model.h5")
    assert notices == []
    mlp().save(tmp_path / "other.h5")
    assert len(notices) == 1
    assert "HDF5" in notices[0]


@pytest.mark.parametrize("write", [write_h5, write_keras])
def test_a_wrong_name_is_refused(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        write(mlp(), tmp_path / "model.bin")


def test_a_failed_write_leaves_the_old_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "model.keras"
    file.write_bytes(b"old")

    def disk_full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(export, "fixed_member", disk_full)
    with pytest.raises(OSError, match="disk full"):
        write_keras(mlp(), file)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    code = """
import resource
from trimgrid.startup import start_keras
start_keras()
import keras
from trimgrid.export.files import ModelWriter, measure_model, write_h5, write_keras

for units in (100, 2100):  # 40 kB, and above what is kept in memory: 17 MB
    model = keras.Sequential([keras.Input((units,)), keras.layers.Dense(units)])
    writer = ModelWriter(model)
    for limit in (3_000, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for work in (
            lambda: writer.measure(model.get_weights(), "."),
            lambda: measure_model(model, "."),
            lambda: write_h5(model, "a.h5"),
            lambda: write_keras(model, "a.keras"),
        ):
            try:
                work()
            except OSError as error:
                print(error.errno == 27, error.filename)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    names = ["model.h5", "model.h5", "a.h5", "a.keras"]
    assert done.stdout.splitlines() == 4 * [f"True {name}" for name in names]
    assert "Error" not in done.stderr
