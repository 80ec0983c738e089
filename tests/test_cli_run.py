"""`trimgrid run`, `show`, `best`, `export` and `rm` as a user types them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.cli import main
from trimgrid.cli.options import names_in_run, parse_share
from trimgrid.errors import InputError
from trimgrid.export import child_queue
from trimgrid.runs.results import load_results

X = np.random.default_rng(0).random((120, 4), dtype="float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")
GRID = """
[[grid]]
target_sparsity = [0.3, 0.8]
frequency = 5

[[attempt]]
name = "slow ramp"
schedule = "polynomial_decay"
initial_sparsity = 0.1
final_sparsity = 0.6
"""
STUDY = """
import keras
import numpy as np
import trimgrid
from helper import SEED

data = np.load("data.npz")
study = trimgrid.Study(
    "model.keras",
    (data["x_train"], data["y_train"]),
    test=(data["x_test"], data["y_test"]),
    epochs=2,
    error=lambda y_true, y_pred: float(np.abs(y_true - y_pred).max()),
    seed=SEED,
)
grid = trimgrid.expand_grid({"target_sparsity": [0.5], "frequency": 5})
"""


def command(*arguments: str, cwd: Path) -> Any:
    """Run `trimgrid` in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-m", "trimgrid", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def make_inputs(folder: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((4,), name="in"),
            layers.Dense(16, activation="relu", name="a"),
            layers.Dense(1, name="b"),
        ],
        name="small",
    )
    model.compile("adam", "mse")
    model.save(folder / "model.keras")
    arrays = {"train": slice(80), "val": slice(80, 100), "test": slice(100, 120)}
    data = {f"x_{name}": X[part] for name, part in arrays.items()}
    np.savez(folder / "data.npz", **data, **{f"y_{n}": Y[part] for n, part in arrays.items()})  # type: ignore[arg-type]
    (folder / "grid.toml").write_text(GRID)
    (folder / "study.py").write_text(STUDY)
    (folder / "helper.py").write_text("SEED = 3\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs and a run of three attempts in runs/model."""
    folder = tmp_path_factory.mktemp("cli")
    make_inputs(folder)
    done = command(
        "run", "--model", "model.keras", "--data", "data.npz", "--epochs", "3", "--grid",
        "grid.toml", "--repeats", "2", "--log", "tensorboard", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[2:].split("  ")[0] for line in lines[1:5]] == [
        "original (unpruned)", "const sparsity 0.3", "const sparsity 0.8", "slow ramp",
    ]  # fmt: skip
    assert "median of 2 repeats" in done.stdout
    assert "Engine: vectorized on jax" in done.stderr
    assert len(list((folder / "runs" / "model" / "logs" / "tensorboard").iterdir())) == 4
    assert (folder / "runs" / "model" / "tradeoff.png").stat().st_size > 10_000
    return folder


@pytest.fixture
def run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The run directory, seen from the folder with the inputs."""
    monkeypatch.chdir(finished)
    return "runs/model"


def no_child(*_: object) -> None:
    raise AssertionError("A child was started for conversions.")


def test_the_same_command_again_only_reads(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.glob("runs/model/attempts/*/*")}
    monkeypatch.chdir(finished)
    monkeypatch.setattr(child_queue, "ConverterProcess", no_child)
    code = code_of(
        "run", "--model", "model.keras", "--data", "data.npz", "--epochs", "3", "--grid",
        "grid.toml", "--repeats", "2",
    )  # fmt: skip
    told = capsys.readouterr()
    assert code == 0, told.err
    assert told.err.startswith("Going on in runs/model: 4 of the 4 planned so far are finished.\n")
    assert {p: p.stat().st_mtime_ns for p in finished.glob("runs/model/attempts/*/*")} == before


def test_without_conversions_no_child_is_started(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(finished)
    monkeypatch.setattr(child_queue, "ConverterProcess", no_child)
    arguments = ["run", "--model", "model.keras", "--data", "data.npz", "--epochs", "1",
                 "--grid", "grid.toml", "--run-dir", str(tmp_path), "--no-tflite"]  # fmt: skip
    assert code_of(*arguments) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert code_of("best", str(tmp_path), "--max-error", "1e9") == 0
    assert capsys.readouterr().out.startswith("const sparsity 0.8\n")
    assert code_of("show", str(tmp_path), "--sort", "size") == 0
    assert "\n* const sparsity 0.8" in capsys.readouterr().out
    assert code_of("best", str(tmp_path), "--max-error", "1", "--size", "zipped_tflite_size") == 1


def test_a_run_goes_on_with_the_backend_it_has(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in the default folder. It is refused here only as this process has Keras on JAX."""
    monkeypatch.chdir(finished)
    monkeypatch.delenv("KERAS_BACKEND")
    for folder in ("runs/mlp", "runs/other"):
        Path(folder).mkdir(parents=True)
        manifest = json.loads(Path("runs/model/manifest.json").read_text(encoding="utf-8"))
        manifest["settings"]["backend"] = "tensorflow"
        Path(folder, "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    shutil.copy("model.keras", "other.keras")
    for arguments in (
        ["run", "--model", "other.keras", "--data", "data.npz", "--epochs", "3"],
        ["example", "mlp"],
    ):
        assert code_of(*arguments) == 2
        told = capsys.readouterr().err
        assert "Received: 'tensorflow', where it runs on 'jax'" in told


def test_a_run_whose_conversions_failed_succeeded(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    shutil.copytree("runs/model", "runs/unconverted")
    for path in Path("runs/unconverted").glob("attempts/*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result |= {"status": "no .tflite: why", "tflite_size": None, "zipped_tflite_size": None}
        path.write_text(json.dumps(result), encoding="utf-8")
    arguments = ["run", "--model", "model.keras", "--data", "data.npz", "--epochs", "3",
                 "--grid", "grid.toml", "--repeats", "2", "--run-dir"]  # fmt: skip
    assert code_of(*arguments, "runs/unconverted") == 0
    assert "no .tflite: why" in capsys.readouterr().out
    for path in Path("runs/unconverted").glob("attempts/*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result |= {"status": "training failed: why", "error": None}
        path.write_text(json.dumps(result), encoding="utf-8")
    assert code_of(*arguments, "runs/unconverted") == 1
    assert "No attempt succeeded" in capsys.readouterr().err


def test_shrunk_models_are_measured_later(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    shutil.copytree("runs/model", "runs/shrunk")
    arguments = ["run", "--model", "model.keras", "--data", "data.npz", "--epochs", "3",
                 "--grid", "grid.toml", "--repeats", "2", "--run-dir", "runs/shrunk"]  # fmt: skip
    assert code_of(*arguments, "--shrink") == 0
    told = capsys.readouterr()
    assert "4 of the 4 planned so far are finished" in told.err
    assert "Shrunk" in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    for before, after in zip(load_results("runs/model"), load_results("runs/shrunk"), strict=True):
        assert (after.id, after.model_file.read_bytes()) == (
            before.id,
            before.model_file.read_bytes(),
        )
        assert before.shrunk is None
        assert after.shrunk is not None
        assert (after.shrunk.reason is None) == bool(after.shrunk.units)
        assert (after.shrunk.tflite_size is not None) == bool(after.shrunk.units)


def test_show_and_best_before_the_original_is_finished(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    shutil.copytree("runs/model", "runs/begun")
    (load_results("runs/begun").original.folder / "result.json").unlink()
    assert code_of("show", "runs/begun") == 0
    assert "Not finished: 1 of 4." in capsys.readouterr().out
    assert code_of("best", "runs/begun", "--max-error", "1e9") == 0
    text = capsys.readouterr().out
    assert text.startswith("const sparsity 0.8\n")
    assert "than the original" not in text
    assert code_of("best", "runs/begun") == 1
    assert "The original's error is not known" in capsys.readouterr().err


def test_show_as_json_and_csv(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("show", run, "--json", "--sort", "size") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["name"] == "const sparsity 0.8"
    assert list(rows[0]) == [
        "id", "name", "total_weights", "nonzero_weights", "zero_weights", "h5_size",
        "zipped_h5_size", "keras_size", "zipped_keras_size", "tflite_size", "zipped_tflite_size",
        "error", "errors", "latency_ms", "shrunk", "status", "forms",
    ]  # fmt: skip
    assert {row["name"]: len(row["errors"]) for row in rows} == {
        "const sparsity 0.8": 2,
        "slow ramp": 2,
        "const sparsity 0.3": 2,
        "original (unpruned)": 0,
    }
    assert code_of("show", run, "--csv") == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in table] == [info.name for info in load_results(run)]
    assert code_of("show", run, "--csv", "--json") == 2


def test_one_attempt_is_shown_in_its_forms(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("show", run, "slow ramp") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "slow ramp"
    assert max(map(len, lines)) <= 80
    (head,) = (place for place, line in enumerate(lines) if line.split()[:1] == ["dense"])
    assert lines[head].split() == ["dense", "sparse", "shrunk"]
    assert lines[head + 1].split()[0] == "Weights"
    assert code_of("show", run, "slow ramp", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [told["name"], *told["forms"]] == ["slow ramp", "dense", "sparse", "shrunk"]


def test_best(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("best", run, "--max-increase", "100000%") == 0
    assert capsys.readouterr().out.startswith("const sparsity 0.8\n")
    assert code_of("best", run, "--max-error", "1e9", "--size", "zipped_h5_size", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "const sparsity 0.8"
    assert code_of("best", run, "--max-error", "0") == 1
    assert "The least is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["best", "RUN", "--max-increase", "five"], "must be a number, or one in percent"),
        (["best", "RUN", "--size", "weight"], "zipped_tflite_size"),
        (["show", "no/such/run"], "must exist"),
        (["show", "."], "not a run directory"),
        (["export", "RUN"], "-o small.tflite"),
        (
            ["export", "RUN", "slow ramp", "-o", "x.h5", "--sparse"],
            "Received: --out x.h5, --sparse.",
        ),
        (
            ["export", "RUN", "slow ramp", "-o", "x.tflite", "--sparse", "--quantize", "int8"],
            "Received: --quantize int8, --sparse. Give --quantize none or",
        ),
        (["latency", "RUN", "slow rump"], "Did you mean 'slow ramp'"),
        (["latency", "RUN", "slow ramp", "--max-error", "1"], "one of them away"),
        (["latency", "RUN", "slow ramp", "--seconds", "0"], "Received: --seconds 0.0."),
        (["best", "RUN", "--max-increase=-1"], "--max-increase must be a fraction"),
        (["show", "RUN", "slow ramp", "--sort", "size"], "'slow ramp' and --sort. Leave one"),
        (["show", "RUN", "slow rump"], "Did you mean 'slow ramp'"),
        (["export", "RUN", "slow rump", "-o", "x.tflite"], "Did you mean 'slow ramp'"),
        (["export", "RUN", "slow ramp", "--max-error", "1", "-o", "x.tflite"], "one of them away"),
        (["rm", "RUN", "original (unpruned)"], "can't be removed while"),
        (["run"], "no --model, no --data, no --epochs"),
        (["run", "study.py", "--model", "model.keras"], "study.py and --model. Leave one"),
        (["run", "study.py", "--loss", "mse"], "Received: study.py and --loss. Leave one"),
        (["run", "study.py", "--optimizer", "sgd"], "study.py and --optimizer"),
        (["run", "study.py", "--batch-size", "32"], "study.py and --batch-size"),
        (["run", "study.py", "--error", "mae"], "study.py and --error"),
        (["run", "study.py", "--seed", "0"], "study.py and --seed"),
        (["run", "study.py", "--pretrain-epochs", "0"], "study.py and --pretrain-epochs"),
        (
            ["best", "RUN", "--max-error", "1", "--size", "size"],
            "Received: --size size. Give one of",
        ),
        (["rm", "RUN", "zzz"], "There are 'original (unpruned)', 'const sparsity 0.3'"),
        (["run", "nowhere.py"], "must exist"),
    ],
)
def test_bad_input(
    run: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*[run if each == "RUN" else each for each in arguments]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


def test_export_and_what_is_shown_of_it(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command(
        "export", "runs/model", "slow ramp", "-o", "small.tflite", "--quantize", "float16",
        cwd=finished,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("small.tflite (tflite, float16)\n")
    assert max(map(len, done.stdout.splitlines())) <= 80
    (entry,) = load_results(finished / "runs" / "model")["slow ramp"].exports
    assert entry["file"] == str(finished / "small.tflite")
    assert entry["error"] == pytest.approx(entry["keras_error"], rel=0.05)
    monkeypatch.chdir(finished)
    capsys.readouterr()
    best = ["export", "runs/model", "-o", "best.keras", "--max-error", "1e9", "--json"]
    assert code_of(*best) == 0
    assert json.loads(capsys.readouterr().out)["max_difference"] == 0
    refused = ["export", "runs/model", "slow ramp", "-o", "x.h5", "--quantize", "int8"]
    assert code_of(*refused) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert code_of("show", "runs/model") == 0
    assert "small.tflite" in capsys.readouterr().out


@pytest.mark.usefixtures("one_child")
def test_latency_and_what_is_shown_of_it(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("latency", run, "slow ramp", "--seconds", "0.5") == 0
    told = capsys.readouterr()
    assert told.err == "Timing slow ramp for 0.5 seconds.\n"
    assert told.out.startswith("One inference in LiteRT ")
    assert max(map(len, told.out.splitlines())) <= 80
    assert "float32, dense: on 1 thread" in told.out
    slow, original = (load_results(run)[each] for each in ("slow ramp", 0))
    assert slow.latency is not None
    file = slow.latency.all_of("dynamic")[1]
    assert (file.model, file.milliseconds[1].median) == ("slow ramp", slow.latency_ms)
    assert original.latency is None
    assert original.latency_ms is not None
    assert code_of("show", run) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(" ms")
    assert code_of("latency", run, original.name, "--seconds", "0.5", "--json") == 0
    told_json = json.loads(capsys.readouterr().out)
    assert [each["model"] for each in told_json["files"]] == [original.name] * 2


@pytest.mark.usefixtures("one_child")
def test_exports_without_zeros_and_without_idle_units(
    run: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "sparse.tflite")
    assert code_of("export", run, "slow ramp", "-o", file, "--sparse", "--json") == 0
    exported = json.loads(capsys.readouterr().out)
    # So few weights take no less room without their zeros: the file is the dense one.
    assert (exported["quantize"], exported["sparse"]) == ("none", False)
    assert code_of("export", run, "slow ramp", "-o", file, "--sparse", "--quantize", "float16") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{file} (tflite, float16)\n")
    assert "no tensor has so many that leaving them out saves bytes" in told
    code = code_of("export", run, "slow ramp", "-o", file.replace("tflite", "h5"), "--shrink")
    assert code == 0
    assert "\n  Shrunk  " in capsys.readouterr().out


def test_a_study_file(finished: Path) -> None:
    done = command("run", "study.py", "--no-tflite", "--engine", "sequential", cwd=finished)
    assert done.returncode == 0, done.stderr
    results = load_results(finished / "runs" / "study")
    assert [info.name for info in results] == ["original (unpruned)", "const sparsity 0.5"]
    assert results[1].tflite_size is None
    expected = float(np.abs(results[1].y_pred - Y[100:]).max())
    assert results[1].error == pytest.approx(expected)
    exported = command("export", "runs/study", "const sparsity 0.5", "-o", "s.h5", cwd=finished)
    assert "only the study itself knows" in exported.stdout


def test_a_study_file_that_raises(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "wrong.py").write_text("import numpy as np\n\nstudy = np.zeros(3)[7]\n")
    done = command("run", "wrong.py", cwd=finished)
    assert done.returncode == 2
    assert "wrong.py, line 3: study = np.zeros(3)[7]" in done.stderr
    assert "IndexError: index 7 is out of bounds" in done.stderr
    assert "runpy" not in done.stderr
    (finished / "none.py").write_text("study = 3\n")
    monkeypatch.chdir(finished)
    assert code_of("run", "none.py") == 2
    assert "whose study is int" in capsys.readouterr().err


def test_an_export_is_quantized_as_what_was_measured(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("export", run, "slow ramp", "-o", str(tmp_path / "a.tflite")) == 0
    assert "(tflite, dynamic)" in capsys.readouterr().out
    slow = load_results(run)["slow ramp"]
    assert (tmp_path / "a.tflite").stat().st_size == slow.tflite_size
    assert code_of("export", run, "slow ramp", "-o", str(tmp_path / "a.keras"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["quantize"] == "none"


def test_rm(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished / "runs" / "model", tmp_path / "run")
    done = command("rm", str(run), "const sparsity 0.8", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert [info.name for info in load_results(run)] == [
        "original (unpruned)", "const sparsity 0.3", "slow ramp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "number",
    # An example shows it of SIGTERM, too: `test_an_end_that_is_asked_for_saves_what_is_done`.
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_signal_and_going_on(finished: Path, tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["run", "--model", "model.keras", "--data", "data.npz", "--epochs", "20000",
                 "--grid", "grid.toml", "--no-tflite", "--run-dir"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "trimgrid", *arguments, str(tmp_path / "run")],
        cwd=finished,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    manifest = tmp_path / "run" / "manifest.json"
    while not manifest.exists() or not list(tmp_path.glob("run/attempts/*/result.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    time.sleep(1.0)  # the attempts train by now, or their program is compiled
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.endswith("run it again.\nInterrupted.\n")
    assert list(tmp_path.glob("run/checkpoints/*.npz"))
    assert not (tmp_path / "run" / "lock").exists()
    assert load_results(tmp_path / "run").unfinished == [
        "const sparsity 0.3", "const sparsity 0.8", "slow ramp",
    ]  # fmt: skip


def test_ctrl_c_outside_a_run(finished: Path) -> None:
    (finished / "waits.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(99)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "trimgrid", "run", "waits.py", "--no-tflite"],
        cwd=finished,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "Interrupted.\n")


def test_what_reads_results_imports_no_framework(run: str) -> None:
    for arguments in (
        ["show", run],
        ["best", run, "--max-error", "1e9"],
        ["watch", run, "--once"],
        ["report", run],
    ):
        code = (
            "import sys\nfrom trimgrid.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
            "print(sorted({'keras', 'jax', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_completion_knows_the_attempts(run: str) -> None:
    class Context:
        params: dict[str, Any] = {"run": Path(run)}  # noqa: RUF012

    assert names_in_run(Context(), "const") == [  # type: ignore[arg-type]
        "const sparsity 0.3",
        "const sparsity 0.8",
    ]


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.1", 0.1), ("200%", 2.0)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


def test_a_share_above_1_must_say_percent() -> None:
    with pytest.raises(InputError, match="Give 10%, or 1000%"):
        parse_share("10")


@pytest.mark.parametrize("arguments", [["show", "runs/model", "--json"], ["--version"]])
def test_a_pipe_that_is_closed(finished: Path, arguments: list[str]) -> None:
    """Nobody reads what was written, more than a buffer of it or less: no word, and 1."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "trimgrid", *arguments],
            cwd=finished,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "")
