"""The tables and the picture of `quality`, from its result: `python -m benchmarks.quality_report`.

Writes the tables into docs/methods.md, between its two marks, and the picture beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.quality import finite_errors
from benchmarks.quality_methods import METHODS, RECOMMENDED, TFMOT, UNIFORM
from benchmarks.reporting import RESULTS
from trimgrid.report.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, new_figure, save_png
from trimgrid.report.ticks import logarithmic_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- benchmarks/quality_report.py writes from here -->", "<!-- to here -->"
_LINES = {
    TFMOT: (RED, "s"),
    UNIFORM: (ORANGE, "^"),
    "erdos_renyi": (GREY, "D"),
    "global_magnitude": (GREEN, "v"),
    RECOMMENDED: (BLUE, "o"),
}
"""What the picture shows: color and marker of each method."""
_ACROSS = 4


@dataclass(frozen=True)
class Outcome:
    """What one method came to at one sparsity: the errors of the seeds that ended well."""

    method: str
    target: float
    errors: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median error, infinite where no training ended well."""
        return median(self.errors) if self.errors else math.inf


def outcomes_of(experiment: Mapping[str, Any]) -> list[Outcome]:
    """Return what the methods of one experiment came to, in their order."""
    return [
        Outcome(each["method"], each["target"], tuple(finite_errors(each)))
        for each in experiment["attempts"]
    ]


def table(name: str, experiment: Mapping[str, Any]) -> str:
    """Return one experiment as Markdown: a row a method, a column a sparsity.

    Cells hold the median of the seeds and their range; the best median of a column is bold.
    """
    outcomes = outcomes_of(experiment)
    classes = bool(experiment["classes"])
    targets = sorted({each.target for each in outcomes})
    best = {
        target: min(each.median for each in outcomes if each.target == target) for target in targets
    }
    cells = {
        (each.method, each.target): _cell(each, classes, each.median == best[each.target])
        for each in outcomes
    }
    kind = "accuracy in %" if classes else "mean squared error"
    lines = [
        f"**{name}**, {kind}: {experiment['weights']:,} weights, {experiment['epochs']} epochs of "
        f"{experiment['steps'] // experiment['epochs']} steps; the original: "
        f"{_value(experiment['original_error'], classes)}.",
        "",
        "| method | " + " | ".join(f"{100 * each:g} % zeros" for each in targets) + " |",
        "|---" * (1 + len(targets)) + "|",
    ]
    known = {each.method for each in outcomes}
    lines += [
        " | ".join([f"| {each.name}", *(cells.get((each.name, at), "") for at in targets)]) + " |"
        for each in METHODS
        if each.name in known
    ]
    return "\n".join(lines)


def _cell(outcome: Outcome, classes: bool, best: bool) -> str:
    if not outcome.errors:
        return "failed"
    middle = _value(outcome.median, classes)
    text = f"**{middle}**" if best else middle
    ends = sorted((min(outcome.errors), max(outcome.errors)), reverse=classes)
    low, high = (_value(each, classes) for each in ends)
    return text if low == high else f"{text} ({low}-{high})"


def _value(error: float, classes: bool) -> str:
    """An accuracy in percent with one digit, or an error with two figures."""
    return f"{100 * (1 - error):.1f}" if classes else f"{error:.1e}"


def save_picture(experiments: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw a panel an experiment: the error against the weights that are left, medians and ranges.

    Raises `OSError` where the folder can't be written.
    """
    rows = math.ceil((len(experiments) + 1) / _ACROSS)
    figure = new_figure(3.3 * _ACROSS, 3.1 * rows)
    panels: Any = figure.subplots(rows, _ACROSS, squeeze=False).ravel()
    for panel, (name, experiment) in zip(panels, experiments.items(), strict=False):
        _draw(panel, name, experiment)
    for panel in panels[len(experiments) :]:
        panel.axis("off")
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.tight_layout()
    save_png(figure, path)


def _draw(panel: Axes, name: str, experiment: Mapping[str, Any]) -> None:
    outcomes = outcomes_of(experiment)
    targets = sorted({each.target for each in outcomes})
    scale = 100 if experiment["classes"] else 1
    for place, (method, (color, marker)) in enumerate(_LINES.items()):
        found = [each for each in outcomes if each.method == method and each.errors]
        # A little apart, so that bars do not hide each other.
        across = [targets.index(each.target) + 0.07 * (place - 2) for each in found]
        middle = [scale * each.median for each in found]
        ends = [
            [each - scale * min(one.errors) for each, one in zip(middle, found, strict=True)],
            [scale * max(one.errors) - each for each, one in zip(middle, found, strict=True)],
        ]
        panel.errorbar(
            across, middle, ends, color=color, marker=marker, markersize=5, capsize=2, label=method
        )
    original = scale * experiment["original_error"]
    panel.axhline(original, color=INK, linestyle=":", label="the original, not pruned")
    panel.set_yscale("log")
    labels = logarithmic_numbers(*panel.get_ylim())
    panel.set_yticks([*labels], [*labels.values()])
    panel.set_yticks([], minor=True)
    panel.set_xticks(range(len(targets)), [f"{100 * each:g} %" for each in targets])
    panel.set_xlim(-0.4, len(targets) - 0.6)
    panel.set_title(name)
    panel.set_xlabel("zeros")
    panel.set_ylabel("error in %" if experiment["classes"] else "mean squared error")


def write(result: Mapping[str, Any], docs: Path) -> None:
    """Put the tables into docs/methods.md between its marks, and the picture beside it.

    Raises `ValueError` if the marks are missing.
    """
    experiments = result["settings"]["experiments"]
    page = docs / "methods.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = "\n\n".join(table(name, each) for name, each in experiments.items())
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    save_picture(experiments, docs / "images" / "quality.png")


if __name__ == "__main__":
    write(json.loads((RESULTS / "quality.json").read_text(encoding="utf-8")), DOCS)
