"""A study for tests with workers: small, in a file, some of whose attempts kill their process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import trimgrid

STUDY = '''
import os, signal
from pathlib import Path
import keras, numpy as np, trimgrid

keras.utils.set_random_seed(7)
layers = [keras.layers.Dense(8, "relu", name="a"), keras.layers.Dense(2, name="b")]
model = keras.Sequential([keras.Input((6,), name="in"), *layers], name="net")
x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
y = x[:, :2] * x[:, 2:4]
FOLDER = Path({folder!r})


def error(model):
    """The mean squared error; kills its process, once or always, at some sparsities."""
    zeros = np.mean(model.get_weights()[0] == 0)
    once = FOLDER / "killed"
    if {killing} and (zeros > 0.65 or 0.55 < zeros < 0.65 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return float(np.mean((model.predict(x, verbose=0) - y) ** 2))


study = trimgrid.Study(
    model, (x, y), test=(x, y), loss="mse", error=error, epochs={epochs}, batch_size=8
)
grid = trimgrid.article_grid(10)[:4]
'''


def trimgrid_run(folder: Path, *options: str, killing: bool = False, epochs: int = 3) -> list[str]:
    """The command that runs the study, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    text = STUDY.format(folder=str(folder), killing=killing, epochs=epochs)
    (folder / "study.py").write_text(text, encoding="utf-8")
    words = ["run", "study.py", "--run-dir", "run", "--no-tflite", "--backend", "jax", *options]
    return [sys.executable, "-m", "trimgrid", *words]


def table(run_dir: Path | str) -> dict[str, tuple[Any, ...]]:
    return {
        each.name: (each.error, each.zipped_h5_size, each.zero_weights, each.status)
        for each in trimgrid.load_results(run_dir)
    }
