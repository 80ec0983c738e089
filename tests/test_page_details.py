"""What the page shows of single attempts: predictions, curves, weights, and what of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fabricated import ORIGINAL, TABLE, Made, make_run
from trimgrid.report.page.details import details
from trimgrid.report.page.numbers import change_words, error_text, short_numbers, smaller_words
from trimgrid.report.page.predictions import Predictions, read_predictions
from trimgrid.report.page.series import curves, thinned
from trimgrid.run_directory.attempt_files import result_dict
from trimgrid.run_directory.paths import SAMPLES
from trimgrid.runs.results import load_results

RANDOM = np.random.default_rng(0)
N = 40
X = RANDOM.normal(size=(N, 1))
Y = X[:, 0] ** 2
IMAGES = RANDOM.random((N, 8, 8))
LABELS = np.arange(N) % 3
NAMES = [each.name for each in TABLE]


def predictions_of(folder: Path) -> Predictions:
    return read_predictions(load_results(folder))


def id_of(name: str) -> str:
    return f"{NAMES.index(name):x}"


def test_predictions_of_each_attempt(tmp_path: Path) -> None:
    given = {name: Y[:, None] + place for place, name in enumerate(NAMES)}
    read = predictions_of(make_run(tmp_path, predictions=given, test=(X, Y)))
    shared = read.shared()
    assert (shared["problem"], shared["note"], shared["picture"]) == ("", "", None)
    order = np.argsort(X[:, 0], kind="stable")
    (view,) = shared["views"]
    assert (view["kind"], view["x"]) == ("curve", short_numbers(X[order, 0]))
    for place, name in enumerate(NAMES):
        assert read.of(id_of(name)) == [short_numbers(Y[order] + place)]
    assert read.of("none") is None


def test_classes_with_images(tmp_path: Path) -> None:
    right = np.eye(3)[LABELS]
    wrong = np.roll(right, 1, axis=1)
    half = right.copy()
    half[7] = wrong[7]
    given = {ORIGINAL: right, "half": half, "most": wrong[:5]}
    read = predictions_of(make_run(tmp_path, predictions=given, test=(IMAGES, LABELS)))
    shared = read.shared()
    assert 7 in shared["examples"]
    assert len(shared["examples"]) == 32
    assert shared["views"][0]["images"] == LABELS[shared["examples"]].tolist()
    assert shared["picture"]["width"] == 8
    (told,) = read.of(id_of("half")) or []
    answers = LABELS.copy()
    answers[7] = (LABELS[7] + 1) % 3
    assert told["images"] == answers[shared["examples"]].tolist()
    assert [LABELS[7], answers[7], 1] in told["counts"]
    (few,) = read.of(id_of("most")) or []
    assert sum(count for _, _, count in few["counts"]) == 5
    assert "images" not in few  # it did not answer for all of them


def test_a_class_that_only_a_later_attempt_knows(tmp_path: Path) -> None:
    given = {ORIGINAL: LABELS, "half": np.full(N, 8), "most": np.full(N, 10**9)}
    read = predictions_of(make_run(tmp_path, predictions=given, test=(X, LABELS)))
    assert read.shared()["views"][0]["classes"] == 9
    (told,) = read.of(id_of("half")) or []
    assert {predicted for _, predicted, _ in told["counts"]} == {8}
    assert read.of(id_of("most")) == [None]


def test_the_first_has_predictions_of_another_shape(tmp_path: Path) -> None:
    given = {ORIGINAL: np.zeros((N, 5)), "half": Y, "most": np.full(N, "cat"), "worse": Y[:3]}
    read = predictions_of(make_run(tmp_path, predictions=given, test=(X, Y)))
    assert len(read.shared()["views"]) == 1
    assert [read.of(id_of(name)) is None for name in NAMES] == [False] * 4
    assert [(read.of(id_of(name)) or [1])[0] is None for name in NAMES] == [True, False, True, True]


def test_rows_beyond_the_samples(tmp_path: Path) -> None:
    x = np.arange(1500.0)[:, None]
    targets = np.hstack([x, -x])
    read = predictions_of(make_run(tmp_path, predictions={"half": targets}, test=(x, targets)))
    assert read.note.startswith("On the first 1,000 of 1,500 test examples")
    first, second = read.of(id_of("half")) or []
    assert (first[-1], second[-1]) == (999, -999)


LOSSES: list[tuple[Any, str]] = [
    ("binary_crossentropy", "classes"),
    ("BinaryCrossentropy", "classes"),
    ("bce", "classes"),
    ("crossentropy", "classes"),
    ({"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}, "classes"),
    ({"class_name": "BinaryCrossentropy"}, "classes"),
    ({"class_name": "BinaryCrossentropy", "config": [1]}, "classes"),
    ({"class_name": ["BinaryCrossentropy"]}, "scatter"),
    ("mse", "scatter"),
    ({"function": "<lambda>", "source": None}, "scatter"),
    ({"outputs": "bce"}, "scatter"),
    (["bce"], "scatter"),
    (None, "scatter"),
    (3, "scatter"),
    ([[[]]], "scatter"),
]


@pytest.mark.parametrize(("loss", "kind"), LOSSES)
def test_binary_losses(tmp_path: Path, loss: Any, kind: str) -> None:
    inputs, bits = RANDOM.normal(size=(N, 3)), np.arange(N) % 2
    training = {"training": {"loss": {"kind": "loss", "loss": loss}}}
    run = make_run(tmp_path, predictions={ORIGINAL: bits * 0.4}, test=(inputs, bits), more=training)
    read = predictions_of(run)
    assert [view.kind for view in read.views] == [kind]
    logits = isinstance(loss, dict) and loss.get("config") == {"from_logits": True}
    if kind == "classes":
        assert read.views[0].of(bits * 0.4).tolist() == (bits * int(logits)).tolist()


@pytest.mark.parametrize("losses", [{"outputs": {"a": "mse", "b": "bce"}}, ["mse", "bce"]])
def test_losses_of_outputs(tmp_path: Path, losses: Any) -> None:
    inputs, bits = RANDOM.normal(size=(N, 3)), np.arange(N) % 2
    outputs: Any = [bits * 0.4, bits * 0.4]
    targets: Any = [bits, bits]
    if isinstance(losses, dict):
        outputs, targets = (dict(zip("ab", each, strict=True)) for each in (outputs, targets))
    run = make_run(
        tmp_path,
        predictions={ORIGINAL: outputs},
        test=(inputs, targets),
        more={"training": {"loss": {"kind": "loss", "loss": losses}}},
    )
    assert [view.kind for view in predictions_of(run).views] == ["scatter", "classes"]


@pytest.mark.parametrize("training", [None, [], 3, "mse", {}, {"loss": None}, {"loss": ["bce"]}])
def test_settings_of_another_kind(tmp_path: Path, training: Any) -> None:
    run = make_run(tmp_path, predictions={"half": Y}, test=(X, Y), more={"training": training})
    assert len(predictions_of(run).views) == 1


def _no_samples(run: Path) -> None:
    (run / SAMPLES).unlink()


def _cut_samples(run: Path) -> None:
    content = (run / SAMPLES).read_bytes()
    (run / SAMPLES).write_bytes(content[: len(content) // 2])


def _no_archive(run: Path) -> None:
    (run / SAMPLES).write_bytes(b"no archive")


def _header(header: Any) -> Callable[[Path], None]:
    return lambda run: np.savez(run / SAMPLES, header=np.array(json.dumps(header)), a0=X)


UNREAD = "The test data can't be read in the run directory."
WHOLE = {"train_inputs": 0, "test_inputs": 0, "test_targets": 0, "train_total": 2, "test_total": 2}
SAMPLES_LOST: list[tuple[Callable[[Path], None], str]] = [
    (_no_samples, UNREAD),
    (_cut_samples, UNREAD),
    (_no_archive, UNREAD),
    (_header([]), UNREAD),
    (_header({}), UNREAD),
    (_header(WHOLE | {"test_inputs": [0]}), UNREAD),
    (_header(WHOLE | {"test_inputs": {"dict": []}}), UNREAD),
    (_header(WHOLE | {"test_inputs": 3}), UNREAD),
    (_header(WHOLE | {"test_total": None}), UNREAD),
    (_header(WHOLE | {"test_total": "many"}), UNREAD),
    (_header(WHOLE | {"test_inputs": None}), "The run directory holds no test data."),
    (
        _header(WHOLE | {"test_targets": None}),
        "The predictions can't be laid beside the targets of the test data.",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), SAMPLES_LOST)
def test_test_data_that_is_lost(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    run = make_run(tmp_path, predictions={ORIGINAL: Y}, test=(X, Y))
    damage(run)
    read = predictions_of(run)
    assert read.shared()["problem"] == problem
    assert read.shared()["views"] == []
    told = details(load_results(run).original, read)
    assert "predictions" not in told["problems"]  # it is said once, for all attempts


def test_no_test_data_and_no_predictions(tmp_path: Path) -> None:
    assert predictions_of(make_run(tmp_path / "a", predictions={ORIGINAL: Y})).problem == UNREAD
    read = predictions_of(make_run(tmp_path / "b", test=(X, Y)))
    assert read.problem == "No predictions were kept: the error of this run is a single number."


def replace_file(run: Path, name: str, file: str, content: bytes, known: bool) -> None:
    """Give a file of an attempt another content, of which its result knows or not."""
    results = load_results(run)
    folder = results[name].folder
    (folder / file).write_bytes(content)
    if known:
        result = json.loads((folder / "result.json").read_text())
        result["files"] = result_dict(folder, id_of(name), results[name], seeds=[0])["files"]
        (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("content", [b"", b"no archive", b"x" * 9000])
def test_predictions_that_are_lost(tmp_path: Path, content: bytes, known: bool) -> None:
    run = make_run(tmp_path, predictions=dict.fromkeys(NAMES, Y), test=(X, Y))
    replace_file(run, "half", "predictions.npz", content, known)
    (run / "attempts" / id_of("most") / "predictions.npz").unlink()
    read, results = predictions_of(run), load_results(run)
    assert sorted(read.unread) == sorted(map(id_of, ("half", "most")))
    assert len(read.views) == 1
    problems = [details(each, read)["problems"] for each in results]
    assert ["predictions" in each for each in problems] == [False, True, True, False]
    assert "is missing" in problems[2]["predictions"]


def test_an_attempt_without_predictions(tmp_path: Path) -> None:
    run = make_run(tmp_path, predictions={ORIGINAL: Y}, test=(X, Y))
    told = details(load_results(run)["half"], predictions_of(run))
    assert told["problems"] == {"predictions": "There are no predictions of this attempt."}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("file", "part", "content"),
    [
        ("history.csv", "curves", b"epoch,loss\n1,cat\n"),
        ("history.csv", "curves", b"epoch,loss\n1\n"),
        ("history.csv", "curves", b"\xff\xfe"),
        ("details.json", "weights", b""),
        ("details.json", "weights", b"[]"),
        ("details.json", "weights", b"{}"),
        ("details.json", "weights", b'{"tensors": 3, "histogram": 1, "steps": 2, "updates": []}'),
        (
            "details.json",
            "weights",
            b'{"tensors": [], "histogram": null, "steps": Infinity, "updates": []}',
        ),
    ],
)
def test_details_that_are_lost(
    tmp_path: Path, file: str, part: str, content: bytes, known: bool
) -> None:
    run = make_run(tmp_path, predictions={"half": Y}, test=(X, Y))
    replace_file(run, "half", file, content, known)
    told = details(load_results(run)["half"], predictions_of(run))
    assert list(told["problems"]) == [part]
    assert file in told["problems"][part]
    assert ("curves" in told, "tensors" in told) == (part != "curves", part != "weights")
    assert told["predictions"]


def test_details_whose_numbers_are_odd(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    content = {
        "tensors": [],
        "histogram": {"limit": float("nan"), "counts": [1]},
        "steps": 1_234_567,
        "updates": [[1_234_561, float("nan")]],
    }
    replace_file(run, "half", "details.json", json.dumps(content).encode(), True)
    told = details(load_results(run)["half"], Predictions())
    assert told["updates"] == [[1_234_561, None]]  # steps keep all digits
    assert told["histogram"] == {"limit": None, "counts": (1,)}
    json.dumps(told, allow_nan=False)


def test_of_an_older_version_there_are_no_details(tmp_path: Path) -> None:
    run = make_run(tmp_path, detailed=False)
    told = details(load_results(run)["half"], Predictions(problem="None."))
    assert told["problems"] == {
        "curves": "It was not trained in this run.",
        "weights": "It was run by a version that did not record this.",
    }
    assert told["curves"] == {"epoch": [], "metrics": {}}


def test_a_damaged_result(tmp_path: Path) -> None:
    run = make_run(tmp_path, predictions=dict.fromkeys(NAMES, Y), test=(X, Y))
    (run / "attempts" / id_of("half") / "result.json").write_text("{")
    told = details(load_results(run)["half"], predictions_of(run))
    assert set(told["problems"].values()) == {"Its result is damaged."}
    assert set(told["problems"]) == {"curves", "weights", "predictions"}


def test_a_failed_attempt(tmp_path: Path) -> None:
    made = [*TABLE, Made("failed", None, float("nan"), "training failed: NaN")]
    told = details(load_results(make_run(tmp_path, made))["failed"], Predictions())
    assert told["curves"]["metrics"]["loss"]["train"] == [None] * 3


def test_curves_of_repeats_are_medians() -> None:
    history: dict[str, list[float]] = {
        "seed": [0, 0, 1, 1, 2, 2],
        "epoch": [1, 2] * 3,
        "loss": [1.0, 2, 3, 9, 5, 4],
    }
    assert curves(history | {"val_acc": [0.5] * 6}) == {
        "epoch": [1, 2],
        "metrics": {
            "loss": {"train": [3, 4], "train_range": [[1, 2], [5, 9]]},
            "acc": {"val": [0.5, 0.5], "val_range": [[0.5, 0.5], [0.5, 0.5]]},
        },
    }


def test_many_epochs_are_thinned() -> None:
    told = curves({"epoch": list(range(1, 1001)), "loss": list(range(1000))})
    assert len(told["epoch"]) == len(told["metrics"]["loss"]["train"]) == 200
    assert (told["epoch"][0], told["epoch"][-1]) == (1, 1000)
    assert [epoch - 1 for epoch in told["epoch"]] == told["metrics"]["loss"]["train"]


@pytest.mark.parametrize("history", [{}, {"epoch": []}, {"loss": [1.0]}, {"epoch": [], "loss": []}])
def test_histories_without_epochs(history: Any) -> None:
    assert curves(history) == {"epoch": [], "metrics": {}}


@pytest.mark.parametrize(("length", "at_most"), [(0, 5), (1, 5), (5, 5), (6, 5), (10_000, 400)])
def test_thinned(length: int, at_most: int) -> None:
    places = thinned(length, at_most).tolist()
    assert len(places) == min(length, at_most)
    assert places == sorted(set(places))
    if length:
        assert (places[0], places[-1]) == (0, length - 1)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("error", "original", "words"),
    [
        (0.021, 0.02, "error 5.0 % higher"),
        (0.22, 0.02, "11 times the original's error"),
        (2e7, 0.02, "1,000,000,000 times the original's error"),
        (0.020001, 0.02, "the same error to 0.1 %"),
        (0.0, 0.02, "error 100.0 % lower"),
        (0.0, 0.0, "the same error"),
        (-1.0, -2.0, "error -1, the original has -2"),
        (NAN, 0.02, "no error"),
        (INF, 0.02, "no error"),
        (0.02, NAN, "error 0.02"),
        (0.02, INF, "error 0.02"),
        (NAN, NAN, "no error"),
    ],
)
def test_changes_in_words(error: float, original: float, words: str) -> None:
    assert change_words(error, original) == words


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "0"), (-0.5, "-0.5"), (123456.0, "1.235e5"), (1e-10, "1.000e-10"), (INF, "-"),
     (9999.4, "9999"), (9999.5, "1.000e4"), (0.001, "0.001"), (0.00099999, "1.000e-3")],
)  # fmt: skip
def test_errors_as_text(error: float, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize(
    ("size", "original", "words"),
    [(0, 0, "as large"), (0, 7, "7.00x smaller"), (7, 0, "7.00x larger"), (2, 7, "3.50x smaller")],
)
def test_sizes_in_words(size: int, original: int, words: str) -> None:
    assert smaller_words(size, original) == words


def test_short_numbers_are_what_json_has() -> None:
    numbers = [1e300, -1e-300, INF, -INF, NAN, 0.0, -0.0, 1e9, 123456789.0]
    short = short_numbers(numbers)
    assert short == [1e300, -1e-300, None, None, None, 0, 0, 1e9, 123460000]
    json.dumps(short, allow_nan=False)
