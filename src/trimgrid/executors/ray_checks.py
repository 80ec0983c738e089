"""What is looked at on a Ray cluster before anything runs there, and how much fits into it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trimgrid.errors import InputError, first_line
from trimgrid.executors.node_versions import check_same, versions
from trimgrid.executors.work import Resources

_SECONDS_TO_ANSWER = 120.0  # a node may be busy, and starts a process for the answer


def alive_nodes(ray: Any) -> list[dict[str, Any]]:
    """Return what Ray knows of each node that is there at present."""
    return [node for node in ray.nodes() if node["Alive"]]


def room(node: Mapping[str, float], unit: Resources) -> int:
    """Return how many units fit into a node, of which Ray gives what it has.

    >>> room({"CPU": 8.0, "GPU": 2.0, "memory": 64e9}, Resources(cpus=2, gpus=1, memory=10**9))
    2
    """
    asked = {"CPU": unit.cpus, "GPU": unit.gpus, "memory": unit.memory or 0}
    fits = [
        int(node.get(name, 0.0) / amount + 1e-9) for name, amount in asked.items() if amount > 0
    ]
    return min(fits, default=max(1, int(node.get("CPU", 1))))


def slots_of(ray: Any, unit: Resources) -> int:
    """Return how many units may run at a time, at least 1."""
    return max(1, sum(room(node["Resources"], unit) for node in alive_nodes(ray)))


def check_room(ray: Any, unit: Resources) -> None:
    """Raise `InputError` if no node can hold a unit, also when nothing else runs there."""
    nodes = [node["Resources"] for node in alive_nodes(ray)]
    if not any(room(node, unit) for node in nodes):
        has = "; ".join(sorted({_text(node) for node in nodes}))
        asked = {"CPU": unit.cpus, "GPU": unit.gpus, "memory": unit.memory or 0}
        raise InputError(
            "A unit of work must fit into one node. "
            f"Received: {_text(asked)} for a unit, where nodes have {has}. "
            "Ask for less, or add a node that has it."
        )


def check_versions(ray: Any) -> None:
    """Raise `InputError` for nodes without trimgrid, or with other versions than here."""
    scheduling = import_module("ray.util.scheduling_strategies")
    task = ray.remote(num_cpus=0, max_retries=0)(versions)
    asked = []
    for node in alive_nodes(ray):
        there = scheduling.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append((node, task.options(scheduling_strategy=there).remote()))
    here = versions()
    for node, answer in asked:
        name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            there = ray.get(answer, timeout=_SECONDS_TO_ANSWER)
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            continue  # it has left in the meantime
        except Exception as error:  # whatever hinders it to answer
            raise InputError(
                "Each node must be able to import trimgrid. "
                f"Received: {name}, {_said(error)} Install it there, in the version of here, or "
                "send it: ray.init(address, runtime_env={'py_modules': [trimgrid]})."
            ) from error
        check_same(name, there, here)


def _said(error: Exception) -> str:
    """Return the last line of an error that has a trace of the node in it, else the first."""
    found = [line for line in str(error).splitlines() if "Error: " in line]
    return f"{found[-1].strip().rstrip('.')}." if found else first_line(error)


def _text(node: Mapping[str, float]) -> str:
    amounts = [(node.get(name, 0), name) for name in ("CPU", "GPU")]
    parts = [f"{amount:g} {name}{'s' * (amount != 1)}" for amount, name in amounts]
    if node.get("memory"):
        parts.append(f"{node['memory'] / 1e9:.3g} GB of memory")
    return ", ".join(parts)
