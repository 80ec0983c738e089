"""What all benchmarks share: a result, the machine it came from, a table and a file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

import psutil
from rich.console import Console
from rich.table import Table

Row: TypeAlias = Mapping[str, str | float | None]
RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("trimgrid", "keras", "jax", "tensorflow-cpu", "tensorflow", "numpy")


@dataclass(frozen=True)
class Requirement:
    """A bound that a measurement must keep: at most `limit`, or at least it."""

    what: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the measurement keeps the bound."""
        good = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return bool(good)


@dataclass(frozen=True)
class Study:
    """What a benchmark found. The keys of the rows name their units."""

    title: str
    settings: Mapping[str, object]
    rows: Sequence[Row]
    requirements: Sequence[Requirement]


def publish(name: str, study: Study, write: bool) -> bool:
    """Print the study, write `results/NAME.json` if asked to, and return whether all bounds hold.

    The file says which machine and versions the figures come from.
    """
    console = Console(width=None if Console().is_terminal else 170)
    console.print(_table(study.title, study.rows))
    if study.requirements:
        console.print(_table("Requirements", _bounds(study.requirements)))
    if write:
        found = asdict(study) | {
            "requirements": [asdict(each) | {"met": each.met} for each in study.requirements]
        }
        date = datetime.now(UTC).isoformat(timespec="seconds")
        result = {"benchmark": name, "date": date, "machine": machine(), **found}
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        console.print(f"Written to benchmarks/results/{path.name}")
    return all(each.met for each in study.requirements)


def _bounds(requirements: Sequence[Requirement]) -> list[Row]:
    return [
        {
            "requirement": each.what,
            "measured": each.measured,
            "limit": f"{'>=' if each.at_least else '<='} {each.limit:g}",
            "met": "yes" if each.met else "NO",
        }
        for each in requirements
    ]


def machine() -> dict[str, object]:
    """Return the processor, cores, memory in GiB and versions, and nothing that tells whose."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for key in rows[0] if rows else ():
        numeric = any(isinstance(row[key], float | int) for row in rows)
        table.add_column(key, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
