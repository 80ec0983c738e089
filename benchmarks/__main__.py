"""Run benchmarks by name, or all of them: `python -m benchmarks [NAME ...] [--quick]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import benchmarks.allocation_cost
import benchmarks.examples_cold
import benchmarks.grid_size
import benchmarks.grid_training
import benchmarks.kills
import benchmarks.latency
import benchmarks.mask_selection
import benchmarks.page
import benchmarks.quality
import benchmarks.scaling
import benchmarks.search
import benchmarks.step_overhead
import benchmarks.structure
import benchmarks.workers
from benchmarks.reporting import publish

BENCHMARKS = {
    "mask_selection": benchmarks.mask_selection.measure,
    "step_overhead": benchmarks.step_overhead.measure,
    "grid_training": benchmarks.grid_training.measure,
    "grid_size": benchmarks.grid_size.measure,
    "allocation_cost": benchmarks.allocation_cost.measure,
    "examples_cold": benchmarks.examples_cold.measure,
    "kills": benchmarks.kills.measure,
    "latency": benchmarks.latency.measure,
    "structure": benchmarks.structure.measure,
    "page": benchmarks.page.measure,
    "quality": benchmarks.quality.measure,
    "search": benchmarks.search.measure,
    "workers": benchmarks.workers.measure,
    "scaling": benchmarks.scaling.measure,
}


def main() -> int:
    """Run the benchmarks; return 1 if a requirement is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes to try the code: nothing is written"
    )
    parser.add_argument(
        "--peer-cache",
        type=Path,
        default=Path(tempfile.gettempdir(), "trimgrid-peers"),
        help="folder for the environments of other tools (default: in the temporary folder)",
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose from {[*BENCHMARKS]}")
    met = True
    for name in options.names or BENCHMARKS:
        study = BENCHMARKS[name](options.quick, options.peer_cache)
        met &= publish(name, study, write=not options.quick)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
