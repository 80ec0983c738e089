from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from trimgrid.errors import InputError, RunError
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import add_export, result_dict
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import Results, find_results, load_results
from trimgrid.shrunk_info import SHRUNK_SIZES

# name, size of the zipped .tflite, error
TABLE = [("original", 1000, 0.1), ("half", 600, 0.104), ("most", 300, 0.11), ("worse", 700, 0.2)]
READ = {"predictions.npz": "y_pred", "history.csv": "history", "model.keras": "model_file"}
PREDICTIONS = {"class": np.arange(4.0), "boxes": [np.ones((4, 2)), np.zeros(4)]}


def write_run(
    folder: Path,
    table: Sequence[tuple[str, int | None, float]] = TABLE,
    unfinished: Sequence[str] = (),
    **more: Any,
) -> list[Planned]:
    """Write a run directory with an attempt for each row, and some that are not finished."""
    names = [*(name for name, _, _ in table), *unfinished]
    planned = [Planned(f"{place:x}", name, {"place": place}) for place, name in enumerate(names)]
    with RunDirectory(folder, {"epochs": 3}, {}) as run:
        run.plan(planned)
        for each, (name, size, error) in zip(planned, table, strict=False):
            run.write_attempt(each)
            run.write_history(each.id, {"epoch": [1, 2], "loss": [0.1, 0.2 + 0.1]})
            run.write_predictions(each.id, PREDICTIONS)
            info = AttemptInfo(name, 10, 5, 5, 400, 300, None, size, None, error)
            path = run.attempt_folder(each.id)
            result = result_dict(path, each.id, replace(info, **more), seeds=[0, 1])
            run.finish(each.id, result)
    return planned


def test_results_are_what_was_stored(tmp_path: Path) -> None:
    write_run(tmp_path, unfinished=["late", "later"])
    results = load_results(tmp_path)
    assert isinstance(results, Results)
    assert [each.name for each in results] == ["original", "half", "most", "worse"]
    assert results.folder == tmp_path
    assert results.settings == {"epochs": 3}
    assert results.original is results[0]
    assert results.attempts == results[1:]
    assert results.unfinished == ["late", "later"]
    assert repr(results) == f"<Results of {str(tmp_path)!r}: 4 finished, 2 unfinished>"
    half = results["half"]
    assert half is results[1] is results[-3]
    found = [each in cast(list[Any], results) for each in ("half", "late")]
    assert found == [True, False]
    assert half in results
    assert (half.id, half.folder) == ("1", tmp_path / "attempts" / "1")
    assert (half.config, half.exports) == ({"place": 1}, [])
    assert (half.seeds, half.status) == ((0, 1), "ok")
    assert (half.error, half.zipped_tflite_size, half.tflite_size) == (0.104, 600, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hafl", "Received: 'hafl'. Did you mean 'half'?"),
        ("late", "Received: 'late', which is not. Resume the run"),
        ("laet", "Did you mean 'late'?"),
        ("", "Received: ''. There are 'original', 'half', 'most', 'worse' and 1 more."),
        ("zzz", "Received: 'zzz'. There are 'original'"),
    ],
)
def test_an_unknown_name_is_told(tmp_path: Path, name: str, message: str) -> None:
    write_run(tmp_path, unfinished=["late"])
    with pytest.raises(InputError, match=message):
        load_results(tmp_path)[name]
    with pytest.raises(IndexError):
        load_results(tmp_path)[4]


def test_history_and_predictions_are_read_when_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path)
    half = load_results(tmp_path)["half"]
    assert half.history == {"epoch": [1.0, 2.0], "loss": [0.1, 0.30000000000000004]}
    assert list(half.y_pred) == ["class", "boxes"]
    np.testing.assert_array_equal(half.y_pred["boxes"][0], np.ones((4, 2)))
    (half.folder / "predictions.npz").unlink()
    with pytest.raises(
        RunError, match=r"predictions.npz' of 'half' is missing. Remove the attempt"
    ):
        half.y_pred  # noqa: B018
    mine = replace(half, y_pred=np.zeros(2))
    np.testing.assert_array_equal(mine.y_pred, np.zeros(2))


