"""Pictures: what is drawn where, the same bytes every time, and no name over another."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimgrid.errors import InputError
from trimgrid.report import curves, tradeoff
from trimgrid.report.labels import Box, place_labels
from trimgrid.report.plots import save_curves, save_tradeoff
from trimgrid.results import AttemptInfo

X = np.random.RandomState(1).permutation(np.linspace(-2, 2, 40))[:, np.newaxis]
Y = X**2
NAN, INF = math.nan, math.inf


def info(
    name: str, zipped: int | None = 5000, error: float = 1e-3, y_pred: Any = None
) -> AttemptInfo:
    return AttemptInfo(name, 9, 5, 4, 37080, 18155, 7232, zipped, y_pred, error)


def several(count: int) -> list[AttemptInfo]:
    return [
        info(f"attempt {k}", 5000 - 300 * k, 1e-4 * 2**k, Y + k / 50 * np.sin(3 * X))
        for k in range(count)
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were saved, to look into."""
    figures: list[Any] = []

    def keep(figure: Any, path: Path) -> None:
        figure.draw_without_rendering()
        figures.append(figure)

    monkeypatch.setattr(curves, "save_png", keep)
    monkeypatch.setattr(tradeoff, "save_png", keep)
    return figures


def texts(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text")))


def test_curves_are_six_panels_a_row_sorted_by_x(drawn: list[Any], tmp_path: Path) -> None:
    save_curves(several(8), X, Y, tmp_path / "curves.png")
    panels = [panel for panel in drawn[0].axes if panel.get_visible()]
    assert len(panels) == 8
    assert len({panel.get_position().y0 for panel in panels[:6]}) == 1
    assert panels[6].get_position().y1 < panels[0].get_position().y0
    assert len({(panel.get_xlim(), panel.get_ylim()) for panel in panels}) == 1
    truth, prediction = panels[3].get_lines()
    order = np.argsort(X[:, 0])
    np.testing.assert_array_equal(truth.get_xdata(), X[order, 0])
    np.testing.assert_array_equal(truth.get_ydata(), Y[order, 0])
    np.testing.assert_array_equal(prediction.get_ydata(), (Y + 3 / 50 * np.sin(3 * X))[order, 0])


def test_titles_tell_name_error_and_sizes(drawn: list[Any], tmp_path: Path) -> None:
    save_curves([info("poly decay 10/50", 5781, 1.379e-4, Y)], X, Y, tmp_path / "curves.png")
    assert drawn[0].axes[0].get_title() == "poly decay 10/50"
    assert "1.38e-04 · tflite 5.8 · h5 18.2 kB" in texts(drawn[0])


def test_titles_do_not_overlap(drawn: list[Any], tmp_path: Path) -> None:
    infos = [info("a name as long as it ever gets " + str(k), 99999999, 1e-4, Y) for k in range(12)]
    save_curves(infos, X, Y, tmp_path / "curves.png")
    titles = [
        text.get_window_extent().extents
        for panel in drawn[0].axes
        for text in (panel.title, *panel.texts)
    ]
    assert not [pair for pair in itertools.combinations(titles, 2) if hidden(*pair) > 0]
    right_edge = drawn[0].bbox.width
    assert min(box[0] for box in titles) >= 0
    assert max(box[2] for box in titles) <= right_edge


@pytest.mark.parametrize(
    ("prediction", "lines"),
    [
        (None, 0),
        (np.full_like(Y, NAN), 0),
        (np.full_like(Y, INF), 0),
        (np.where(X > 0, NAN, Y), 2),
        (np.where(X > 0, -INF, Y), 2),
        (Y * 1e30, 2),
        (Y.astype(np.float16), 2),
    ],
)
def test_predictions_that_are_not_numbers(
    prediction: Any, lines: int, drawn: list[Any], tmp_path: Path
) -> None:
    save_curves([info("good", y_pred=Y), info("bad", y_pred=prediction)], X, Y, tmp_path / "c.png")
    good, bad = drawn[0].axes
    assert len(good.get_lines()) == 2
    assert len(bad.get_lines()) == lines
    assert ("failed" in texts(bad)) == (lines == 0)
    bottom, top = good.get_ylim()
    assert -4 < bottom < 0 < 4 < top < 8


@pytest.mark.parametrize(
    ("infos", "x", "message"),
    [
        ([], X, "Received: 0 attempts, 40 points"),
        (several(1), X[:0], "Received: 1 attempts, 0 points"),
        (several(1), X[:39], "Received: 39 points, 40 values of y_true"),
        ([info("short", y_pred=Y[:7])], X, "Received: 40 points, 7 values of short"),
    ],
)
def test_curves_refuse(infos: list[AttemptInfo], x: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        save_curves(infos, x, Y, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_tradeoff_draws_points_front_and_original(drawn: list[Any], tmp_path: Path) -> None:
    infos = [
        info("original", 6000, 1e-4),
        info("good", 3000, 2e-4),
        info("beaten", 4000, 3e-4),
        info("small", 1000, 1e-2),
    ]
    save_tradeoff(infos, tmp_path / "tradeoff.png", error_name="mean squared error")
    (axes,) = drawn[0].axes
    offsets = {points.get_label(): points.get_offsets().tolist() for points in axes.collections}
    assert offsets == {
        "original": [[6.0, 1e-4]],
        "on the Pareto front": [[3.0, 2e-4], [1.0, 1e-2]],
        "beaten by another": [[4.0, 3e-4]],
    }
    front = axes.get_lines()[0].get_xydata()
    assert front[1:-1].tolist() == [[1.0, 1e-2], [3.0, 2e-4], [6.0, 1e-4]]
    assert (front[0, 0], front[-1, 1]) == (1.0, 1e-4)
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "zipped .tflite size (kB)"
    assert axes.get_ylabel() == "mean squared error on the test data"
    assert {text.get_text() for text in axes.texts} == {each.name for each in infos}


@pytest.mark.parametrize(
    ("size", "label", "x"),
    [
        ("h5_size", ".h5 size (kB)", 37.08),
        ("zipped_h5_size", "zipped .h5 size (kB)", 18.155),
        ("tflite_size", ".tflite size (kB)", 7.232),
    ],
)
def test_tradeoff_of_another_size(
    size: str, label: str, x: float, drawn: list[Any], tmp_path: Path
) -> None:
    save_tradeoff([info("original")], tmp_path / "tradeoff.png", size=size)
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == label
    assert axes.collections[0].get_offsets()[0, 0] == x


def test_tradeoff_names_what_is_missing(drawn: list[Any], tmp_path: Path) -> None:
    infos = [info("original"), info("no file", None), info("no error", 1, NAN), info("far", 1, INF)]
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    assert "Not measured: no file, no error, far" in texts(drawn[0])
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["original"]


@pytest.mark.parametrize(
    "infos",
    [
        [info("only failed", None, NAN)],
        [info("perfect", 5000, 0.0), info("good", 4000, 0.5)],
        [info("same", 5000, 0.5), info("same too", 5000, 0.5)],
        [info("one")],
        several(12),
    ],
)
def test_any_tradeoff_becomes_a_picture(infos: list[AttemptInfo], tmp_path: Path) -> None:
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    assert [path.name for path in tmp_path.iterdir()] == ["tradeoff.png"]
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


def test_narrow_range_has_plain_numbers(drawn: list[Any], tmp_path: Path) -> None:
    infos = [info("a", 6000, 0.395), info("b", 3000, 0.474)]
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    ticks = [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()]
    assert "0.42" in ticks


def test_tradeoff_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Received: size='weight'"):
        save_tradeoff(several(2), tmp_path / "tradeoff.png", size="weight")
    with pytest.raises(InputError, match="Received: no attempts"):
        save_tradeoff([], tmp_path / "tradeoff.png")
    assert not list(tmp_path.iterdir())


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for run in ("a", "b"):
        save_curves(several(3), X, Y, tmp_path / f"curves_{run}.png")
        save_tradeoff(several(3), tmp_path / f"tradeoff_{run}.png")
    for picture in ("curves", "tradeoff"):
        first, second = ((tmp_path / f"{picture}_{run}.png").read_bytes() for run in "ab")
        assert first == second
        assert b"matplotlib" not in first.lower()


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tradeoff.png").write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        save_tradeoff(several(2), tmp_path / "tradeoff.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_report_imports_neither_matplotlib_nor_a_framework() -> None:
    program = (
        "import sys, trimgrid.report.plots, trimgrid.report.table\n"
        "print({'matplotlib', 'keras', 'jax', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_pictures_leave_pyplot_alone(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from trimgrid.report.plots import save_tradeoff\n"
        "from trimgrid.results import AttemptInfo\n"
        "info = AttemptInfo('a', 1, 1, 0, 1, 1, 1, 1, None, 0.5)\n"
        f"save_tradeoff([info], {str(tmp_path / 'picture.png')!r})\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def hidden(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return float(max(width, 0) * max(height, 0))


AREA: Box = (0.0, 0.0, 900.0, 600.0)
coordinates = st.tuples(st.integers(20, 880), st.integers(20, 580))


@given(st.lists(coordinates, min_size=1, max_size=12))
@settings(max_examples=40)
def test_labels_keep_clear_of_labels_points_and_edges(points: list[tuple[int, int]]) -> None:
    sizes = [(130.0, 14.0)] * len(points)
    places = place_labels(points, sizes, [6.0] * len(points), AREA)
    assert [(box[2] - box[0], box[3] - box[1]) for box in places] == sizes
    assert all(
        box[0] >= 0 and box[1] >= 0 and box[2] <= AREA[2] and box[3] <= AREA[3] for box in places
    )
    assert not [pair for pair in itertools.combinations(places, 2) if hidden(*pair) > 0]
    dots = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    assert not [pair for pair in itertools.product(places, dots) if hidden(*pair) > 0]


def test_lonely_label_is_right_of_its_point() -> None:
    assert place_labels([(100.0, 100.0)], [(50.0, 10.0)], [6.0], AREA) == [
        (109.0, 95.0, 159.0, 105.0)
    ]


def test_label_avoids_the_line() -> None:
    line = (106.0, 99.0, 900.0, 101.0)
    (box,) = place_labels([(100.0, 100.0)], [(50.0, 10.0)], [6.0], AREA, [line])
    assert hidden(box, line) == 0
