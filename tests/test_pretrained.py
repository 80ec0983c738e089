"""A real model that others trained, all the way from its package to the file to ship.

It is R-Net, the second of the three networks of the face detector MTCNN (Zhang et al., 2016), with
the weights in the package mtcnn: 100,178 of them. What it is to keep: telling faces from what is
none, on the crops of `skimage.data.lfw_subset`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray
from skimage.data import lfw_subset
from skimage.transform import resize

from trimgrid.runs.results import load_results

GRID = """
[[grid]]
target_sparsity = [0.8, 0.95]
frequency = 3
"""


def build() -> Any:
    """R-Net as its authors describe it, without the head that places the box."""
    inputs = keras.Input((24, 24, 3), name="crops")
    x = layers.Conv2D(28, 3, name="conv1")(inputs)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu1")(x)
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    x = layers.Conv2D(48, 3, name="conv2")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    x = layers.Conv2D(64, 2, name="conv3")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu3")(x)
    x = layers.Flatten(name="flat")(layers.Permute((2, 1, 3), name="turn")(x))
    x = layers.PReLU(name="prelu4")(layers.Dense(128, name="dense")(x))
    box = layers.Dense(4, name="box")(x)
    face = layers.Dense(2, activation="softmax", name="face")(x)
    both = keras.Model(inputs, [box, face], name="rnet")
    # The package is not imported: it would import TensorFlow. Its files are pinned by their hash.
    weights = distribution("mtcnn").locate_file("mtcnn/assets/weights/rnet.lz4")
    both.set_weights(joblib.load(weights))
    return keras.Model(inputs, face, name="rnet_face")


def crops() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """100 faces and 100 crops without one, in turns."""
    images = [resize(image, (24, 24), anti_aliasing=True) for image in lfw_subset()]
    x = np.repeat((np.stack(images) * 255 - 127.5)[..., None] / 128, 3, axis=-1)
    y = np.repeat([1, 0], 100)
    turns = np.arange(200).reshape(2, 100).T.ravel()
    return x[turns].astype("float32"), y[turns].astype("int32")


def command(*arguments: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-m", "trimgrid", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, its data and a grid as files, and the finished run."""
    folder = tmp_path_factory.mktemp("pretrained")
    x, y = crops()
    build().save(folder / "rnet.keras")
    np.savez(folder / "faces.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    (folder / "grid.toml").write_text(GRID)
    command(
        "run", "--model", "rnet.keras", "--data", "faces.npz", "--epochs", "6", "--batch-size",
        "20", "--loss", "sparse_categorical_crossentropy", "--error", "accuracy", "--grid",
        "grid.toml", cwd=folder,
    )  # fmt: skip
    return folder


def test_the_model_is_as_it_was_trained() -> None:
    x, y = crops()
    assert (build().predict(x, verbose=0).argmax(axis=1) == y).all()


def test_the_smallest_that_still_knows_faces(folder: Path) -> None:
    results = load_results(folder / "runs" / "rnet")
    assert [info.status for info in results] == ["ok"] * 3
    assert results.settings["backend"] == "tensorflow", "convolutions on a CPU"
    assert results.original.error == 0
    best = json.loads(command("best", "runs/rnet", "--max-error", "0.05", "--json", cwd=folder))
    assert best["name"] in ("const sparsity 0.8", "const sparsity 0.95")
    original = results.original.zipped_tflite_size
    assert original is not None
    assert best["zipped_tflite_size"] < 0.45 * original
    assert best["zero_weights"] > 0.75 * best["total_weights"]


@pytest.mark.parametrize(
    ("file", "quantize", "allowed"),
    [
        ("face.tflite", "int8", 0.05),
        pytest.param("face.tflite", "none", 0.0, marks=pytest.mark.slow),
        pytest.param("face.onnx", "none", 0.0, marks=pytest.mark.slow),
    ],
)
def test_the_file_to_ship_still_knows_them(
    folder: Path, file: str, quantize: str, allowed: float
) -> None:
    arguments = ["runs/rnet", "const sparsity 0.8", "-o", file, "--quantize", quantize]
    told = json.loads(command("export", *arguments, "--json", cwd=folder))
    assert told["rows"] == 80
    assert abs(told["error"] - told["keras_error"]) <= allowed