def test_an_attempt_without_files(tmp_path: Path) -> None:
    planned = Planned("a", "failed", {})
    with RunDirectory(tmp_path, {}, {}) as run:
        run.plan([planned])
        info = AttemptInfo("failed", 1, 1, 0, None, None, None, None, None, math.nan)
        info = replace(info, status="training failed")
        result = result_dict(run.attempt_folder("a"), "a", info, seeds=[0])
        run.finish("a", result)
    failed = load_results(tmp_path)[0]
    assert (failed.y_pred, failed.history) == (None, {})
    assert math.isnan(failed.error)
    with pytest.raises(RunError, match=r"'failed' has no model.keras: its .* 'training failed'"):
        failed.load()


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "' of 'half' is missing. Remove the attempt"),
        ("truncated", r"' of 'half' should have \d+ bytes and has \d+: it is truncated"),
        ("changed", "' of 'half' was changed"),
        ("link", "' of 'half' is missing"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_refused(
    tmp_path: Path, name: str, how: str, message: str
) -> None:
    with RunDirectory(tmp_path, {}, {}) as run:
        run.plan([Planned("a", "half", {})])
        run.write_predictions("a", np.arange(5))
        run.write_history("a", {"loss": [0.5, 0.25]})
        (run.attempt_folder("a") / "model.keras").write_bytes(b"a model")
        info = AttemptInfo("half", 1, 1, 0, None, None, None, None, None, 0.5)
        folder = run.attempt_folder("a")
        run.finish("a", result_dict(folder, "a", info, seeds=[0]))
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(data[:-1])
    elif how == "changed":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif how == "link":
        (tmp_path / "other").write_bytes(data)
        path.symlink_to(tmp_path / "other")
    half = load_results(tmp_path)[0]
    assert half.status == "ok"
    with pytest.raises(RunError, match=name + message):
        getattr(half, READ[name])


def test_the_model_is_loaded(tmp_path: Path) -> None:
    import keras

    from trimgrid.export.files import write_keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with RunDirectory(tmp_path, {}, {}) as run:
        run.plan([Planned("a", "half", {})])
        folder = run.attempt_folder("a")
        write_keras(model, folder / "model.keras")
        info = AttemptInfo("half", 8, 8, 0, None, None, None, None, None, 0.5)
        run.finish("a", result_dict(folder, "a", info, seeds=[0]))
    half = load_results(tmp_path)["half"]
    assert half.model_file == folder / "model.keras"
    for mine, its in zip(half.load().get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "It is empty."),
        ('{"id": "1", "na', "It is no JSON from line 1 on: Unterminated string"),
        ("\0\0\0", "It is empty."),
        ("[1]", "It holds a list, not an object."),
        ({"id": "2"}, "It is the result of another attempt."),
        ({"name": "other"}, "It is the result of another attempt."),
        ({"error": "low"}, "The measurements of an attempt must have 'error' as float or int"),
        ({"error": True}, "The measurements of an attempt must have 'error' as float or int"),
        ({"errors": [None, "a"]}, "must have 'errors' as float or int or null. Received: 'a'"),
        ({"total_weights": None}, "must have 'total_weights' as int. Received: None."),
        ({"h5_size": 1.5}, "must have 'h5_size' as int or null. Received: 1.5"),
        ({"status": None}, "must have 'status' as str. Received: None"),
        ({"seeds": None}, "Its seeds, files or exports are not as they should be."),
        ({"files": {"x": 1}}, "Its seeds, files or exports are not as they should be."),
        (
            {"files": {"../x": {"bytes": 1, "sha256": ""}}},
            "Its seeds, files or exports are not as they should be.",
        ),
        ({"exports": [1]}, "Its seeds, files or exports are not as they should be."),
        ({"exports": [{}]}, "Its seeds, files or exports are not as they should be."),
    ],
)
def test_a_damaged_result_says_so_and_the_rest_is_usable(
    tmp_path: Path, content: Any, why: str
) -> None:
    write_run(tmp_path)
    path = tmp_path / "attempts" / "1" / "result.json"
    if isinstance(content, dict):
        content = json.dumps({**json.loads(path.read_text(encoding="utf-8")), **content})
    path.write_text(content, encoding="utf-8")
    results = load_results(tmp_path)
    half = results["half"]
    assert half.status.startswith("damaged: result.json: ")
    assert why in half.status
    assert math.isnan(half.error)
    assert (half.zipped_tflite_size, half.h5_size, half.y_pred, half.files) == (None,) * 3 + ({},)
    assert [each.status for each in results] == ["ok", half.status, "ok", "ok"]
    assert [each.name for each in results.pareto()] == ["most", "original"]
    assert results.best(max_error=1).name == "most"
    assert path.read_text(encoding="utf-8") == content
    with RunDirectory(tmp_path, {"epochs": 3}, {}) as run:
        assert run.is_finished("1")  # it is not trained again behind one's back
        run.rm("half")
    assert [each.name for each in load_results(tmp_path)] == ["original", "most", "worse"]


def test_a_result_that_is_a_folder_or_elsewhere(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "attempts/1/result.json").unlink()
    (tmp_path / "attempts/1/result.json").mkdir()
    (tmp_path / "attempts/2").rename(tmp_path / "moved")
    (tmp_path / "attempts/2").symlink_to(tmp_path / "moved")
    statuses = [each.status for each in load_results(tmp_path)]
    assert statuses[1] == "damaged: result.json: It can't be read: Is a directory."
    assert statuses[2].startswith("damaged: result.json: What a run directory names must lie in it")
    assert statuses[0] == statuses[3] == "ok"


