"""`trimgrid search` and `sensitivity` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.cli import main
from trimgrid.runs.results import load_results

X = np.random.default_rng(0).random((120, 4), dtype="float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")
STUDY = ["--model", "model.keras", "--data", "data.npz", "--loss", "mse"]
SMALL = ["--epochs", "4", "--budget", "4", "--batch", "4", "--no-tflite"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, activation="tanh", name="a"), layers.Dense(1, name="b")]
    )
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=20, verbose=0)
    model.save("model.keras")
    np.savez("data.npz", x_train=X[:90], y_train=Y[:90], x_test=X[90:], y_test=Y[90:])


def test_a_search_its_answer_and_the_same_again(capsys: pytest.CaptureFixture[str]) -> None:
    main_ended(0, ["search", *STUDY, *SMALL, "--max-increase", "500%"])
    said = capsys.readouterr()
    assert (
        "Of 4 attempts nothing beats those with a star in both zipped .keras and error:" in said.out
    )
    assert "The smallest zipped .keras with at most 500 % more error than the original:" in said.out
    assert "report.html" in said.err
    assert "To ship it: trimgrid export runs/model 'search " in said.err
    assert "' -o small.keras\n" in said.err
    assert max(map(len, said.out.splitlines())) <= 80
    main_ended(0, ["search", *STUDY, *SMALL, "--max-increase", "500%"])
    again = capsys.readouterr()
    assert again.out == said.out
    assert "Going on in runs/model: 5 of the 5 planned so far are finished." in again.err
    assert len(load_results("runs/model")) == 5
    # What it asked for is what others take.
    main_ended(0, ["best", "runs/model"])
    said = capsys.readouterr()
    assert "500 % more error than the original, as the search asked." in said.err
    assert said.out.splitlines()[0] in again.out
    # The search has found how sensitive the tensors are: that needs no framework any more.
    main_ended(0, ["sensitivity", "runs/model", "-o", "heat.png"])
    assert "b/kernel" in capsys.readouterr().out
    assert Path("heat.png").is_file()


def test_where_nothing_is_good_enough_the_nearest_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main_ended(1, ["search", *STUDY, *SMALL, "--max-error", "1e-12"])
    said = capsys.readouterr()
    assert "Of 4 attempts" in said.out
    assert "No attempt has an error of at most 1e-12. The least is" in said.err


def test_sensitivity_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    main_ended(0, ["sensitivity", *STUDY, "--json", "--run-dir", "r"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["points"]) == 22
    main_ended(0, ["sensitivity", "r", "--json"])
    assert json.loads(capsys.readouterr().out) == found
    main_ended(0, ["sensitivity", "r"])
    text = capsys.readouterr().out
    main_ended(0, ["show", "r"])
    shown = capsys.readouterr().out
    assert shown == f"No attempts yet, only how sensitive the tensors are:\n\n{text}"
    main_ended(0, ["show", "r", "--json"])
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sensitivity"], "A study file says what is studied"),
        (["sensitivity", "runs/none"], "'runs/none', which is neither"),
        (["sensitivity", "none.py"], "a run directory, or found for a study file"),
        (["sensitivity", ".", "--data", "data.npz"], "Received: . and --data"),
        (["sensitivity", "."], "not a run directory|manifest"),
        (["search"], "trimgrid search --model model.keras"),
        (["search", *STUDY, *SMALL, "--size", "weight"], "size must be one of"),
        (["search", *STUDY, *SMALL, "--size", "zipped_tflite_size"], "the size that it looks for"),
        (["search", *STUDY, *SMALL, "--max-increase", "five"], "A share must be a number"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    main_ended(2, arguments)
    said = capsys.readouterr().err
    assert any(part in said for part in message.split("|")), said
    assert "Traceback" not in said


def main_ended(code: int, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
