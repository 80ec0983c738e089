"""What the script of a page knows: figures, names, settings; as JSON, whatever a run holds."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.fabricated import HOSTILE, ORIGINAL, TABLE, Made, info_of, make_run, settings
from trimgrid.choosing import front
from trimgrid.report.page.facts import export_command, facts, skipped_tensors, version_note
from trimgrid.report.page.payload import payload, run_names, sizes_measured, without_details
from trimgrid.run_directory.manifest import Manifest
from trimgrid.runs.results import load_results
from trimgrid.stored.results import StoredResults

NAN, INF = float("nan"), float("inf")
FAILED = Made("failed", None, NAN, "training failed: the loss became nan", zeros=7)


def strict(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def told(folder: Path, **options: Any) -> dict[str, Any]:
    run = make_run(folder, **options)
    return {each["name"]: each for each in strict(payload([load_results(run)]))["attempts"]}


def test_figures_of_attempts(tmp_path: Path) -> None:
    unsure = Made("unsure", 500, 0.12, "one repeat failed", (0.11, 0.12, NAN, 0.13))
    diverged = Made("diverged", 400, INF)
    attempts = told(tmp_path, made=[*TABLE, unsure, FAILED, diverged])
    original, half = attempts[ORIGINAL], attempts["half"]
    assert (original["change"], original["words"]) == ("", "the same error")
    assert (half["error"], half["change"], half["words"]) == (0.104, "+4.0 %", "error 4.0 % higher")
    assert (half["failed"], half["zeros"], half["range"], half["repeats"]) == (False, 500, None, 1)
    told_unsure = attempts["unsure"]
    assert (told_unsure["range"], told_unsure["range_text"]) == ([0.11, 0.13], "0.11 to 0.13")
    assert (told_unsure["failed"], told_unsure["status"]) == (False, "one repeat failed")
    for name in ("failed", "diverged"):
        lost = attempts[name]
        assert (lost["failed"], lost["error"], lost["error_text"]) == (True, None, "-")
        assert (lost["words"], lost["change"]) == ("no error", "")
    assert (attempts["failed"]["zeros"], attempts["diverged"]["zeros"]) == (None, 500)
    assert attempts["failed"]["sizes"] == [None] * 6


@pytest.mark.parametrize("error", [NAN, INF])
def test_a_failed_original(tmp_path: Path, error: float) -> None:
    made = [Made(ORIGINAL, None, error, "training failed"), *TABLE[1:]]
    attempts = told(tmp_path, made=made)
    assert attempts["half"]["words"] == "error 0.104"
    assert attempts["half"]["change"] == ""


def test_an_infinite_error_in_the_file(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    result = run / "attempts" / "0" / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"error": INF}))
    _, half, *_ = strict(payload([load_results(run)]))["attempts"]
    assert (half["change"], half["words"]) == ("", "error 0.104")


def test_settings_as_people_read_them(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["attempts"][1]["config"] = {
        "schedule": {"class": "Decay", "begin_step": 0, "end_step": None, "plan": "5f0c"},
        "optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.001, "b": [], "c": {}}},
        "learning_rate": 0.1 + 0.2,
        "seed": None,
        "odd": [1, None],
        "nothing": {},
        "bad": {"config": 3, "name": ["x"]},
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    original, half, *_ = payload([load_results(run)])["attempts"]
    assert original["settings"] == []
    assert half["settings"] == [
        ["schedule", "Decay, begin_step 0"],
        ["optimizer", "Adam, learning_rate 0.001"],
        ["learning rate", "0.3"],
        ["odd", "[1, None]"],
        ["nothing", ""],
        ["bad", "['x']"],
    ]


def test_the_original_is_found_in_any_order(tmp_path: Path) -> None:
    run = load_results(make_run(tmp_path, [*TABLE, Made("better", 500, 0.01)]))
    data = payload([run.sorted_by("error"), load_results(make_run(tmp_path / "b"))])
    first, second = (each["original"] for each in data["runs"])
    assert first != 0
    for place in (first, second):
        assert data["attempts"][place]["name"] == ORIGINAL
    assert [data["attempts"][place]["run"] for place in (first, second)] == [0, 1]


def test_an_original_that_is_not_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "attempts" / "0" / "result.json").unlink()
    data = strict(payload([load_results(run)]))
    assert data["runs"][0]["original"] is None
    assert [each["words"] for each in data["attempts"]] == [
        "error 0.104",
        "error 0.11",
        "error 0.2",
    ]


SIZES = [
    ("zipped_tflite_size", "zipped .tflite"),
    ("zipped_keras_size", "zipped .keras"),
    ("zipped_h5_size", "zipped .h5"),
    ("tflite_size", ".tflite"),
    ("keras_size", ".keras"),
    ("h5_size", ".h5"),
]


def test_the_order_of_sizes(tmp_path: Path) -> None:
    run = load_results(make_run(tmp_path))
    data = payload([run])
    assert [(each["key"], each["label"]) for each in data["sizes"]] == SIZES
    assert data["attempts"][1]["sizes"] == [600, 1250, 1200, 4000, 8100, 8000]


def test_sizes_without_tflite(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for path in run.glob("attempts/*/result.json"):
        lost = {"tflite_size": None, "zipped_tflite_size": None}
        path.write_text(json.dumps(json.loads(path.read_text()) | lost))
    keys = [key for key, _ in SIZES if "tflite" not in key]
    assert sizes_measured([load_results(run)]) == keys
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tflite_size": 4}))
    assert sizes_measured([load_results(run)]) == [*keys[:2], "tflite_size", *keys[2:]]


def test_nothing_was_measured(tmp_path: Path) -> None:
    run = load_results(make_run(tmp_path, [Made(ORIGINAL, None, 0.1), Made("half", None, 0.2)]))
    data = strict(payload([run]))
    assert data["sizes"] == []
    assert [each["sizes"] for each in data["attempts"]] == [[], []]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/x"], ["x"]),
        (["/a/x", "/a/y"], ["x", "y"]),
        (["/a/x", "/b/x", "/b/y"], ["a/x", "b/x", "y"]),
        (["/a/1/x", "/b/1/x", "/b/2/x"], ["a/1/x", "b/1/x", "2/x"]),
        (["/x", "/a/x"], ["/x", "a/x"]),
        ([], []),
    ],
)
def test_names_of_runs(paths: list[str], names: list[str]) -> None:
    runs = [StoredResults(Manifest(Path(path), {}, {}, ()), []) for path in paths]
    assert run_names(runs) == names


def test_details_are_left_to_those_worth_a_look(tmp_path: Path) -> None:
    made = [*TABLE, *(Made(f"{place}", 2000 + place, 0.5 - place / 100) for place in range(20))]
    run = load_results(make_run(tmp_path, made))
    keys = [key for key, _ in SIZES]
    wanted = {ORIGINAL, *(each.name for key in keys for each in front(list(run), key))}
    data = without_details(payload([run]), len(wanted) + 2)
    detailed = {each["name"] for each in data["attempts"] if "details" in each}
    assert detailed - wanted == {"worse", "19"}
    assert wanted < detailed
    assert [each["name"] for each in data["attempts"]] == [each.name for each in made]
    alone = without_details(payload([run]), 1)
    assert [each["name"] for each in alone["attempts"] if "details" in each] == [ORIGINAL]


def fact(folder: Path, name: str, **more: Any) -> str | None:
    return dict(facts(load_results(make_run(folder, more=more)))).get(name)


ADAM = {
    "class_name": "Adam",
    "config": {"name": "adam", "learning_rate": 0.01, "weight_decay": None, "amsgrad": False},
}
DECAY = {"class_name": "ExponentialDecay", "config": {"decay_rate": 0.9}}
SETTINGS: list[tuple[str, Any, str, str | None]] = [
    ("optimizer", "adam", "Optimizer", "adam"),
    ("optimizer", ADAM, "Optimizer", "Adam(learning_rate=0.01, amsgrad=False)"),
    (
        "optimizer",
        {"class_name": "SGD", "config": {"learning_rate": DECAY}},
        "Optimizer",
        "SGD(learning_rate=ExponentialDecay(decay_rate=0.9))",
    ),
    ("optimizer", {"class_name": "SGD"}, "Optimizer", "SGD"),
    ("optimizer", None, "Optimizer", None),
    ("loss", {"loss": "mse"}, "Loss", "mse"),
    ("loss", {"loss": {"function": "own", "source": "5f0c"}}, "Loss", "own"),
    ("loss", {"loss": {"outputs": {"a": "mse", "b": ADAM}}}, "Loss",
     "a: mse, b: Adam(learning_rate=0.01, amsgrad=False)"),
    ("loss", {"loss": ["mse", None, {"function": "own"}]}, "Loss", "mse, none, own"),
    ("loss", "mse", "Loss", None),
    ("epochs", 1, "Epochs", "1 of each attempt"),
    ("epochs", None, "Epochs", None),
    ("batch_size", None, "Batch size", None),
    ("seed", 0, "Seed", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "name", "text"), SETTINGS)
def test_settings_of_the_training(
    tmp_path: Path, key: str, value: Any, name: str, text: str | None
) -> None:
    training = settings()["training"] | {key: value}
    assert fact(tmp_path, name, training=training) == text


@pytest.mark.parametrize(
    ("key", "value", "name", "text"),
    [
        ("repeats", 1, "Repeats", None),
        ("repeats", 3, "Repeats", "3 of each attempt, with seeds of their own"),
        ("repeats", None, "Repeats", None),
        ("repeats", "many", "Repeats", None),
        ("pretrain_epochs", 9, "Epochs", "3 of each attempt, 9 of the original"),
        ("engine", None, "Engine", "jax"),
        ("backend", None, "Engine", "vectorized"),
        ("versions", {}, "Versions", None),
        ("model", None, "Model", None),
        ("error_name", None, "Error", "None"),
    ],
)
def test_settings_of_the_run(
    tmp_path: Path, key: str, value: Any, name: str, text: str | None
) -> None:
    assert fact(tmp_path, name, **{key: value}) == text


KEYS = [*settings(), "created", "command", "machine", "cores", "python", "numpy"]
ODD: list[Any] = [None, 3, -1.5, NAN, True, "", "text", [], [1, [None]], {}, {"a": {"b": [3]}}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_settings_that_are_not_what_they_were(tmp_path: Path, odd: Any) -> None:
    """Each of them alone, then all, then none at all: facts are texts, and no error."""
    known = load_results(make_run(tmp_path))
    inside = dict.fromkeys(("loss", "epochs", "config", "trimgrid", "digest"), odd)
    for change in [
        *({key: odd} for key in KEYS),
        dict.fromkeys(KEYS, odd),
        dict.fromkeys(KEYS, inside),
    ]:
        manifest = Manifest(
            known.folder,
            known.settings | change,
            known.about | change,
            tuple(known._planned),
        )
        run = StoredResults(manifest, list(known))
        assert all(isinstance(text, str) and text for _, text in facts(run))
        assert isinstance(version_note(run), str)
        strict(payload([run]))


def test_a_manifest_without_settings(tmp_path: Path) -> None:
    assert [name for name, _ in facts(StoredResults(Manifest(tmp_path, {}, {}, ()), []))] == [
        "Attempts",
        "Error",
        "Run directory",
    ]


def test_times_and_the_machine(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    found = dict(facts(load_results(run)))
    assert found["Begun"] == "2026-01-02 03:04:05 UTC"
    assert found["Machine"] == "Linux, 2 cores, CPU"
    assert found["Attempts"] == "4 of 4 finished, the original among them"
    assert "Took" not in found


def test_another_version(tmp_path: Path) -> None:
    run = load_results(make_run(tmp_path, more={"versions": {"trimgrid": "0.0.1"}}))
    assert version_note(run).startswith("This run was made by trimgrid 0.0.1, this page by ")
    assert version_note(load_results(make_run(tmp_path / "b"))) == ""


def test_tensors_that_are_not_pruned(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "attempts" / "0" / "details.json").unlink()
    assert [each.path for each in skipped_tensors(load_results(run))] == ["dense/bias"]
    assert skipped_tensors(load_results(make_run(tmp_path / "b", detailed=False))) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_as_they_are(tmp_path: Path, name: str) -> None:
    attempts = told(tmp_path, made=[TABLE[0], Made(name, 3, 0.1)])
    assert name in attempts
    before, after = export_command(tmp_path, info_of(Made(name, 3, 0.1)))
    words = shlex.split(f"{before}small.tflite{after}")
    assert words == ["trimgrid", "export", str(tmp_path), name, "-o", "small.tflite"]


COMMANDS = [
    ("half", 0.1, "trimgrid export /r half -o small.h5"),
    ("-x", 0.1, "trimgrid export -o small.h5 -- /r -x"),
    ("half", math.nan, ""),  # no model to export
    # What a terminal would obey, and what is not seen: a copy would not be what is read.
    ("ctl\x15touch x\r", 0.1, ""),
    ("\u202egnp.exe", 0.1, ""),
    ("two\nlines", 0.1, ""),
]


@pytest.mark.parametrize(("name", "error", "command"), COMMANDS)
def test_commands_are_safe_to_copy(name: str, error: float, command: str) -> None:
    before, after = export_command(Path("/r"), info_of(Made(name, 3, error)))
    assert (f"{before}small.h5{after}" if before else "") == command
