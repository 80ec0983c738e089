"""What 10 to 100,000 attempts take on 1 to 1,000 nodes that fail: a simulation of the scheduler.

No cluster is measured here: the inputs are assumptions, which docs/scaling.md names, but for the
constants of the executors. What is computed is what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import Requirement, Row, Study
from benchmarks.scheduler import Cluster, Outcome, simulate
from trimgrid.executors.work import MOST_LOSSES

ATTEMPTS = (10, 1_000, 100_000)
NODES = (1, 10, 100, 1_000)
IN_A_UNIT = 8
"""Attempts of a group: they train side by side."""
UNIT_SECONDS = 600.0
SHORT_SECONDS = 3.0
"""Of the units of one row more, which shows what the driver allows."""
SPREAD = 0.25
"""Units take their seconds times a number between 1 - SPREAD and 1 + SPREAD, all alike likely."""
CHECKPOINT = 60.0
DAY = 86_400.0
CLUSTER = Cluster(
    nodes=1,
    slots=1,
    start=20.0,
    data_bytes=1e9,
    bandwidth=1e8,
    repair=600.0,
    detection=30.0,
    driver=0.005,
)


def measure(quick: bool, peer_cache: Path) -> Study:
    """Simulate all sizes with and without failures."""
    attempts = ATTEMPTS[:2] if quick else ATTEMPTS
    rows = [
        simulated(count, nodes, between)
        for count in attempts
        for nodes in NODES
        for between in (None, DAY)
    ]
    settings = {
        "attempts in a unit": IN_A_UNIT,
        "seconds of a unit": UNIT_SECONDS,
        "spread of units": SPREAD,
        "seconds between checkpoints": CHECKPOINT,
        "losses until a unit is given up": MOST_LOSSES,
        "slots of a node": CLUSTER.slots,
        "seconds to start a worker": CLUSTER.start,
        "data, bytes": CLUSTER.data_bytes,
        "bandwidth of a node, bytes/s": CLUSTER.bandwidth,
        "seconds of repair": CLUSTER.repair,
        "seconds to notice a loss": CLUSTER.detection,
        "driver, s a unit": CLUSTER.driver,
        "hours between failures of a node": DAY / 3600,
    }
    rows.append(simulated(ATTEMPTS[-1], NODES[-1], DAY, SHORT_SECONDS))
    return Study(
        title="The scheduler, simulated: units in order on free slots, resumed from checkpoints",
        settings=settings,
        rows=rows,
        requirements=requirements(rows),
    )


def units_of(attempts: int, unit_seconds: float = UNIT_SECONDS) -> list[float]:
    """The seconds that each unit of a grid takes; one that is not full takes as long."""
    count = math.ceil(attempts / IN_A_UNIT)
    random = np.random.default_rng(0)
    seconds = unit_seconds * random.uniform(1 - SPREAD, 1 + SPREAD, count)
    return [float(each) for each in seconds]


def simulated(
    attempts: int, nodes: int, between_failures: float | None, unit_seconds: float = UNIT_SECONDS
) -> Row:
    """Simulate one size; return its row."""
    units = units_of(attempts, unit_seconds)
    cluster = replace(CLUSTER, nodes=nodes, between_failures=between_failures)
    found = simulate(cluster, units, checkpoint=CHECKPOINT)
    return {
        "attempts": attempts,
        "nodes": nodes,
        "unit, s": unit_seconds,
        "failures": "none" if between_failures is None else "one a day and node",
        "hours": found.makespan / 3600,
        "formula, hours": estimate(cluster, units) / 3600,
        "useful": found.useful(nodes * cluster.slots),
        "attempts/s": attempts / found.makespan,
        "nodes lost": found.failures,
        "lost slot seconds": found.lost,
        "units given up": found.given_up,
        "driver's share": len(units) * cluster.driver / found.makespan,
        "limit": limit(cluster, units, found),
    }


def estimate(cluster: Cluster, units: Sequence[float]) -> float:
    """Return the seconds that a run takes by the formula of docs/scaling.md.

    >>> estimate(Cluster(nodes=2, start=5.0), [10.0] * 8)
    50.0
    """
    slots = cluster.nodes * cluster.slots
    mean, longest = float(np.mean(units)), max(units)
    rate = 0.0 if cluster.between_failures is None else 1 / cluster.between_failures
    # What a failure costs each slot of its node: work since the last checkpoint, and time away.
    each_failure = CHECKPOINT / 2 + cluster.repair + cluster.opening
    slower = 1 + rate * each_failure
    if len(units) <= slots:
        training = longest + len(units) * cluster.driver
    else:
        training = mean * len(units) / slots * slower + mean / 2
    return cluster.opening + max(training, len(units) * cluster.driver)


def limit(cluster: Cluster, units: Sequence[float], found: Outcome) -> str:
    """Return which of the bounds that no scheduler gets below is the highest."""
    slots = cluster.nodes * cluster.slots
    away = found.failures * (cluster.repair + cluster.opening) * cluster.slots
    shares = {
        "the number of slots": sum(units) / slots,
        "the longest unit": max(units),
        "the driver": len(units) * cluster.driver,
        "starting workers": cluster.start,
        "the data's way": cluster.data_bytes / cluster.bandwidth,
        "failures": (found.lost + away) / slots,
    }
    return max(shares, key=lambda name: shares[name])


def requirements(rows: Sequence[Row]) -> list[Requirement]:
    """The bounds that the policy must keep."""
    rows = [row for row in rows if row["unit, s"] == UNIT_SECONDS]
    largest = max(int(row["attempts"] or 0) for row in rows)
    by_size = {(row["attempts"], row["nodes"], row["failures"]): row for row in rows}
    wide: Any = by_size[largest, NODES[-1], "one a day and node"]
    calm: Any = by_size[ATTEMPTS[0], NODES[-1], "none"]
    longest = (max(units_of(ATTEMPTS[0])) + CLUSTER.opening) / 3600
    failing: list[Any] = [row for row in rows if row["failures"] != "none"]
    bounds = [
        Requirement("units given up", sum(row["units given up"] for row in failing), 0),
        Requirement(
            "10 attempts on 1,000 nodes, against the longest unit", calm["hours"] / longest, 1.01
        ),
        Requirement(
            "largest lost share of the work",
            max(row["lost slot seconds"] / sum(units_of(row["attempts"])) for row in failing),
            0.02,
        ),
    ]
    if largest == ATTEMPTS[-1]:
        name = "100,000 attempts, 1,000 nodes with failures"
        every: list[Any] = list(rows)
        off = max(
            abs(row["formula, hours"] / row["hours"] - 1)
            for row in every
            if row["attempts"] >= 10 * IN_A_UNIT * row["nodes"]
        )
        bounds += [
            Requirement(f"useful share of the time: {name}", wide["useful"], 0.8, True),
            Requirement(f"driver's share of the time: {name}", wide["driver's share"], 0.05),
            Requirement("formula against simulation, from 10 units a slot on, off by", off, 0.05),
        ]
    return bounds


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as the table of docs/scaling.md: with failures beside without."""
    rows = [row for row in rows if row["unit, s"] == UNIT_SECONDS]
    by_size = {(row["attempts"], row["nodes"], row["failures"]): row for row in rows}
    lines = [
        "| attempts | nodes | hours | with failures | useful | attempts/s | nodes lost | limit |",
        "|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for (attempts, nodes, failures), row in by_size.items():
        if failures == "none":
            other = by_size[attempts, nodes, "one a day and node"]
            lines.append(
                f"| {attempts:,} | {nodes:,} | {_hours(row)} | {_hours(other)} "
                f"| {100 * other['useful']:.2g} % | {other['attempts/s']:.2g} "
                f"| {other['nodes lost']:,} | {other['limit']} |"
            )
    return "\n".join(lines) + "\n"


def _hours(row: Mapping[str, Any]) -> str:
    hours = float(row["hours"])
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
