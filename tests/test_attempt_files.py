from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.run_directory.attempt_files import (
    read_history,
    read_predictions,
    write_history,
    write_predictions,
)

tables = st.integers(0, 5).flatmap(
    lambda rows: st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
        st.lists(st.floats(), min_size=rows, max_size=rows),
        min_size=1,
        max_size=4,
    )
)


@given(columns=tables)
def test_a_history_is_read_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[float]]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.csv"
    write_history(path, columns)
    found = read_history(path)
    assert list(found) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_history_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    columns: dict[str, Any] = {
        "seed": np.arange(3),
        "loss": [0.1, np.float32(0.1), math.inf],
        "val_loss": [None, 1, math.nan],
        "a, b": [0.0, -0.0, 1e-300],
    }
    write_history(path, columns)
    assert path.read_bytes() == (
        b'seed,loss,val_loss,"a, b"\n0,0.1,,0.0\n1,0.10000000149011612,1,-0.0\n2,inf,nan,1e-300\n'
    )
    assert read_history(path)["seed"] == [0.0, 1.0, 2.0]
    assert math.isnan(read_history(path)["val_loss"][0])


def test_a_history_without_epochs_or_columns(tmp_path: Path) -> None:
    histories: list[dict[str, list[float]]] = [{"loss": []}, {}]
    for columns in histories:
        write_history(tmp_path / "history.csv", columns)
        assert read_history(tmp_path / "history.csv") == columns


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"same length. Received: {'epoch': 2, 'loss': 1}"):
        write_history(tmp_path / "history.csv", {"epoch": [1, 2], "loss": [0.5]})
    assert list(tmp_path.iterdir()) == []


x = np.arange(6, dtype="float32").reshape(2, 3)


@pytest.mark.parametrize(
    "predictions",
    [
        x,
        x.T,
        np.float64(0.5),
        np.zeros((0, 3)),
        [x, x + 1],
        {"file": x, "structure": x + 1, "array_0": x + 2, "a/b": x + 3},
        {"boxes": [x, {"inner": x + 1}], "none": []},
        [x, np.array([True]), np.array(["cat", "dog"]), np.array([1 + 2j])],
    ],
)
def test_predictions_keep_their_structure(tmp_path: Path, predictions: Any) -> None:
    path = tmp_path / "predictions.npz"
    write_predictions(path, predictions)
    found = read_predictions(path)
    check_equal(found, predictions)
    members = zipfile.ZipFile(path).infolist()
    assert {member.compress_type for member in members} == {zipfile.ZIP_DEFLATED}


def check_equal(found: Any, expected: Any) -> None:
    kind: Any = type(expected) if isinstance(expected, list | dict) else np.ndarray
    assert type(found) is kind
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            check_equal(one, other)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            check_equal(found[key], expected[key])
    else:
        assert found.dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4])
def test_types_that_numpy_does_not_know_become_float32(tmp_path: Path, kind: Any) -> None:
    values = np.array([0, 1, -2, 3], kind)
    write_predictions(tmp_path / "predictions.npz", values)
    found = read_predictions(tmp_path / "predictions.npz")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.astype(kind), values)


def test_the_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_predictions(tmp_path / f"{name}.npz", [x, {"y": x}])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (np.array([None, 1]), "dtype=object"),
        ([x, {"y": np.array(["a", 1], dtype=object)}], "dtype=object"),
        (np.zeros(2, [("a", "f4")]), r"dtype=\[\('a'"),
        ({1: x}, r"Keys of predictions must be strings. Received: \[1\]"),
    ],
)
def test_predictions_that_would_need_pickle_are_refused(
    tmp_path: Path, predictions: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_predictions(tmp_path / "predictions.npz", predictions)
    assert list(tmp_path.iterdir()) == []


def test_no_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, structure=np.array("0"), array_0=np.array([None, 1]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_predictions(path)
