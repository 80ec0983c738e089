"""What a sensitivity says of its points: reach, shares at equal cost, tensors to spare, files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.report.plot_sensitivity import plot_sensitivity, save_sensitivity
from trimgrid.report.sensitivity_text import sensitivity_text
from trimgrid.run_directory.json_files import DamagedFileError
from trimgrid.run_directory.sensitivity_file import (
    SENSITIVITY,
    read_sensitivity,
    write_sensitivity,
)
from trimgrid.sensitivity import Sensitivity, SensitivityPoint

AT = (0.25, 0.5, 0.75)


def made(**tensors: tuple[int, list[float]]) -> Sensitivity:
    points = [
        SensitivityPoint(name, weights, *each)
        for name, (weights, errors) in tensors.items()
        for each in zip(AT, errors, strict=True)
    ]
    return Sensitivity(points[::-1], 1.0, "loss: mse")  # whatever the order they come in


TWO = made(b=(300, [1.0, 2.0, 4.0]), a=(100, [2.0, 3.0, 9.0]))


def test_points_are_in_the_order_of_tensors_and_of_sparsities() -> None:
    assert [point.sparsity for point in TWO] == [*AT, *AT]
    assert TWO.weights == {"a": 100, "b": 300}
    assert TWO.errors("b") == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("errors", "limit", "reach"),
    [
        ([1.0, 2.0, 4.0], 1.0, 0.25),
        ([1.0, 2.0, 4.0], 1.5, 0.375),
        ([1.0, 2.0, 4.0], 3.0, 0.625),
        ([1.0, 2.0, 4.0], 9.0, 0.75),
        ([0.5, 0.4, 0.3], 1.0, 0.75),
        ([5.0, 0.5, 0.5], 3.0, 0.125),  # what comes after a peak does not count
        ([math.inf, 1.0, 1.0], 9.0, 0.0),
        ([1.0, math.nan, 1.0], 9.0, 0.25),
    ],
)
def test_how_far_a_tensor_goes_alone(errors: list[float], limit: float, reach: float) -> None:
    found = made(a=(10, errors)).largest(max_error=limit, max_increase=100)
    assert found == {"a": pytest.approx(reach)}


LEVELS = st.sampled_from([0.5, 1.0, 1.0, 1.0, 2.0, 5.0, 100.0, math.inf])


@given(
    st.lists(st.lists(LEVELS, min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(0.0, 0.99),
)
def test_shares_have_the_sparsity_in_all(errors: list[list[float]], sparsity: float) -> None:
    """Errors that stand still, jump, fall or have no end: what goes is what was asked for."""
    found = made(**{f"t{i}": (10 * (i + 1), each) for i, each in enumerate(errors)})
    shares = found.shares(sparsity)
    gone = sum(found.weights[each] * share for each, share in shares.items())
    assert gone == pytest.approx(sparsity * sum(found.weights.values()), abs=1e-6)
    assert all(0 <= share <= 1 for share in shares.values())


@given(st.lists(st.lists(st.floats(1.0, 100.0), min_size=3, max_size=3), min_size=1, max_size=4))
def test_shares_have_one_cost(errors: list[list[float]]) -> None:
    found = made(**{f"t{i}": (10 * (i + 1), each) for i, each in enumerate(errors)})
    shares = found.shares(0.5)
    wanted = 0.5 * sum(found.weights.values())
    for level in np.linspace(1.0, 100.0, 500):
        alike = found.largest(max_error=float(level), max_increase=1000)
        if sum(found.weights[each] * share for each, share in alike.items()) >= wanted:
            assert all(shares[each] <= alike[each] + 1e-6 for each in shares)
            break
        assert all(alike[each] <= shares[each] + 1e-6 for each in shares)


def test_who_is_to_be_spared() -> None:
    assert TWO.shares(0.5) == {"a": pytest.approx(0.35), "b": pytest.approx(0.55)}
    assert TWO.spare() == []
    dear = made(cheap=(900, [1.0, 1.0, 1.1]), dear=(100, [50.0, 60.0, 70.0]))
    assert dear.spare() == ["dear"]
    assert "dear" in repr(dear)


def test_beyond_what_was_looked_at_all_go_on_at_the_same_pace() -> None:
    assert TWO.shares(0.9) == {"a": pytest.approx(0.9), "b": pytest.approx(0.9)}


def test_tables() -> None:
    assert TWO.to_csv().splitlines()[:2] == ["tensor,weights,sparsity,error", "a,100,0.25,2.0"]
    assert list(TWO.to_pandas().columns) == ["tensor", "weights", "sparsity", "error"]


def test_a_file_that_is_read_back(tmp_path: Path) -> None:
    assert read_sensitivity(tmp_path) is None
    found = made(a=(10, [1.0, math.inf, math.nan]))
    write_sensitivity(tmp_path, found)
    read = read_sensitivity(tmp_path)
    assert read is not None
    assert read.errors("a") == [1.0, math.inf, math.inf]
    (tmp_path / SENSITIVITY).write_text(json.dumps({"points": [[1]]}))
    with pytest.raises(DamagedFileError, match=SENSITIVITY):
        read_sensitivity(tmp_path)
    with pytest.raises(InputError, match="to_dict"):
        Sensitivity.from_dict({})


def test_the_text_has_80_columns_and_marks_whom_to_spare() -> None:
    dear = made(
        **{"a_block/with_a_long_name/dense/kernel": (9_000_000, [1.0, 1.0, 1.1])},
        dear=(100, [50.0, 60.0, math.inf]),
    )
    text = sensitivity_text(dear)
    assert max(map(len, text.splitlines())) <= 80
    assert "! dear " in text
    assert "Spare dear, " in text
    assert "none is to be spared" in sensitivity_text(TWO)


@pytest.mark.parametrize("original", [1.0, 0.0])
def test_the_picture_has_a_field_for_each_point(original: float, tmp_path: Path) -> None:
    found = Sensitivity(
        list(made(a=(10, [1.0, 2.0, math.inf]), b=(5, [3.0, 4.0, 5.0]))), original, "x"
    )
    axes = plot_sensitivity(found).axes[0]
    texts = [each.get_text() for each in axes.texts]
    assert len(texts) == 6
    assert texts[5] == "-"
    assert texts[4] == ("2.00" if original else "2.0e+00")
    save_sensitivity(found, tmp_path / "heat.png")
    assert (tmp_path / "heat.png").read_bytes()[1:4] == b"PNG"
