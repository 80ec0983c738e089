"""Grids in TOML files."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig, article_grid
from trimgrid.grids.toml_file import load_grid
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.training import fresh_optimizer

FILE = """
preset = "article"

[[attempt]]
name = "slow {seed}"
target_sparsity = 0.9
optimizer = { name = "SGD", learning_rate = 0.25, momentum = 0.5 }

[[grid]]
schedule = "polynomial_decay"
initial_sparsity = 0.1
final_sparsity = [0.5, 0.8]
learning_rate = [1e-3, 1e-4]

[[grid]]
target_sparsity = 0.5
optimizer = ["sgd", { name = "adam", learning_rate = 0.5 }]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file(tmp_path: Path) -> None:
    grid = load_grid(write(tmp_path, FILE))
    assert list(grid[:11]) == article_grid()
    assert list(grid[11:15]) == [
        AttemptConfig(
            f"poly decay 10/{final}, learning_rate {rate}",
            PolynomialDecay(0.1, final / 100),
            learning_rate=rate,
        )
        for final in (50, 80)
        for rate in (0.001, 0.0001)
    ]
    sgd = {"class_name": "sgd", "config": {"learning_rate": 0.25, "momentum": 0.5}}
    assert list(grid[15:]) == [
        AttemptConfig("const sparsity 0.5, optimizer sgd", ConstantSparsity(0.5), optimizer="sgd"),
        AttemptConfig(
            "const sparsity 0.5, optimizer adam(0.5)",
            ConstantSparsity(0.5),
            optimizer={"class_name": "adam", "config": {"learning_rate": 0.5}},
        ),
        AttemptConfig("slow {seed}", ConstantSparsity(0.9), optimizer=sgd),
    ]
    made = fresh_optimizer(grid[-1].optimizer)
    assert isinstance(made, keras.optimizers.SGD)
    assert (float(made.learning_rate), made.momentum) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"at least one attempt"),
        ("[[grid]\n", r"which is none: .*line 1, column 7.*Mend it"),
        ("preset = 'article'\nx = [1,\n", r"at end of document"),
        ("presets = 'article'", r"Received: 'presets'\. Did you mean 'preset'\?"),
        ("preset = 'articel'", r"preset='articel'\. Did you mean 'article'\?"),
        ("preset = 3", r"preset=3\."),
        ("[grid]\ntarget_sparsity = 0.5", r"Write \[\[grid\]\]"),
        ("attempt = 5", r"attempt must be tables.*Received: attempt = 5\."),
        ("[[grid]]\ntarget_sparsity = [0.5]\nrate = 3", r"\[\[grid\]\] 1 must hold.*'rate'\."),
        ("[[grid]]\npruning_schedule = 0.5", r"Received: 'pruning_schedule'\."),
        ("[[grid]]\ntarget_sparsity = 0.5\n[[grid]]\nfinal_sparsity=2", r"\[\[grid\]\] 2: poly"),
        ("[[grid]]\ntarget_sparsity = [0.5, 1.5]", r"\[\[grid\]\] 1: target_sparsity must be"),
        ("[[attempt]]\ntarget_sparsity = 0.5", r"\[\[attempt\]\] 1 must have a name"),
        ("[[attempt]]\nname = 'a'\ntarget_sparsity = [0.5]", r"Use \[\[grid\]\] for lists"),
        (
            "[[attempt]]\nname = 'a'\ntarget_sparsity = 0.5\noptimizer = {learning_rate = 1.0}",
            r"an optimizer must have a name",
        ),
        (
            "preset = 'article'\n[[grid]]\ntarget_sparsity = [0.3, 0.5]",
            r"Received twice: 'const sparsity 0\.5' and",
        ),
        (
            "preset = 'article'\n[[attempt]]\nname = 'poly decay 10/50'\ntarget_sparsity = 0.3",
            r"Names in a grid must differ.*'poly decay 10/50'",
        ),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_grid(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: is a directory"):
        load_grid(tmp_path)
    path = tmp_path / "grid.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_grid(path)
