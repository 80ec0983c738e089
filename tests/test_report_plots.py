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
from trimgrid.report import prediction_panels, tradeoff
from trimgrid.report.axes import draw_axes
from trimgrid.report.figures import GREEN, RED, new_figure
from trimgrid.report.frame import Frame
from trimgrid.report.labels import Box, place_labels, place_where_room
from trimgrid.report.plots import save_predictions, save_tradeoff
from trimgrid.report.prediction_data import prediction_data
from trimgrid.report.ticks import logarithmic_marks, logarithmic_numbers, round_numbers
from trimgrid.report.tradeoff_data import tradeoff_data
from trimgrid.results import AttemptInfo

X = np.random.RandomState(1).permutation(np.linspace(-2, 2, 40))[:, np.newaxis]
Y = X**2
NAN, INF = math.nan, math.inf


def info(
    name: str,
    zipped: int | None = 5000,
    error: float = 1e-3,
    y_pred: Any = None,
    errors: tuple[float, ...] = (),
) -> AttemptInfo:
    sizes = (9, 5, 4, 37080, 18155, 7232, zipped)
    return AttemptInfo(name, *sizes, y_pred, error, errors=errors)


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

    monkeypatch.setattr(prediction_panels, "save_png", keep)
    monkeypatch.setattr(tradeoff, "save_png", keep)
    return figures


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


def lines(figure: Any) -> list[Any]:
    return [artist for artist in figure.artists if hasattr(artist, "get_xydata")]


def colored(figure: Any, color: str) -> list[Any]:
    return [line for line in lines(figure) if line.get_color() == color]


def strokes(figure: Any) -> list[Any]:
    """The corners of all lines that were drawn many at once."""
    collections = [artist for artist in figure.artists if hasattr(artist, "get_paths")]
    return [path.vertices for each in collections for path in each.get_paths()]


def test_curves_are_sorted_by_x() -> None:
    data = prediction_data(several(8), X, Y)
    order = np.argsort(X[:, 0])
    np.testing.assert_array_equal(data.x, X[order, 0])
    np.testing.assert_array_equal(data.truth, Y[order, 0])
    assert len(data.panels) == 8
    expected = (Y + 3 / 50 * np.sin(3 * X))[order, 0]
    np.testing.assert_array_equal(data.panels[3].prediction, expected)


def test_curves_are_six_panels_a_row(drawn: list[Any], tmp_path: Path) -> None:
    save_predictions(several(8), X, Y, tmp_path / "predictions.png")
    titles = [text for text in drawn[0].texts if text.get_text().startswith("attempt")]
    heights = [text.get_position()[1] for text in titles]
    assert len(set(heights[:6])) == 1
    assert heights[6] == heights[7] < heights[0]
    assert [text.get_position()[0] for text in titles[6:]] == [
        text.get_position()[0] for text in titles[:2]
    ]
    # One line more of each colour stands in the legend.
    assert len(colored(drawn[0], GREEN)) == len(colored(drawn[0], RED)) == 9


def test_a_curve_is_drawn_where_its_values_are(drawn: list[Any], tmp_path: Path) -> None:
    save_predictions([info("one", y_pred=Y + 1)], X, Y, tmp_path / "predictions.png")
    truth, prediction = (colored(drawn[0], color)[0] for color in (GREEN, RED))
    data = prediction_data([info("one", y_pred=Y + 1)], X, Y)
    panel = truth.get_clip_box()
    width, height = panel.width, panel.height
    for line, values in ((truth, data.truth), (prediction, data.truth + 1)):
        x, y = line.get_data()
        (x_low, x_high), (y_low, y_high) = data.x_range, data.y_range
        np.testing.assert_allclose((x - panel.x0) / width, (data.x - x_low) / (x_high - x_low))
        np.testing.assert_allclose((y - panel.y0) / height, (values - y_low) / (y_high - y_low))


def test_titles_tell_name_error_and_sizes() -> None:
    (panel,) = prediction_data([info("poly decay 10/50", 5781, 1.379e-4, Y)], X, Y).panels
    assert panel.title == "poly decay 10/50"
    assert panel.figures == "1.38e-04 · tflite 5.8 · h5 18.2 kB"


