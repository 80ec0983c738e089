"""Figures for notebooks: their data by hand, what is drawn, and whose figure it is."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from trimgrid.errors import InputError, RunError
from trimgrid.report.figures import BLUE
from trimgrid.report.notebook_figure import NotebookFigure, plain
from trimgrid.report.sparsity_data import sparsity_steps, tensor_sparsity
from trimgrid.report.training_curves import training_curves
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import result_dict
from trimgrid.run_directory.details import DETAILS, Details, TensorSummary, write_details
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import Results, load_results

NAN, INF = math.nan, math.inf
HISTORY: dict[str, list[float]] = {
    "seed": [1, 1, 2, 2, 3, 3],
    "epoch": [1, 2, 1, 2, 1, 2],
    "loss": [4.0, 1.0, 2.0, NAN, 3.0, INF],
    "val_loss": [8.0, 2.0, 4.0, NAN, 6.0, NAN],
}
HOSTILE = ["$x_1$", "_hidden", "<script>alert(1)</script>", "🚀\n", "n" * 200, r"\frac{", "שלום"]
PLOTS = ["tradeoff", "curves", "sparsity", "tensors"]


def details(*sparsities: float, updates: Any = ((0, 0.25), (10, 0.5)), steps: int = 40) -> Details:
    tensors = [
        TensorSummary(f"layer_{k}/kernel", (10, 10), 100, round(100 * each), None)
        for k, each in enumerate(sparsities)
    ]
    bias = TensorSummary("layer_0/bias", (10,), 10, 0, "bias")
    return Details((*tensors, bias), None, steps, updates)


def stored(
    folder: Path,
    names: Sequence[str] = ("original", "half", "most"),
    *,
    errors: Sequence[float] = (0.01, 0.02, 0.2),
    repeats: tuple[float, ...] = (),
    history: Mapping[str, Sequence[Any]] | None = HISTORY,
    detailed: bool = True,
    unfinished: tuple[str, ...] = (),
) -> Results:
    """A run directory whose attempts are the smaller the later they come."""
    planned = [Planned(f"{k:04x}", name, {}) for k, name in enumerate([*names, *unfinished])]
    with RunDirectory(folder, {"error_name": "loss: mse"}, {}) as run:
        run.plan(planned)
        for k, (each, error) in enumerate(zip(planned[: len(names)], errors, strict=False)):
            path = run.attempt_folder(each.id)
            path.mkdir(parents=True, exist_ok=True)
            if history is not None:
                run.write_history(each.id, history)
            if detailed:
                mine = details(0.0, 0.0, updates=()) if k == 0 else details(0.5, 0.25)
                write_details(path / DETAILS, mine)
            sizes = (9, 5, 4, 9000, 8000, 7000, 5000 - 100 * k)
            info = AttemptInfo(each.name, *sizes, None, error, errors=repeats)
            run.finish(each.id, result_dict(path, each.id, info, seeds=[0]))
    return load_results(folder)


def plotted(results: Results, plot: str, ax: Any = None) -> Any:
    """The figure of a plot, laid out; a warning is an error."""
    calls = {
        "tradeoff": lambda: results.plot_tradeoff(ax=ax),
        "curves": lambda: results.plot_curves(ax=ax),
        "sparsity": lambda: results.plot_sparsity(ax=ax),
        "tensors": lambda: results.plot_sparsity(by="tensor", ax=ax),
    }
    figure = calls[plot]()
    figure.draw_without_rendering()
    return figure


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_the_median_and_the_range_of_repeats() -> None:
    curves = training_curves({"a": HISTORY, "none": {}, "empty": {"seed": [], "epoch": []}}, "loss")
    loss, validation = curves.training["a"], curves.validation["a"]
    assert loss.epochs.tolist() == [1, 2]
    assert [each.tolist() for each in (loss.median, loss.low, loss.high)] == [
        [3, 1],
        [2, 1],
        [4, 1],
    ]
    assert [validation.median.tolist(), validation.high.tolist()] == [[6, 2], [8, 2]]
    assert (curves.logarithmic, curves.repeated) == (True, True)
    assert curves.note == "No history: none, empty"


@pytest.mark.parametrize(
    ("histories", "metric", "logarithmic", "note"),
    [
        ({"a": {"loss": [1.0, 0.5]}}, "loss", True, ""),
        ({"a": {"loss": [1.0, 0.0]}}, "loss", False, ""),
        ({"a": {"loss": [1.0, -1.0]}}, "loss", False, ""),
        ({"a": {"loss": [NAN, NAN]}}, "loss", False, ""),
        ({"a": {"loss": [1.0], "val_loss": [0.0]}}, "loss", False, ""),
        ({"a": {"loss": [1.0]}, "b": {"loss": [1.0], "mae": [2.0]}}, "mae", True, "No mae: a"),
    ],
)
def test_the_axis_of_the_curves(histories: Any, metric: str, logarithmic: bool, note: str) -> None:
    curves = training_curves(histories, metric)
    assert (curves.logarithmic, curves.note) == (logarithmic, note)


def test_an_epoch_without_a_finite_value_is_a_gap() -> None:
    curve = training_curves({"a": {"epoch": [1, 2], "loss": [NAN, 2.0]}}, "loss").training["a"]
    np.testing.assert_array_equal(curve.median, [NAN, 2.0])
    np.testing.assert_array_equal(curve.high, [NAN, 2.0])


@pytest.mark.parametrize(
    ("histories", "metric", "message"),
    [
        ({"a": HISTORY}, "lss", r"Received: metric='lss'. Did you mean 'loss'\? Known are: loss."),
        ({"a": HISTORY}, "val_loss", "Known are: loss."),
        ({"a": HISTORY}, "seed", "Known are: loss."),
        ({"a": {}, "b": {"epoch": []}}, "loss", "Received: 2 attempts without one. Run the att"),
    ],
)
def test_curves_that_are_not_there(histories: Any, metric: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        training_curves(histories, metric)


@pytest.mark.parametrize(
    ("updates", "steps", "sparsity"),
    [
        (((0, 0.5),), [0, 40], [0.5, 0.5]),
        (((5, 0.5), (9, 0.7)), [0, 5, 9, 40], [0, 0.5, 0.7, 0.7]),
    ],
)
def test_the_plan_over_the_steps(updates: Any, steps: list[int], sparsity: list[float]) -> None:
    data = sparsity_steps({"old": None, "a": details(updates=updates), "b": details(updates=())})
    assert list(data.lines) == ["a"]
    assert [each.tolist() for each in data.lines["a"]] == [steps, sparsity]
    assert data.note == "Sparsity not recorded: old"


def test_the_sparsity_of_tensors() -> None:
    other = Details((TensorSummary("new/kernel", (4,), 4, 1, None),), None, 40, ())
    data = tensor_sparsity({"a": details(0.5, 0.25), "old": None, "failed": details(), "b": other})
    assert data.tensors == ["layer_0/kernel", "layer_1/kernel", "new/kernel"]
    assert data.attempts == ["a", "b"]
    np.testing.assert_array_equal(data.sparsity, [[0.5, NAN], [0.25, NAN], [NAN, 0.25]])
    assert data.note == "Sparsity not recorded: old, failed"


@pytest.mark.parametrize("plot", PLOTS)
def test_a_new_figure_is_one_that_notebooks_show(tmp_path: Path, plot: str) -> None:
    figure = plotted(stored(tmp_path), plot)
    assert isinstance(figure, NotebookFigure)
    assert figure._repr_png_()[1:4] == b"PNG"


@pytest.mark.parametrize("plot", PLOTS)
def test_the_axes_given_are_drawn_on(tmp_path: Path, plot: str) -> None:
    mine = Figure((9, 4))
    left, right = mine.subplots(1, 2)
    assert plotted(stored(tmp_path), plot, right) is mine
    assert right.has_data()
    assert not left.has_data()
    assert not left.get_xlabel()


def test_pyplot_is_left_alone(tmp_path: Path) -> None:
    stored(tmp_path)
    code = f"""
