"""The example of tf_keras models in docs/coming-from-tfmot.md, and all names of TFMOT there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-tfmot.md"
# What annotating and quantizing is made of: named by its module alone.
PARTS_OF_QUANTIZATION = re.compile(
    r"Quantize(?!Config)|[a-z_]*(layout|transform|quantizers|opts|8bit|range)|experimental"
)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8").partition("## tf_keras models")[2]
    code = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert code is not None
    x = np.random.default_rng(0).random((96, 4), dtype="float32")
    y = x.sum(axis=1, keepdims=True)
    names: dict[str, Any] = {"x": x[:64], "y": y[:64], "x_test": x[64:], "y_test": y[64:]}
    exec(code[1], names)
    small = names["small"]
    assert isinstance(small, tf_keras.Sequential)
    zeros = [int((each == 0).sum()) for each in small.get_weights()[::2]]
    assert zeros == [58, 14]  # of 64 and 16, 90 %
    assert (tmp_path / "small.tflite").exists()
    assert (tmp_path / "small.h5").exists()


@pytest.mark.parametrize(
    ("room", "parts"),
    [
        (tfmot.sparsity.keras, None),
        (tfmot.clustering.keras, re.compile("experimental|clusterable_layer")),
        (tfmot.experimental.combine, None),
        (tfmot.quantization.keras, PARTS_OF_QUANTIZATION),
    ],
    ids=["sparsity", "clustering", "combine", "quantization"],
)
def test_each_public_name_is_in_the_table(room: Any, parts: re.Pattern[str] | None) -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Each name")[2].partition("\n## ")[0]
    public = [name for name in dir(room) if not name.startswith("_")]
    assert len(public) > 2
    wanted = [name for name in public if parts is None or not parts.match(name)]
    missing = [name for name in wanted if not re.search(rf"\b{name}\b", table)]
    assert missing == []