@pytest.mark.parametrize("x", [X, X * 1e30, 1.7e9 + X, 1.7e9 + 1e4 * X, X - 1e6])
def test_texts_of_curves_do_not_overlap(x: Any, drawn: list[Any], tmp_path: Path) -> None:
    infos = [info("a name as long as it ever gets " + str(k), 99999999, 1e-4, Y) for k in range(12)]
    save_predictions(infos, x, Y * 1000, tmp_path / "predictions.png")
    boxes = [text.get_window_extent().extents for text in drawn[0].texts]
    boxes += [line.get_clip_box().extents for line in colored(drawn[0], GREEN)[:12]]
    assert not [pair for pair in itertools.combinations(boxes, 2) if hidden(*pair) > 0]
    assert min(min(box[:2]) for box in boxes) >= 0
    assert max(box[2] for box in boxes) <= drawn[0].bbox.width
    assert max(box[3] for box in boxes) <= drawn[0].bbox.height


@pytest.mark.parametrize(
    ("prediction", "is_drawn"),
    [
        (None, False),
        (np.full_like(Y, NAN), False),
        (np.full_like(Y, INF), False),
        (np.where(X > 0, NAN, Y), True),
        (np.where(X > 0, -INF, Y), True),
        (Y * 1e30, True),
        (Y.astype(np.float16), True),
    ],
)
def test_predictions_that_are_not_numbers(
    prediction: Any, is_drawn: bool, drawn: list[Any], tmp_path: Path
) -> None:
    infos = [info("good", y_pred=Y), info("bad", y_pred=prediction)]
    save_predictions(infos, X, Y, tmp_path / "c.png")
    assert len(colored(drawn[0], GREEN)) == 2 + is_drawn  # and one in the legend
    assert ("failed" in texts(drawn[0])) != is_drawn
    bottom, top = prediction_data(infos, X, Y).y_range
    assert -4 < bottom < 0 < 4 < top < 8


@pytest.mark.parametrize(("x", "y"), [([3.0], [7.0]), ([NAN, 1.0], [NAN, NAN]), ([2, 2], [0, 5])])
def test_any_points_become_curves(x: list[float], y: list[float], tmp_path: Path) -> None:
    save_predictions([info("one", y_pred=np.array(y))], x, y, tmp_path / "predictions.png")
    assert (tmp_path / "predictions.png").read_bytes().startswith(b"\x89PNG")


def test_of_many_curves_the_best_are_drawn() -> None:
    front = {100: (900, 0.5), 150: (800, 0.6), 170: (700, 0.7)}
    infos = [
        info(f"{k}", *front.get(k, (2000, 0.5 + (200 - k) / 1e3)), y_pred=Y) for k in range(200)
    ]
    infos[120] = info("failed", None, NAN)
    data = prediction_data(infos, X, Y)
    best = sorted({0, *front, *range(142, 200)})
    assert [panel.title for panel in data.panels] == [str(k) for k in best]
    assert len(best) == 60
    assert data.note.endswith(
        ". 60 of 200 attempts: the original, the Pareto front, the least errors"
    )
    assert "attempts" not in prediction_data(infos[:60], X, Y).note


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
        save_predictions(infos, x, Y, tmp_path / "predictions.png")
    assert not list(tmp_path.iterdir())


FOUR = [
    info("original", 6000, 1e-4),
    info("good", 3000, 2e-4),
    info("beaten", 4000, 3e-4),
    info("small", 1000, 1e-2),
]


