"""What belongs to the caller's process stays as it is: here in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STUDY = """
import os, sys
import keras, tensorflow as tf, tf_keras
import numpy as np

names = ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS")
before = [os.environ.get(name) for name in names]
from trimgrid import AttemptConfig, ConstantSparsity, Study

layers = [tf_keras.layers.Input((4,)), tf_keras.layers.Dense(2)]
x = np.ones((8, 4), "float32")
study = Study(tf_keras.Sequential(layers), (x, x[:, :2]), test=(x, x[:, :2]), loss="mse", epochs=1)
study.run([AttemptConfig("half", ConstantSparsity(0.5))], sys.argv[1], tflite=False)
assert "tensorflow_model_optimization" in sys.modules
after = [os.environ.get(name) for name in names]
assert after == before, (before, after)
assert tf.keras.__version__.startswith("3."), "tf.keras is another one"
assert tf_keras.mixed_precision.global_policy().name == "float32"
"""


def test_the_environment_and_what_tf_keras_is(tmp_path: Path) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STUDY, str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
