"""A study file that is wrong: one message, with the lines that matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimgrid.cli.study_file import load_study
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig

HEAD = """
import keras, numpy as np, trimgrid
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
data = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
study = trimgrid.Study(model, data, test=data, loss="mse", epochs=1)
"""


def told(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "study.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_study(path)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1 / 0", ["study.py, line 1: 1 / 0", "ZeroDivisionError: division by zero"]),
        ("x = (", ["study.py, line 1: x = (", "SyntaxError: '(' was never closed"]),
        ("raise SystemExit", ["study.py, line 1: raise SystemExit", "SystemExit"]),
        (
            "raise ValueError('one\\n\\n  two\\nthree\\nfour')",
            [
                "study.py, line 1: raise ValueError('one\\n\\n  two\\nthree\\nfour')",
                "ValueError: one",
                "two",
                "three",
            ],
        ),
        (
            "def f():\n    raise KeyError('a')\nf()",
            ["study.py, line 3: f()", "study.py, line 2: raise KeyError('a')", "KeyError: 'a'"],
        ),
    ],
)
def test_what_the_file_raises(tmp_path: Path, text: str, lines: list[str]) -> None:
    head, *rest = told(tmp_path, text)
    assert head == "The study file study.py raises:"
    assert [line.strip() for line in rest] == lines


def test_what_keras_raises_is_told_by_its_cause(tmp_path: Path) -> None:
    *_, line, cause = told(tmp_path, f"{HEAD}\nmodel(np.ones((2, 5)))")
    assert line == "  study.py, line 7: model(np.ones((2, 5)))"
    assert cause.startswith("  ValueError: Input 0 ")
    assert "expected axis -1 of input shape to have value 4" in cause


@pytest.mark.parametrize(
    ("grid", "what"),
    [
        ('{"target_sparsity": [0.5]}', "dict"),
        ("[0.5]", "list with float"),
        ("3", "int"),
        ("(each for each in trimgrid.article_grid())", "generator"),
        ("[*trimgrid.article_grid(), None]", "list with NoneType"),
    ],
)
def test_a_grid_that_is_none(tmp_path: Path, grid: str, what: str) -> None:
    (message,) = told(tmp_path, f"{HEAD}\ngrid = {grid}\n")
    assert f"Received: study.py, whose grid is {what}. Write for example: grid = " in message
    assert 'trimgrid.expand_grid({"target_sparsity"' in message


@pytest.mark.parametrize(
    "grid", ["trimgrid.article_grid()", 'trimgrid.expand_grid({"target_sparsity": [0.5, 0.8]})']
)
def test_a_grid(tmp_path: Path, grid: str) -> None:
    path = tmp_path / "study.py"
    path.write_text(f"{HEAD}\ngrid = {grid}\n", encoding="utf-8")
    _, attempts = load_study(path)
    assert attempts is not None
    assert all(isinstance(each, AttemptConfig) for each in attempts)
