"""Rows of the data in one file: structures, limits, the same bytes, and no pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid.errors import InputError
from trimgrid.export.samples import read_samples, write_samples

X = np.arange(12, dtype=np.float32).reshape(4, 3)
TOKENS = np.arange(8, dtype=np.int32).reshape(4, 2)
STRUCTURES = [
    X,
    [X, TOKENS],
    (X, TOKENS),
    {"late": X, "early": TOKENS},
    {"pair": (X, [TOKENS]), "one": X.astype(np.float16)},
    np.ones((4, 2), bool),
]


def check_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        for mine, other in zip(found, expected, strict=True):
            check_same(mine, other)
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("inputs", STRUCTURES)
@pytest.mark.parametrize("targets", [X, {"a": X, "b": X[:, 0]}])
def test_structures_come_back(inputs: Any, targets: Any, tmp_path: Path) -> None:
    file = tmp_path / "samples.npz"
    written = write_samples(
        file, train_inputs=inputs, test_inputs=inputs, test_targets=targets, test_total=9
    )
    for samples in (written, read_samples(file)):
        check_same(samples.train_inputs, inputs)
        check_same(samples.test_inputs, inputs)
        check_same(samples.test_targets, targets)
        assert samples.describe() == "4 of 4 training rows, 4 of 9 test rows"
    assert [each.name for each in tmp_path.iterdir()] == ["samples.npz"]


@pytest.mark.parametrize("weights", [X[:, 0], {"a": X[:, 0], "b": X[:, 1]}])
def test_weights_come_back(weights: Any, tmp_path: Path) -> None:
    test = {"test_inputs": X, "test_targets": X, "test_weights": weights}
    for samples in (
        write_samples(tmp_path / "s.npz", train_inputs=X, **test),
        read_samples(tmp_path / "s.npz"),
    ):
        check_same(samples.test_weights, weights)


def test_bfloat16_is_kept_as_float32(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    write_samples(tmp_path / "s.npz", train_inputs={"a": X.astype(ml_dtypes.bfloat16)})
    check_same(read_samples(tmp_path / "s.npz").train_inputs, {"a": X})


def test_without_test_data(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", train_inputs=X)
    samples = read_samples(tmp_path / "s.npz")
    assert samples.test_inputs is None
    assert samples.test_targets is None
    assert samples.test_weights is None
    assert samples.test_rows == 0


@pytest.mark.parametrize(
    ("train", "test", "max_bytes", "expected"),
    [
        (300, 1200, 2**26, (256, 1000)),
        (300, 1200, 8000, (256, 235)),  # rows of 12 bytes, and of 12 + 5
        (300, 1200, 1200, (50, 35)),
        (300, 1200, 1, (1, 1)),
        (3, 7, 2**26, (3, 7)),
    ],
)
def test_limits(
    train: int, test: int, max_bytes: int, expected: tuple[int, int], tmp_path: Path
) -> None:
    samples = write_samples(
        tmp_path / "s.npz",
        train_inputs=np.ones((train, 3), np.float32),
        test_inputs=[np.ones((test, 3), np.float32)],
        test_targets=(np.ones(test, np.float32), np.ones(test, np.int8)),
        max_bytes=max_bytes,
    )
    assert (samples.train_rows, samples.test_rows) == expected
    assert (samples.train_total, samples.test_total) == (train, test)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_samples(tmp_path / name, train_inputs=X, test_inputs=X, test_targets=X)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_inputs": np.ones((0, 3))}, "train_inputs must be arrays of numbers"),
        ({"train_inputs": np.array(["a"])}, r"Received: str32\[1\]"),
        ({"train_inputs": np.array([None])}, "train_inputs must be arrays of numbers"),
        ({"train_inputs": []}, "Received: no array"),
        ({"train_inputs": np.float32(1)}, "at least one"),
        ({"train_inputs": [X, X[:2]]}, "the same number of rows"),
        ({"train_inputs": X, "test_inputs": X}, "test_targets=None"),
        ({"train_inputs": X, "test_targets": X}, "test_inputs=None"),
        ({"train_inputs": X, "test_inputs": X, "test_targets": X[:2]}, "Received: 4 and 2"),
        (
            {"train_inputs": X, "test_inputs": X, "test_targets": X, "test_weights": X[:3, 0]},
            "targets and weights .* Received: 4 and 3",
        ),
        ({"train_inputs": X, "test_weights": X[:, 0]}, "test_weights without them"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_samples(tmp_path / "s.npz", **given)
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", train_inputs=X)
    content = (tmp_path / "s.npz").read_bytes()
    np.savez(tmp_path / "other.npz", X)
    np.savez(tmp_path / "pickle.npz", header=np.array([{}], object), allow_pickle=True)
    bad = {"cut.npz": content[:-20], "empty.npz": b"", "text.npz": b"not a file of arrays"}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    for name in (*bad, "other.npz", "pickle.npz", "missing.npz"):
        with pytest.raises(InputError, match=r"whole file that write_samples wrote.*Received"):
            read_samples(tmp_path / name)
