"""Models and files of Keras 2 where neither tf_keras nor TFMOT need be installed."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from trimgrid.engines.choice import EngineChoice, choose_engine
from trimgrid.errors import InputError
from trimgrid.legacy.telling import is_legacy, written_by_keras_2
from trimgrid.models import load_model, load_saved
from trimgrid.runs.study import Study

X = np.random.default_rng(0).random((6, 5, 2), dtype="float32")


def stand_in() -> Any:
    """A model whose class looks like one of tf_keras."""
    base = type("Model", (), {"__module__": "tf_keras.src.engine.training"})
    return type("Own", (base,), {"__module__": "mine", "name": "old", "built": True})()


def test_tf_keras_is_told_by_its_classes() -> None:
    assert is_legacy(stand_in())
    for thing in (None, "mse", 3, keras.Sequential(), keras.losses.MeanSquaredError(), np.mean):
        assert not is_legacy(thing)


@pytest.mark.skipif(
    find_spec("tensorflow_model_optimization") is not None, reason="TFMOT is installed"
)
def test_without_tfmot_the_command_that_installs_it() -> None:
    with pytest.raises(InputError) as raised:
        Study(stand_in(), (X, X), test=(X, X), loss="mse", epochs=1)
    assert str(raised.value) == (
        "A model of tf_keras needs TFMOT, which prunes it. Received: No module named "
        "'tensorflow_model_optimization'. Install it: pip install 'trimgrid[tfmot]'"
    )


def test_engines() -> None:
    tfmot = EngineChoice("tfmot", "TFMOT trains tf_keras models, one attempt after the other")
    assert choose_engine(stand_in()) == choose_engine(stand_in(), "sequential") == tfmot
    with pytest.raises(InputError) as raised:
        choose_engine(stand_in(), "vectorized")
    assert str(raised.value) == (
        "The vectorized engine trains models of Keras 3. Received: engine='vectorized' for the "
        "tf_keras model 'old'. Take engine='auto', with which TFMOT trains it, or load the model "
        "into Keras 3: save it as .h5 and give the path."
    )
    with pytest.raises(InputError, match="The engine must be one of"):
        choose_engine(stand_in(), "tfmot")


def recurrent() -> Any:
    return keras.Sequential(
        [
            keras.Input((5, 2)),
            keras.layers.LSTM(3, name="memory"),
            keras.layers.Dense(1),
        ]
    )


def aged(path: Path, time_major: bool) -> Path:
    """Make a file of Keras 3 look as if Keras 2 had written it."""

    def old(text: str) -> str:
        config = json.loads(text)
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "LSTM":
                layer["config"]["time_major"] = time_major
        return json.dumps(config)

    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["keras_version"] = "2.15.0"
            file.attrs["model_config"] = old(file.attrs["model_config"])
        return path
    found = path.with_name(f"aged{path.suffix}")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(found, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name).decode("latin-1")
            if name == "config.json":
                content = old(content)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "keras_version": "2.15.0"})
            copy.writestr(name, content.encode("latin-1"))
    return found


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_an_argument_that_changes_nothing_is_left_away(ending: str, tmp_path: Path) -> None:
    model = recurrent()
    model.save(tmp_path / f"model.{ending}")
    assert not written_by_keras_2(tmp_path / f"model.{ending}")
    path = aged(tmp_path / f"model.{ending}", time_major=False)
    assert written_by_keras_2(path)
    with pytest.raises(Exception, match="time_major"):
        keras.saving.load_model(path)
    found = load_model(path).predict(X, verbose=0)
    np.testing.assert_allclose(found, model.predict(X, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_one_that_changes_something_is_refused(ending: str, tmp_path: Path) -> None:
    recurrent().save(tmp_path / f"model.{ending}")
    path = aged(tmp_path / f"model.{ending}", time_major=True)
    with pytest.raises(InputError) as raised:
        load_model(path)
    assert str(raised.value) == (
        "A model of Keras 2 must have layers that Keras 3 has, with the same arguments. Received: "
        f"{str(path)!r}, which fails with ValueError: Keras 3 has no time_major=True, which "
        "'memory' has: its sequences have the examples first. Load it with tf_keras, and give the "
        "model itself, which TFMOT trains: pip install 'trimgrid[tfmot]'."
    )


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    model = recurrent()
    model.save(tmp_path / "old.h5")
    with h5py.File(aged(tmp_path / "old.h5", time_major=False), "r+") as file:
        del file.attrs["model_config"]
    model.save_weights(tmp_path / "new.weights.h5")
    for name in ("old.h5", "new.weights.h5"):
        with pytest.raises(InputError) as raised:
            load_model(tmp_path / name)
        assert str(raised.value) == (
            "A model file must hold a model, and not its weights alone. Received: "
            f"{str(tmp_path / name)!r}. Build the model anew, load_weights(file), and save it."
        )


@pytest.mark.skipif(find_spec("tf_keras") is not None, reason="tf_keras is installed")
def test_a_result_of_tf_keras_needs_it(tmp_path: Path) -> None:
    recurrent().save(tmp_path / "model.keras")
    path = aged(tmp_path / "model.keras", time_major=False)
    with pytest.raises(InputError, match=r"A file of Keras 2 needs tf_keras.*trimgrid\[tfmot\]"):
        load_saved(path)


@pytest.mark.parametrize("content", [b"", b"no file of any kind"])
def test_damaged_files_are_nobodys(content: bytes, tmp_path: Path) -> None:
    for name in ("model.keras", "model.h5"):
        (tmp_path / name).write_bytes(content)
        assert not written_by_keras_2(tmp_path / name)