def test_tradeoff_has_points_front_and_original() -> None:
    data = tradeoff_data(FOUR, "zipped_tflite_size")
    assert [(point.name, point.kind, point.size, point.error) for point in data.points] == [
        ("original", "original", 6.0, 1e-4),
        ("good", "on the Pareto front", 3.0, 2e-4),
        ("beaten", "beaten by another", 4.0, 3e-4),
        ("small", "on the Pareto front", 1.0, 1e-2),
    ]
    assert [point.name for point in data.front] == ["small", "good", "original"]
    assert data.named == data.points
    assert (data.logarithmic, data.repeated, data.crowded, data.note) == (True, False, False, "")
    assert data.size_range == pytest.approx((0.5, 6.5))
    assert np.log10(data.error_range) == pytest.approx((-4.2, -1.8))


def test_tradeoff_draws_its_points(drawn: list[Any], tmp_path: Path) -> None:
    save_tradeoff(FOUR, tmp_path / "tradeoff.png", error_name="mean squared error")
    written = texts(drawn[0])
    assert "zipped .tflite size (kB)" in written
    assert "mean squared error on the test data" in written
    assert {each.name for each in FOUR} < set(written)
    assert {"original", "on the Pareto front", "beaten by another"} < set(written)
    assert "range of repeats" not in written
    places = {line.get_marker(): line.get_xydata() for line in lines(drawn[0])[3:]}
    ((star, height),) = places["*"].tolist()
    (good, small), ((beaten, _),) = places["o"].tolist(), places["X"].tolist()
    # Sizes are 6, 3, 4 and 1 kB at a linear axis, errors 1e-4, 2e-4 and 1e-2 at a logarithmic one.
    assert (good[0] - small[0], beaten - small[0]) == pytest.approx(
        ((star - small[0]) * 2 / 5, (star - small[0]) * 3 / 5)
    )
    assert good[1] - height == pytest.approx((small[1] - height) * math.log10(2) / 2)


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
    assert label in texts(drawn[0])
    assert tradeoff_data([info("original")], size).points[0].size == x


def test_tradeoff_names_what_is_missing(drawn: list[Any], tmp_path: Path) -> None:
    infos = [info("original"), info("no file", None), info("no error", 1, NAN), info("far", 1, INF)]
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    assert "Not measured: no file, no error, far" in texts(drawn[0])
    assert "far" not in texts(drawn[0])
    many = tradeoff_data([info(f"lost {k}", None) for k in range(1000)], "h5_size")
    assert many.note == ""
    many = tradeoff_data([info(f"lost {k}", None) for k in range(1000)], "zipped_tflite_size")
    assert many.note == f"Not measured: {', '.join(f'lost {k}' for k in range(8))}, and 992 more"
    assert (many.points, many.front, many.logarithmic) == ([], [], False)


REPEATED = [
    info("original", 6000, 2e-4, errors=(2e-4, 1e-4, 4e-4)),
    info("single", 5000, 3e-4),
    info("touches zero", 4000, 1e-3, errors=(0.0, 1e-3, NAN, 8e-2, INF)),
    info("beaten", 4500, 2e-3, errors=(2e-3,)),
]


def test_tradeoff_of_repeats_has_ranges_and_stays_logarithmic() -> None:
    data = tradeoff_data(REPEATED, "zipped_tflite_size")
    ranges = [point.error_range for point in data.points]
    assert ranges == [(1e-4, 4e-4), None, (0.0, 8e-2), (2e-3, 2e-3)]
    assert (data.repeated, data.logarithmic) == (True, True)
    assert [point.name for point in data.front] == ["touches zero", "single", "original"]
    bottom, top = data.error_range
    assert 0 < bottom < 1e-4
    assert 8e-2 < top < 1


def test_range_bars_are_drawn(drawn: list[Any], tmp_path: Path) -> None:
    save_tradeoff(REPEATED, tmp_path / "tradeoff.png", error_name="loss")
    assert "range of repeats" in texts(drawn[0])
    assert "loss on the test data, median of repeats" in texts(drawn[0])
    upright = {
        (round(start[0]), *sorted((round(start[1]), round(end[1]))))
        for start, *_, end in (corners.tolist() for corners in strokes(drawn[0]))
        if start[0] == end[0]
    }
    data = tradeoff_data(REPEATED, "zipped_tflite_size")
    left, bottom, right, top = axes_edges(drawn[0])
    frame = Frame(left, bottom, right, top, data.size_range, data.error_range, data.logarithmic)
    for point in data.points:
        if point.error_range is not None:
            (x,), (low, high) = frame.across([point.size]), frame.up(point.error_range)
            assert (round(float(x)), round(float(low)), round(float(high))) in upright
    assert frame.up([0.0]) == pytest.approx(bottom)