def test_exports_are_told(tmp_path: Path) -> None:
    write_run(tmp_path)
    add_export(tmp_path / "attempts" / "1", {"file": "/half.tflite", "quantize": "int8"})
    half = load_results(tmp_path)["half"]
    assert half.exports == [{"file": "/half.tflite", "quantize": "int8"}]
    assert half.status == "ok"


def test_without_the_original(tmp_path: Path) -> None:
    write_run(tmp_path, table=[], unfinished=["original", "half"])
    results = load_results(tmp_path)
    assert (len(results), results.attempts, results.pareto()) == (0, [], [])
    with pytest.raises(RunError, match=r"The original is not finished in '.*'. Resume the run"):
        results.original  # noqa: B018
    assert results.find_original() is None
    with pytest.raises(RunError, match="The original's error is not known"):
        results.best()


def test_best_and_pareto_are_of_this_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    results = load_results(tmp_path)
    assert results.best() is results["half"]
    assert results.best(max_increase=0.2) is results["most"]
    assert results.pareto() == [results["most"], results["half"], results["original"]]
    assert results.pareto("h5_size") == [results["original"]]


def test_without_any_tflite_the_size_is_that_of_the_keras_files(tmp_path: Path) -> None:
    sizes: Any = {"keras_size": 500, "zipped_keras_size": 250}
    write_run(tmp_path, [(name, None, error) for name, _, error in TABLE], **sizes)
    results = load_results(tmp_path)
    assert results.default_size == "zipped_keras_size"
    assert results.best() is results["half"]
    assert results.pareto() == [results["original"]]
    with pytest.raises(RunError, match="of none 'zipped_tflite_size' was measured"):
        results.best(size="zipped_tflite_size")
    assert results.pareto("zipped_tflite_size") == []


def test_a_run_that_is_there_is_found(tmp_path: Path) -> None:
    assert find_results(tmp_path / "none") is None
    assert find_results(tmp_path) is None
    write_run(tmp_path, unfinished=["late"])
    found = find_results(tmp_path)
    assert found is not None
    assert (len(found), found.unfinished) == (4, ["late"])


def test_tables(tmp_path: Path) -> None:
    table = [*TABLE[:2], ('comma, "quote"', None, math.nan)]
    write_run(tmp_path, table, errors=(0.1, math.nan, 0.3))
    results = load_results(tmp_path)
    dicts = results.to_dicts()
    assert dicts == [each.to_dict() for each in results]
    json.dumps(dicts, allow_nan=False)
    text = results.to_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == text == results.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    nested = {"errors", "shrunk", "forms"}
    ends = {"error_min", "error_median", "error_max"}
    shrunk = {*SHRUNK_SIZES, "shrunk_weights", "shrunk_error"}
    assert set(rows[0]) == {*dicts[0]} - nested | ends | shrunk
    assert [row["name"] for row in rows] == ["original", "half", 'comma, "quote"']
    assert (rows[1]["error_min"], rows[1]["error_max"]) == ("0.1", "0.3")
    assert rows[1]["error_median"] == rows[1]["error"] == "0.104"
    assert (rows[2]["error"], rows[2]["zipped_tflite_size"]) == ("", "")
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(rows[0])
    assert frame["zipped_tflite_size"].tolist() == [1000, 600, pandas.NA]
    assert frame["error"].mean() == pytest.approx(0.102)
    assert str(frame["total_weights"].dtype) == "Int64"


def test_tables_without_repeats_and_of_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "one", TABLE[:1])
    row = next(csv.DictReader(io.StringIO(load_results(tmp_path / "one").to_csv())))
    assert (row["error"], row["error_min"], row["error_median"]) == ("0.1", "", "")
    write_run(tmp_path / "none", [])
    empty = load_results(tmp_path / "none")
    assert len(empty.to_csv().splitlines()) == 1
    pytest.importorskip("pandas")
    assert len(empty.to_pandas()) == 0


def test_without_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[pandas\]'"):
        load_results(tmp_path).to_pandas()


def test_no_framework_is_needed(tmp_path: Path) -> None:
    write_run(tmp_path)
    code = """
import sys
for name in ("keras", "jax", "tensorflow", "torch", "ai_edge_litert"):
    sys.modules[name] = None  # importing it fails
from trimgrid.runs.results import load_results
results = load_results(sys.argv[1])
print(results.best().name, len(results.pareto()), len(results.to_csv().splitlines()),
      list(results[0].history), list(results[0].y_pred))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "half 3 5 ['epoch', 'loss'] ['class', 'boxes']\n"


def test_results_of_a_run_under_way_can_be_read(tmp_path: Path) -> None:
    planned = write_run(tmp_path, unfinished=["late"])
    with RunDirectory(tmp_path, {"epochs": 3}, {}) as run:
        run.write_attempt(planned[-1])
        assert load_results(tmp_path).unfinished == ["late"]
