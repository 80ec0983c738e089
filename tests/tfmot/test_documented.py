"""The example of tf_keras models in docs/coming-from-tfmot.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-tfmot.md"


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