def axes_edges(figure: Any) -> tuple[float, float, float, float]:
    """The edges of the axes, from the one line that goes along both of them."""
    (corners,) = (each for each in strokes(figure) if len(each) == 3)
    (left, top), _, (right, bottom) = corners.tolist()
    return left, bottom, right, top


def cloud(count: int) -> list[AttemptInfo]:
    random = np.random.default_rng(0)
    sizes, errors = random.uniform(1000, 9000, count), np.exp(random.normal(-6, 2, count))
    return [
        info(f"attempt {k}", int(size), error, errors=(error / 2, error, error * 3))
        for k, (size, error) in enumerate(zip(sizes, errors, strict=True))
    ]


def test_of_many_points_the_front_is_named_where_there_is_room(
    drawn: list[Any], tmp_path: Path
) -> None:
    infos = cloud(1000)
    data = tradeoff_data(infos, "zipped_tflite_size")
    assert len(data.points) == 1000
    assert data.crowded
    assert data.named[0].kind == "original"
    assert {point.name for point in data.named[1:]} == {
        point.name for point in data.front if point.kind != "original"
    }
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    names = [text for text in drawn[0].texts if text.get_text().startswith("attempt ")]
    assert 3 <= len(names) <= len(data.named)
    boxes = [text.get_window_extent().extents for text in names]
    # Letters reach a pixel over the box that was measured for them.
    assert not [pair for pair in itertools.combinations(boxes, 2) if hidden(*pair) > 20]
    assert len(drawn[0].texts) < 60


def test_names_are_no_formulas(drawn: list[Any], tmp_path: Path) -> None:
    save_tradeoff([info("a $\\broken{$ name", y_pred=Y)], tmp_path / "t.png")
    save_predictions([info("a $\\broken{$ name", y_pred=Y)], X, Y, tmp_path / "c.png")
    assert all("a $\\broken{$ name" in texts(figure) for figure in drawn)


@pytest.mark.parametrize(
    "infos",
    [
        [info("only failed", None, NAN)],
        [info("perfect", 5000, 0.0), info("good", 4000, 0.5)],
        [info("same", 5000, 0.5), info("same too", 5000, 0.5)],
        [info("one")],
        [info("tiny", 1, 5e-324), info("huge", 2**60, 1e308)],
        [info("none", 5000, -0.5, errors=(-0.7, -0.5, 0.1)), info("below", 4000, -0.4)],
        several(12),
        [*several(12), info("repeated", 5000, 0.5, errors=(0.5, -INF))],
    ],
)
def test_any_tradeoff_becomes_a_picture(infos: list[AttemptInfo], tmp_path: Path) -> None:
    save_tradeoff(infos, tmp_path / "tradeoff.png")
    assert [path.name for path in tmp_path.iterdir()] == ["tradeoff.png"]
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("low", "high", "at_most", "labels"),
    [
        (-6.6, 6.6, 7, ["~6", "~4", "~2", "0", "2", "4", "6"]),
        (2.1, 6.3, 9, ["2.5", "3.0", "3.5", "4.0", "4.5", "5.0", "5.5", "6.0"]),
        (1.7e9, 1.7e9 + 2, 3, ["1700000000", "1700000001", "1700000002"]),
        (0, 2.1e6, 3, ["0", "1e+06", "2e+06"]),
        (-1e-9, 1e-9, 3, ["~1e~09", "0", "1e~09"]),
    ],
)
def test_round_numbers(low: float, high: float, at_most: int, labels: list[str]) -> None:
    written = [
        label.replace("\N{MINUS SIGN}", "~") for label in round_numbers(low, high, at_most).values()
    ]
    assert written == labels


