"""Where a worker process begins: Keras is started, then the study is unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimgrid.startup import start_keras

if TYPE_CHECKING:
    from trimgrid.executors.work import Do
    from trimgrid.runs.packed import Packed


def open_groups(packed: Packed) -> Do:
    """Return what trains and measures a group of attempts in this process.

    `packed`: a `trimgrid.runs.group_run.GroupWork`. Raises `InputError` for a study that can't be
    unpacked here.
    """
    start_keras(packed.hurry)
    from trimgrid.runs.group_run import GroupRun

    return GroupRun(packed.unpacked()).do
