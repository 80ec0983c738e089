"""A real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import gc
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
# Ray leaves files, sockets and processes to the garbage collector.
LEFT_BEHIND = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Give the cluster; afterwards nothing of it is left, and signals are handled as before."""
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    head = {**NODE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()
        signal.signal(signal.SIGTERM, before)
        with warnings.catch_warnings():  # what Ray leaves behind is not for later tests to find
            warnings.simplefilter("ignore")
            gc.collect()