@pytest.mark.parametrize(
    ("low", "high", "labels", "marks"),
    [
        (0.39, 0.48, ["0.40", "0.42", "0.44", "0.46", "0.48"], 0),
        (0.03, 0.4, ["5·10⁻²", "10⁻¹", "2·10⁻¹"], 11),
        (5e-5, 0.2, ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"], 5 + 3 * 9 + 2),
        (
            1e-30,
            1e30,
            [f"10{e}" for e in ("⁻³⁰", "⁻²³", "⁻¹⁶", "⁻⁹", "⁻²", "⁵", "¹²", "¹⁹", "²⁶")],
            0,
        ),
    ],
)
def test_logarithmic_numbers(low: float, high: float, labels: list[str], marks: int) -> None:
    assert list(logarithmic_numbers(low, high).values()) == labels
    assert len(logarithmic_marks(low, high)) == marks


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.booleans(), st.integers(-12, 12))
@settings(max_examples=40, deadline=None)
def test_any_axes_have_numbers_within(
    low: float, span: float, logarithmic: bool, power: int
) -> None:
    if logarithmic:
        low, high = 10.0**power, 10.0**power * (1 + span)
        numbers = logarithmic_numbers(low, high)
    else:
        high = low + max(span, 1e-6 * abs(low))
        numbers = round_numbers(low, high, 8)
    assert 1 <= len(numbers) <= 11
    assert all(low <= number <= high for number in numbers)
    assert len(set(numbers.values())) == len(numbers)


def test_axes_stay_on_the_picture() -> None:
    figure = new_figure(9.0, 6.0)
    frame = draw_axes(figure, (0.05, 0.1, 8.9, 5.8), (0, 1), (1e-9, 2e-9), True, "size", "error")
    figure.draw_without_rendering()
    for text in figure.texts:
        box = text.get_window_extent().extents
        assert min(box) >= 0
        assert hidden(box, (frame.left, frame.bottom, frame.right, frame.top)) == 0


def test_tradeoff_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Received: size='weight'"):
        save_tradeoff(several(2), tmp_path / "tradeoff.png", size="weight")
    with pytest.raises(InputError, match="Received: no attempts"):
        save_tradeoff([], tmp_path / "tradeoff.png")
    assert not list(tmp_path.iterdir())


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for run in ("a", "b"):
        save_predictions(several(3), X, Y, tmp_path / f"predictions_{run}.png")
        save_tradeoff(several(3), tmp_path / f"tradeoff_{run}.png")
    for picture in ("predictions", "tradeoff"):
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


@given(st.lists(coordinates, min_size=1, max_size=60), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_labels_where_there_is_room_hide_nothing(points: list[tuple[int, int]], count: int) -> None:
    sizes = [(130.0, 14.0)] * min(count, len(points))
    places = place_where_room(points, sizes, [6.0] * len(points), AREA)
    assert len(places) == len(sizes)
    kept = [box for box in places if box is not None]
    assert not [pair for pair in itertools.combinations(kept, 2) if hidden(*pair) > 0]
    for (x, y), own in zip(points, places, strict=False):
        if own is not None:
            nearest = (min(max(x, own[0]), own[2]), min(max(y, own[1]), own[3]))
            assert math.dist((x, y), nearest) < 6 + 24 * 2**0.5 + 6
    for x, y in set(points):
        dot = (x - 6, y - 6, x + 6, y + 6)
        assert not [box for box in kept if hidden(box, dot) > 1e-6]


def test_between_markers_there_is_no_room() -> None:
    crowd = [(float(x), float(y)) for x in range(300, 600, 20) for y in range(200, 400, 20)]
    crowd.insert(0, (450.0, 300.0))
    assert place_where_room(crowd, [(50.0, 10.0)], [6.0] * len(crowd), AREA) == [None]


def test_alone_there_is_always_room() -> None:
    assert place_where_room([(100.0, 100.0)], [(50.0, 10.0)], [6.0], AREA) == place_labels(
        [(100.0, 100.0)], [(50.0, 10.0)], [6.0], AREA
    )