import sys
from trimgrid.runs.results import load_results
results = load_results({str(tmp_path)!r})
results._repr_html_()
assert "matplotlib" not in sys.modules
figures = [results.plot_tradeoff(), results.plot_curves(), results.plot_sparsity("tensor")]
assert len(figures[0]._repr_png_()) > 1000
assert not {{"matplotlib.pyplot", "keras"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_tradeoff(tmp_path: Path) -> None:
    figure = plotted(stored(tmp_path, repeats=(0.005, 0.3)), "tradeoff")
    ax = figure.axes[0]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "zipped .tflite size (kB)"
    label = "loss: mse on the test data, median of repeats"
    assert ax.get_ylabel().replace("\n", " ") == label
    assert legend(figure) == ["original", "on the Pareto front", "range of repeats"]
    points = {line.get_marker(): line.get_xydata().tolist() for line in ax.lines}
    assert points["*"] == [[5.0, 0.01]]
    assert points["o"] == [[4.9, 0.02], [4.8, 0.2]]
    corners = next(line for line in ax.lines if line.get_color() == BLUE and line.get_alpha())
    assert corners.get_xydata()[1:-1].tolist() == [
        *([4.8, 0.2], [4.9, 0.2], [4.9, 0.02], [5.0, 0.02], [5.0, 0.01]),
    ]
    bars = [path.vertices[:, 1].tolist() for path in ax.collections[0].get_paths()]
    assert bars == [[0.005, 0.3]]
    assert {text.get_text() for text in ax.texts if text.get_text()} == {"original", "half", "most"}


@pytest.mark.parametrize(
    ("errors", "scale", "note"),
    [
        ((0.0, 0.02, 0.2), "linear", ""),
        ((0.01, NAN, 0.2), "log", "Not measured: half"),
        ((NAN, NAN, NAN), "linear", "Not measured: original, half, most"),
    ],
)
def test_errors_that_are_none(
    tmp_path: Path, errors: Sequence[float], scale: str, note: str
) -> None:
    ax = plotted(stored(tmp_path, errors=errors), "tradeoff").axes[0]
    assert ax.get_yscale() == scale
    assert "\n".join(ax.get_xlabel().split("\n")[1:]) == note
    if all(map(math.isnan, errors)):
        assert [text.get_text() for text in ax.texts] == ["nothing measured"]


def test_without_the_original_none_has_a_star(tmp_path: Path) -> None:
    results = stored(tmp_path)
    (results[0].folder / "result.json").unlink()
    figure = plotted(load_results(tmp_path), "tradeoff")
    assert legend(figure) == ["on the Pareto front"]
    by_error = load_results(tmp_path).sorted_by("zipped_tflite_size")
    assert legend(plotted(by_error, "tradeoff")) == ["on the Pareto front"]


def test_the_curves(tmp_path: Path) -> None:
    figure = plotted(stored(tmp_path), "curves")
    ax = figure.axes[0]
    assert legend(figure) == [
        *("original", "half", "most"),
        *("validation", "training", "range of repeats"),
    ]
    assert len(ax.lines) == 2 * 3
    assert len(ax.collections) == 2 * 3  # a band for each
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "log")
    colors = {line.get_color() for line in ax.lines}
    assert len(colors) == 3
    assert ax.lines[0].get_ydata().tolist() == [6, 2]
    assert ax.lines[1].get_ydata().tolist() == [3, 1]


def test_of_many_attempts_the_front_is_colored(tmp_path: Path) -> None:
    names = ["original", *(f"attempt {k}" for k in range(20))]
    errors = [0.01, *(0.02 + 0.01 * k for k in range(4)), *[9.0] * 16]
    results = stored(tmp_path, names, errors=errors, history={"epoch": [1, 2], "loss": [2, 1]})
    figure = plotted(results, "curves")
    front = {info.name for info in results.pareto()}
    assert len(front) == 6
    assert set(legend(figure)) == {*front, f"{21 - len(front)} others"}
    assert len(figure.axes[0].lines) == 21
    steps = plotted(results, "sparsity")
    assert set(legend(steps)) == {*front, f"{21 - len(front)} others"} - {"original"}


def test_a_front_longer_than_there_are_colors(tmp_path: Path) -> None:
    names = ["original", *(f"attempt {k}" for k in range(40))]
    results = stored(tmp_path, names, errors=[0.01 * (k + 1) for k in range(41)])
    assert len(results.pareto()) == 41
    names = legend(plotted(results, "curves"))
    assert names[:13] == list(dict.fromkeys(names))[:13]
    assert {"original", "attempt 0", "attempt 39", "29 others"} <= set(names)


def test_the_steps(tmp_path: Path) -> None:
    figure = plotted(stored(tmp_path), "sparsity")
    ax = figure.axes[0]
    assert legend(figure) == ["half", "most"]
    assert [line.get_drawstyle() for line in ax.lines] == ["steps-post"] * 2
    assert ax.lines[0].get_xydata().tolist() == [[0, 0.25], [10, 0.5], [40, 0.5]]


def test_the_heat_map(tmp_path: Path) -> None:
    ax = plotted(stored(tmp_path), "tensors").axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["half", "most"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "layer_0/kernel",
        "layer_1/kernel",
    ]
    assert [text.get_text() for text in ax.texts] == ["50", "50", "25", "25"]


@pytest.mark.parametrize("plot", PLOTS)
def test_names_are_shown_as_they_are(tmp_path: Path, plot: str) -> None:
    names = ["original", *HOSTILE]
    figure = plotted(stored(tmp_path, names, errors=[0.1 + k for k in range(len(names))]), plot)
    ax = figure.axes[0]
    texts = list(ax.texts) if plot == "tradeoff" else []
    texts += ax.get_legend().get_texts() if plot in ("curves", "sparsity") else []
    texts += ax.get_xticklabels() if plot == "tensors" else []
    shown = {text.get_text() for text in texts}
    assert {"$x_1$", "_hidden", "<script>alert(1)</script>", r"\frac{", "שלום"} <= shown
    assert f"{'n' * 16}…{'n' * 23}" in shown
    assert not any(text.get_parse_math() for text in texts if text.get_text())
    assert max(map(len, shown)) <= 40


def test_letters_without_a_picture_become_boxes() -> None:
    assert plain("a🚀\n😀")["text"] == "a□□😀"  # the font has some faces, and no rocket


def test_attempts_without_history_or_details_are_told_of(tmp_path: Path) -> None:
    results = stored(tmp_path)
    results["half"].files.clear()  # as of a result that is damaged, or from before there were any
    assert "No history: half" in plotted(results, "curves").axes[0].get_xlabel()
    for plot in ("sparsity", "tensors"):
        note = "Sparsity not recorded: half"
        assert note in plotted(results, plot).axes[0].get_xlabel()


@pytest.mark.parametrize("plot", PLOTS)
def test_nothing_is_finished(tmp_path: Path, plot: str) -> None:
    with pytest.raises(InputError, match=r"Received: none. Resume the run."):
        plotted(stored(tmp_path, [], unfinished=("original", "half")), plot)


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("curves", "Received: 3 attempts without one. Run the attempts again."),
        ("sparsity", "Received: 2 attempts without, as older runs are. Remove them"),
        ("tensors", "Received: 2 attempts without, as older runs are. Remove them"),
    ],
)
def test_nothing_was_recorded(tmp_path: Path, plot: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plotted(stored(tmp_path, history=None, detailed=False), plot)


def test_what_is_refused(tmp_path: Path) -> None:
    results = stored(tmp_path)
    with pytest.raises(InputError, match="Received: size='big'"):
        results.plot_tradeoff(size="big")
    with pytest.raises(InputError, match=r"Received: by='layer'. Give by='step' or by='tensor'"):
        results.plot_sparsity(by="layer")
    with pytest.raises(InputError, match=r"Received: a ndarray. Give one of it, such as axes\[0\]"):
        results.plot_curves(ax=Figure().subplots(2))
    (results["half"].folder / "history.csv").unlink()
    with pytest.raises(RunError, match="is missing"):
        results.plot_curves()


def test_a_single_epoch_is_a_point(tmp_path: Path) -> None:
    figure = plotted(stored(tmp_path, history={"epoch": [1], "loss": [0.5]}), "curves")
    assert {line.get_marker() for line in figure.axes[0].lines} == {"o"}


@pytest.mark.parametrize(("layout", "outside"), [(None, False), ("constrained", True)])
def test_a_legend_is_beside_where_the_layout_makes_room(
    tmp_path: Path, layout: Any, outside: bool
) -> None:
    ax: Any = Figure((9, 4), layout=layout).subplots()
    figure = plotted(stored(tmp_path), "curves", ax)
    box, area = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert (box.x0 >= area.x1) == outside
    assert box.x1 <= figure.bbox.x1


def test_no_name_of_the_tradeoff_hides_the_legend_or_another(tmp_path: Path) -> None:
    names = ["original", *(f"a rather long name of attempt {k}" for k in range(12))]
    errors = [0.01 * 1.5**k for k in range(13)]
    ax = plotted(stored(tmp_path, names, errors=errors), "tradeoff").axes[0]
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    boxes.append(ax.get_legend().get_window_extent())
    assert len(boxes) == 14
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
