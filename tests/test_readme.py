"""What the README and the guides show runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import trimgrid
from trimgrid.cli import main
from trimgrid.latency import Latency

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.(?:py|toml))\n")
# What sets up the machine, takes minutes or waits for someone to look; tests elsewhere cover it.
NOT_RUN = ("make ", "pip ", "trimgrid example ")
# Less of the same, to save time.
SMALLER = {
    "repeats=5": "repeats=2",
    "latency runs/model": "latency runs/model --seconds 0.5",
    "max_increase=0.05, size=": "max_increase=50.0, size=",  # of so few some must do
    "budget=64": "budget=4",
}


def blocks(page: str, *languages: str) -> Iterator[tuple[str, str]]:
    """The blocks of code on a page in these languages, in their order."""
    for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language in languages:
            yield language, text


def smaller(text: str) -> str:
    """The code with less of the same."""
    for long, short in SMALLER.items():
        text = text.replace(long, short)
    return text


def run_page(page: str, names: dict[str, Any]) -> None:
    """Run a page from its start to its end, in the current folder.

    A block whose first line names a file becomes that file; `python FILE`, `trimgrid` and other
    blocks of Python run in this process, which has all imports and where warnings are errors, and
    other commands in a shell.
    """
    for language, text in blocks(page, "python", "sh", "toml"):
        text = smaller(text)
        named = FILE.match(text)
        if named:
            Path(named[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, page, "exec"), names)
        elif language == "sh":
            for line in text.splitlines():
                run_line(line)


def run_line(line: str) -> None:
    if not line.strip() or line.startswith(("#", *NOT_RUN)):
        return
    script = re.search(r"\bpython (\w+\.py)$", line)
    if script:
        runpy.run_path(script[1], run_name="__main__")
        return
    words = shlex.split(line, comments=True)
    if words[0] == "trimgrid" and ">" not in words:
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert not ended.value.code, line
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with model.keras and data.npz, and what the pages take for granted in Python."""
    monkeypatch.chdir(tmp_path)
    # As a user has it: the name in the file is that of the file.
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(8, name="hidden"), layers.Dense(1, name="out")],
        name="model",
    )
    model.save("model.keras")
    x = np.random.default_rng(0).random((320, 3), dtype="float32")
    y = x[:, :1]
    np.savez("data.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    return {"x": x, "y": y, "x_test": x[:50], "y_test": y[:50], "model": model}


@pytest.mark.parametrize(
    "page",
    [
        f"docs/{name}.md"
        for name in ("pruning", "article", "training", "notebooks", "searching", "scaling")
    ],
)
def test_the_python_on_a_page_runs(page: str, names: dict[str, Any]) -> None:
    found = [text for _, text in blocks(page, "python")]
    assert found
    for text in found:
        exec(compile(smaller(text), page, "exec"), names)


def test_the_readme_runs_from_start_to_end(names: dict[str, Any]) -> None:
    run_page("README.md", names)
    results = trimgrid.load_results("runs/model")
    assert len(results) == 1 + 2  # so small a model can spare half of its weights, not more
    assert not results.unfinished
    # The command line found the run that Python had finished, and added its own export.
    exports = [export for attempt in results for export in attempt.exports]
    assert {export["quantize"] for export in exports} == {"dynamic"}
    assert Path("small.tflite").exists()


@pytest.mark.slow
def test_the_tutorial_runs_from_start_to_end(names: dict[str, Any], tmp_path: Path) -> None:
    run_page("docs/tutorial.md", names)
    results = trimgrid.load_results("runs/digits")
    assert len(results) == 1 + 10 + 5  # the original, the recommended ones, those of the file
    assert results.original.error < 0.05
    assert {each.status for each in results} == {"ok"}
    chosen = [attempt for attempt in results if attempt.exports]
    assert [attempt.exports[0]["quantize"] for attempt in chosen] == ["dynamic"]
    assert Path("small.tflite").stat().st_size == chosen[0].tflite_size


def test_the_guide_from_tfmot_runs(names: dict[str, Any]) -> None:
    run_page("docs/coming-from-tfmot.md", names)


def test_the_study_file_and_the_keys_of_the_commands(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What docs/commands.md says that a program gets as JSON is what it gets."""
    run_page("docs/commands.md", names)
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    results = trimgrid.load_results("runs/study")
    keys = re.findall(r"^\| `(\w+)` \|", page.split("## JSON")[1], re.MULTILINE)
    best = results[1].to_dict()
    export = json.loads(Path("export.json").read_text(encoding="utf-8"))
    assert keys == [*best, *export, *(each.name for each in fields(Latency))]


def test_every_link_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
