"""What the page shows of sensitivity: a field for each point, as dark as it is dear."""

from __future__ import annotations

import math
from pathlib import Path

from tests.fabricated import HOSTILE, TABLE, Made, make_run
from trimgrid.report.page.notes import run_view
from trimgrid.report.page.sensitivity import sensitivity_view
from trimgrid.report.page.writing import page_html
from trimgrid.results import STOPPED
from trimgrid.run_directory.sensitivity_file import SENSITIVITY, write_sensitivity
from trimgrid.runs.results import load_results
from trimgrid.sensitivity import Sensitivity, SensitivityPoint

ERRORS = [1.0, 1.5, 5.0, 50.0, 500.0, math.inf]
AT = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def found(name: str = "a/kernel", original: float = 1.0) -> Sensitivity:
    points = [SensitivityPoint(name, 10, *each) for each in zip(AT, ERRORS, strict=True)]
    return Sensitivity(points, original, "loss: mse")


def test_fields_are_as_dark_as_they_are_dear(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", TABLE[:1])
    assert sensitivity_view(load_results(folder)) is None
    write_sensitivity(folder, found())
    view = sensitivity_view(load_results(folder))
    assert view is not None
    assert view["head"][:2] == ["10 %", "20 %"]
    assert view["rows"][0]["cells"] == [
        *(("1.00e+00", 0), ("1.50e+00", 1), ("5.00e+00", 2)),
        *(("5.00e+01", 3), ("5.00e+02", 4), ("-", 5)),
    ]
    write_sensitivity(folder, found(original=0.0))
    view = sensitivity_view(load_results(folder))
    assert view is not None
    assert {level for _, level in view["rows"][0]["cells"]} == {5}
    (folder / SENSITIVITY).write_text("[]")
    assert sensitivity_view(load_results(folder)) is None


def test_a_name_stays_a_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", TABLE[:1])
    write_sensitivity(folder, found(HOSTILE[0]))
    page = page_html([load_results(folder)])
    assert HOSTILE[0] not in page
    assert "&lt;script&gt;alert(1)" in page


def test_stopped_attempts_are_counted_and_not_listed(tmp_path: Path) -> None:
    stopped = Made("s", 500, 0.5, status=f"{STOPPED}3: others are smaller and better")
    view = run_view(load_results(make_run(tmp_path / "r", [TABLE[0], stopped])), "r", [])
    assert "1 of them stopped early by a search" in view["asked"]
    assert view["wrong"] == []
