"""The command as a user runs it: output, files, exit codes, one message for bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import psutil
import pytest
from keras import layers

import trimgrid
from trimgrid.cli import main
from trimgrid.masks import kept_count

KEYS = [
    "id", "name", "total_weights", "nonzero_weights", "zero_weights", "h5_size", "zipped_h5_size",
    "keras_size", "zipped_keras_size", "tflite_size", "zipped_tflite_size", "error", "errors",
    "latency_ms", "shrunk", "status", "forms",
]  # fmt: skip
# A run in a process that says at its end what it imported; the child that converts has TensorFlow.
IMPORTED = """
import sys
from trimgrid.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print([name for name in ("tensorflow", "pandas", "sklearn") if name in sys.modules])
"""
BEGUN = {
    "manifest.json",
    "progress.json",
    "samples.npz",
}  # of a run directory in which nothing is finished


def command(*arguments: str, cwd: Path | None = None, **variables: str) -> Any:
    """Run `trimgrid` in a process of its own."""
    return python("-m", "trimgrid", *arguments, cwd=cwd, **variables)


def python(*arguments: str, cwd: Path | None = None, **variables: str) -> Any:
    """Run Python with these arguments."""
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )


def check_zeros(results: list[dict[str, Any]], kernels: list[int], biases: int) -> None:
    """Each kernel has its final target of zeros, and only biases may be zero besides."""
    for row in results[1:]:
        percent = float(row["name"].split("/")[-1]) if "/" in row["name"] else None
        sparsity = percent / 100 if percent else float(row["name"].split()[-1])
        pruned = sum(size - kept_count(size, sparsity) for size in kernels)
        assert 0 <= row["zero_weights"] - pruned <= biases, row["name"]


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    model = keras.Sequential([keras.Input((4,), name="in"), layers.Dense(3, name="out")])
    kernel, bias = model.get_weights()
    kernel[0] = 0
    model.set_weights([kernel, bias])
    model.save(path)
    return path


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_an_example_from_start_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command("example", "mlp", "--epochs", "2", "--seed", "7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "mlp"
    files = {"recap.txt", "results.json", "predictions.png", "tradeoff.png", "report.html"}
    assert {path.name for path in out.iterdir()} == {*files, *BEGUN, "attempts"}
    results = json.loads((out / "results.json").read_text())
    assert [list(row) for row in results] == [KEYS] * 12
    assert results[0]["name"] == "original (unpruned)"
    assert {row["status"] for row in results} == {"ok"}
    assert results[0]["h5_size"] == 37080
    check_zeros(results, [32, 2048, 2048, 32], biases=129)
    recap = (out / "recap.txt").read_text()
    assert recap in done.stdout
    assert done.stdout.splitlines()[-1] == "The page to pick a model from: runs/mlp/report.html"
    assert max(map(len, done.stdout.splitlines())) <= 80
    for row in results:
        assert f"Model: {row['name']}\n" in done.stdout
        assert f"Zipped h5 size: {row['zipped_h5_size']} bytes" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 4, "nothing else on standard error if it is no terminal"
    assert lines[0] == "Example mlp: starting."
    assert lines[1].startswith("Example mlp: Keras ")
    assert lines[2].startswith("Engine: vectorized on jax, ")
    assert "side by side" in lines[3] or "one after the other" in lines[3]
    assert abs(results[0]["tflite_size"] / 7232 - 1) < 0.15
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    same, cache = ["example", "mlp", "--epochs", "2", "--seed", "7"], tmp_path / "cache"
    arguments = ["-c", IMPORTED, *same, "--out", "again"]
    again = python(*arguments, cwd=tmp_path, TRIMGRID_CACHE=str(cache))
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "[]"
    assert list((cache / "jax").rglob("*-cache"))
    for name in files - {"report.html"}:  # which tells the command, the time and the folder
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run_main(*same) == 0
    more = capsys.readouterr()
    assert (
        "Going on in runs/mlp: 12 of the 12 planned so far are finished." in more.err.splitlines()
    )
    assert more.out == done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_scripts_of_the_article_on_both_backends(tmp_path: Path, backend: str) -> None:
    script = Path(__file__).parents[1] / "examples" / "example2.py"
    done = subprocess.run(
        [sys.executable, script, "--epochs", "1", "--out", tmp_path, "--backend", backend],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert f"on {backend}" in done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results[0]["h5_size"] == 121112
    check_zeros(results, [320, 25600, 80], biases=321)
    assert {row["status"] for row in results} == {"ok"}
    assert abs(results[0]["tflite_size"] / 42480 - 1) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vectorized", "sequential"])
def test_repeats_on_both_engines(tmp_path: Path, engine: str) -> None:
    arguments = ["example", "mlp", "--epochs", "1", "--repeats", "2", "--memory", "1GB"]
    done = command(*arguments, "--engine", engine, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "11 attempts, 2 times, 6 steps each.\n" in done.stderr
    assert f"Engine: {engine} on jax" in done.stderr
    original, *attempts = json.loads((tmp_path / "results.json").read_text())
    assert {row["status"] for row in attempts} == {"ok"}
    assert original["errors"] == []
    for row in attempts:
        assert len(set(row["errors"])) == 2, "each repeat has a seed of its own"
        assert row["error"] == pytest.approx(sum(row["errors"]) / 2)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("--backend", "tensorflow"), {}),
        ((), {"KERAS_BACKEND": "tensorflow"}),
        (("--backend", "tensorflow"), {"KERAS_BACKEND": "jax"}),
    ],
)
def test_vectorized_is_for_jax_only(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    vectorized = ("example", "mlp", "--engine", "vectorized")
    done = command(*vectorized, *arguments, cwd=tmp_path, **variables)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "Received: engine='vectorized' on the backend 'tensorflow'" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_example_with_digits(tmp_path: Path) -> None:
    done = command("example", "cnn", "--data", "mnist", "--epochs", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Engine: sequential on tensorflow: " in done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert {row["status"] for row in results} == {"ok"}
    assert results[0]["error"] < 0.5
    check_zeros(results, [288, 9216, 9216, 4096, 1280], biases=234)
    assert not (tmp_path / "predictions.png").exists()


def test_help_has_an_example_for_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (
        "run",
        "watch",
        "show",
        "best",
        "export",
        "latency",
        "rm",
        "example",
        "inspect",
        "size",
    ):
        assert run_main(name, "--help") == 0
        printed = capsys.readouterr().out
        assert f"Example: trimgrid {name}" in printed
        assert max(map(len, printed.splitlines())) <= 80
        assert "[[" not in printed
        words = " ".join(printed.replace("│", " ").split())
        told = "as 5% or 0.05. Without any limit: (as a search in R asked, else )?5%."
        assert "--max-increase" not in printed or re.search(told, words)


def test_inspect(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("inspect", str(model_file)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    [kernel] = [line for line in lines if line and line[0].endswith("out/kernel")]
    assert kernel[1:] == ["4x3", "12", "3", "25.0", "%", "yes"]
    [bias] = [line for line in lines if line and line[0].endswith("out/bias")]
    assert bias[-2:] == ["no:", "bias"]


def test_size(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("size", str(model_file)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line and line[0].startswith(".")}
    assert set(rows) == {".h5", ".keras", ".tflite"}
    assert all(int(row[0].replace(",", "")) > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("example", "mlp", "--backend", "caffe"), "backend must be one of jax"),
        (("example", "mlp", "--out", "{file}/sub"), "output folder must be writable"),
        (("example", "mlp", "--data", "mnist"), "Only the example cnn"),
        (("example", "cnn", "--data", "photos", "--data-dir", "."), "Only tf_flowers"),
        (("example", "cnn", "--data-dir", "{file}.none"), "--data photos or --data mnist"),
        (("example", "svm"), "'svm' is not one of"),
        (("example", "mlp", "--epochs", "0"), "epochs"),
        (("example", "mlp", "--repeats", "0"), "repeats"),
        (("example", "mlp", "--engine", "fast"), "'fast' is not one of"),
        (("example", "mlp", "--memory", "4"), "Received: '4'. Give for example 4GB"),
        (("example", "mlp", "--memory", "10kB"), "room for one attempt. Received: 10 kB"),
        (("inspect", "{file}.none"), "must exist"),
        (("inspect", "{file}"), ".keras or a .h5"),
        (("size", "{cut}"), "truncated"),
    ],
)
def test_bad_input_exits_with_2_and_one_message(
    tmp_path: Path,
    model_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    file, cut = tmp_path / "file.txt", tmp_path / "cut.keras"
    file.write_text("text")
    cut.write_bytes(model_file.read_bytes()[:500])
    before = sorted(tmp_path.rglob("*"))
    if "--backend" not in arguments and arguments[0] == "example":
        arguments = (*arguments, "--backend", keras.config.backend())
    assert run_main(*(each.format(file=file, cut=cut) for each in arguments)) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
    made = {path.name for path in set(tmp_path.rglob("*")) - set(before)}
    # How much memory an attempt takes is known once the run has begun.
    assert made == ({"runs", "mlp", *BEGUN} if "10kB" in arguments else set())


def test_an_end_that_is_asked_for_saves_what_is_done(tmp_path: Path) -> None:
    """SIGTERM in the middle: exit 130, results so far, no process and no temporary file left."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    variables = {**os.environ, "TMPDIR": str(temporary), "KERAS_BACKEND": "jax"}
    arguments = [sys.executable, "-m", "trimgrid", "example", "mlp", "--epochs", "30"]
    out = tmp_path / "out"
    with subprocess.Popen(
        [*arguments, "--out", str(out)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "Model: original" not in (line := process.stdout.readline()):
            assert line, process.communicate()[1]
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert " of 12 are finished. To go on from " in errors
    assert errors.endswith("Interrupted.\n")
    assert "Traceback" not in errors
    assert json.loads((out / "results.json").read_text())[0]["status"] == "ok"
    assert "original (unpruned)" in (out / "recap.txt").read_text()
    assert not [child for child in children if child.is_running()]
    assert list(temporary.iterdir()) == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--version") == 0
    assert capsys.readouterr().out == f"trimgrid {trimgrid.__version__}\n"


def test_a_failed_run_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trimgrid.errors import RunError
    from trimgrid.examples import runner

    def fail(*_: Any, **__: Any) -> None:
        raise RunError("The original model could not be trained.")

    monkeypatch.setattr(runner, "run_example", fail)
    assert run_main("example", "mlp", "--backend", keras.config.backend()) == 1
    assert capsys.readouterr().err == "Error: The original model could not be trained.\n"
