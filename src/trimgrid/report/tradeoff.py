"""What each attempt weighs and what it costs in quality, in one picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimgrid.errors import InputError
from trimgrid.report.figures import BLUE, GREY, INK, ORANGE, RED, new_figure, save_png
from trimgrid.report.labels import Box, place_labels
from trimgrid.results import AttemptInfo, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZES = {
    f"{zipped}{kind}_size": f"{zipped.replace('_', ' ')}.{kind} size (kB)"
    for kind in ("tflite", "h5", "keras")
    for zipped in ("zipped_", "")
}
_ORIGINAL, _FRONT, _BEATEN = "original", "on the Pareto front", "beaten by another"
_MARKERS: dict[str, dict[str, Any]] = {
    _ORIGINAL: {"zorder": 5, "marker": "*", "s": 260, "facecolor": ORANGE, "edgecolor": INK},
    _FRONT: {"zorder": 4, "marker": "o", "s": 70, "facecolor": BLUE, "edgecolor": "white"},
    _BEATEN: {"zorder": 3, "marker": "X", "s": 60, "facecolor": GREY, "edgecolor": "white"},
}
_LEADER_FROM = 10.0  # pixels between a marker and its name from which on a line joins them


def save_tradeoff(
    infos: Sequence[AttemptInfo],
    path: str | Path,
    size: str = "zipped_tflite_size",
    error_name: str = "error (loss)",
) -> None:
    """Draw the size of each attempt's file against its error, as a PNG.

    The first of the attempts is the original and is drawn as a star. A step line joins the Pareto
    front: the attempts that no other beats in both size and error. The error's axis is logarithmic,
    or linear if an error is 0. Attempts without a finite error or the size are named below.

    `size` is a size of `AttemptInfo`: "zipped_tflite_size", "tflite_size", and the same for h5
    and keras. `error_name` says on the axis what the error is.

    The file appears whole or not at all, with the same bytes for the same input. Raises
    `InputError` for no attempts and an unknown size, `OSError` where the folder can't be written.
    """
    if size not in _SIZES:
        raise InputError(
            f"The size must be one of an attempt's sizes. Received: size={size!r}. "
            f"Choose one of {', '.join(_SIZES)}."
        )
    if not infos:
        raise InputError("There must be an attempt to draw. Received: no attempts. Give one.")
    shown = [
        info for info in infos if getattr(info, size) is not None and math.isfinite(info.error)
    ]
    figure = new_figure(9.0, 6.2)
    axes = figure.subplots()
    axes.set_xlabel(_SIZES[size], fontsize=11)
    axes.set_ylabel(f"{error_name} on the test data", fontsize=11)
    axes.grid(True, which="major", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if shown:
        _draw_points(figure, axes, shown, size, original=infos[0])
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "nothing measured", ha="center", transform=axes.transAxes)
    missing = [info.name for info in infos if info not in shown]
    if missing:
        figure.supxlabel(f"Not measured: {', '.join(missing)}", fontsize=9, color=RED, wrap=True)
    save_png(figure, Path(path))


def _draw_points(
    figure: Figure, axes: Axes, infos: Sequence[AttemptInfo], size: str, original: AttemptInfo
) -> None:
    points = [(getattr(info, size) / 1000, info.error) for info in infos]
    front = pareto_front(points)
    if min(error for _, error in points) > 0:
        axes.set_yscale("log")
    axes.margins(0.1)
    kinds = [
        _ORIGINAL if info is original else _FRONT if index in front else _BEATEN
        for index, info in enumerate(infos)
    ]
    for kind, marker in _MARKERS.items():
        xy = [point for point, its_kind in zip(points, kinds, strict=True) if its_kind == kind]
        if xy:
            axes.scatter(*zip(*xy, strict=True), label=kind, linewidth=0.8, **marker)
    (_, right), (bottom, top) = axes.set_xlim(axes.get_xlim()), axes.set_ylim(axes.get_ylim())
    if axes.get_yscale() == "log" and top < 10 * bottom:
        _use_plain_ticks(axes)
    # The front bounds the region where nothing was found: from the top edge to the right edge.
    (first_x, _), (_, last_y) = points[front[0]], points[front[-1]]
    corners = [(first_x, top), *(points[index] for index in front), (right, last_y)]
    axes.step(*zip(*corners, strict=True), where="post", color=BLUE, linewidth=1.3, alpha=0.6)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    radii = [math.sqrt(_MARKERS[kind]["s"]) / 2 * figure.dpi / 72 for kind in kinds]
    _write_names(figure, axes, [info.name for info in infos], points, radii, corners)


def _use_plain_ticks(axes: Axes) -> None:
    """Write round numbers at the axis, where powers of ten would be too far apart."""
    from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _write_names(
    figure: Figure,
    axes: Axes,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    radii: Sequence[float],
    corners: Sequence[tuple[float, float]],
) -> None:
    """Write the names near the points; the picture's layout must not change after that."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    texts = [
        axes.text(*point, name, size=9.5, va="bottom", in_layout=False, path_effects=halo)
        for name, point in zip(names, points, strict=True)
    ]
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in texts]
    pixels = [(float(x), float(y)) for x, y in axes.transData.transform(points)]
    left, bottom, right, top = axes.get_window_extent().extents
    places = place_labels(
        pixels,
        [(extent.width, extent.height) for extent in extents],
        radii,
        (left + 4, bottom + 4, right - 4, top - 4),
        _step_boxes(axes.transData.transform(corners)),
    )
    to_data = axes.transData.inverted().transform
    for text, (x, y), radius, place in zip(texts, pixels, radii, places, strict=True):
        text.set_position(tuple(to_data(place[:2])))
        nearest = (min(max(x, place[0]), place[2]), min(max(y, place[1]), place[3]))
        if math.dist((x, y), nearest) > radius + _LEADER_FROM:
            axes.plot(*to_data([(x, y), nearest]).T, color=GREY, linewidth=0.8, zorder=2)


def _step_boxes(corners: Any) -> list[Box]:
    """Return thin boxes around a step line that goes right, then up or down, at each corner."""
    boxes = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        boxes.append((x0, y0 - 1.5, x1, y0 + 1.5))
        boxes.append((x1 - 1.5, min(y0, y1), x1 + 1.5, max(y0, y1)))
    return boxes
