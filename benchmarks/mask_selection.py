"""How long choosing a mask takes: ours against `numpy.partition`, a full sort and TFMOT's own.

`numpy.partition` of magnitudes that lie ready, on one core, is the yardstick: a linear selection
and nothing else, no mask. TFMOT runs in its own environment, in a child as the others do: the mask
update of its training step, which sorts the whole tensor with `tf.math.top_k`.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.child import Child
from benchmarks.peers.environment import TFMOT_ENVIRONMENT, tfmot_python
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study

_SPARSITY = 0.9
_YARDSTICK, _ORACLE, _TFMOT = "numpy.partition", "NumPy oracle", "TFMOT"
_OURS = "trimgrid, "
_SORTS = ("TFMOT", "full sort, JAX")
_REQUIRED_AT = 20_000_000


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time every method on every tensor, in turns, with all frameworks in one run.

    Raises `RuntimeError` if one of our masks is not the oracle's.
    """
    sizes = (100_000, 1_000_000) if quick else (1_000_000, _REQUIRED_AT, 100_000_000)
    repetitions = dict.fromkeys(sizes, 3 if quick else 7) | {100_000_000: 3}
    quiet = Quiet(patience=0 if quick else 1200)
    rows: list[Row] = []
    medians: dict[tuple[int, bool, str], float] = {}
    with ExitStack() as stack:
        children = [
            stack.enter_context(child)
            for child in (
                *(Child("benchmarks.mask_worker", each) for each in ("numpy", "jax", "tensorflow")),
                Child(
                    "benchmarks.peers.tfmot_masks",
                    "tensorflow",
                    python=tfmot_python(peer_cache),
                    environment=TFMOT_ENVIRONMENT,
                ),
            )
        ]
        for size in sizes:
            for tied in (False, True):
                seconds, zeros = _times(children, size, tied, repetitions[size], quiet)
                found = {method: median(times) for method, times in seconds.items()}
                medians |= {(size, tied, method): time for method, time in found.items()}
                rows += [
                    {
                        "weights": size,
                        "values": "95 % zeros" if tied else "continuous",
                        "method": method,
                        "median_s": found[method],
                        "fastest_s": min(times),
                        "slowest_s": max(times),
                        "this_to_partition": found[method] / found[_YARDSTICK],
                        "tfmot_to_this": found[_TFMOT] / found[method],
                        "repetitions": len(times),
                        "zeros": zeros[method],
                    }
                    for method, times in seconds.items()
                ]
    return Study(
        f"Choosing the mask of one tensor at {_SPARSITY:.0%} zeros",
        {"sparsity": _SPARSITY, "sizes": sizes, "quiet": quiet.note()},
        rows,
        _requirements(medians, sizes[1]),
    )


def _times(
    children: list[Child], size: int, tied: bool, repetitions: int, quiet: Quiet
) -> tuple[dict[str, list[float]], dict[str, int | None]]:
    """Return the seconds of each run of each method, and how many zeros its mask has."""
    where = {
        method: child
        for child in children
        for method in child.ask("prepare", size=size, tied=tied, sparsity=_SPARSITY)
    }
    checks = {method: child.ask("check", method=method) for method, child in where.items()}
    for method, check in checks.items():
        if method.startswith(_OURS) and check != checks[_ORACLE]:
            raise RuntimeError(f"The mask of {method} is not the oracle's: {check}, {checks}.")
    seconds: dict[str, list[float]] = {method: [] for method in where}
    for turn in range(repetitions):
        for method, child in where.items():
            # Half a minute each, and it shows in one run already that sorting is no way.
            if method in _SORTS and size > _REQUIRED_AT and turn:
                continue
            ask = partial(child.ask, "time", method=method)
            seconds[method].append(quiet.measure(ask))
    return seconds, {method: check["zeros"] for method, check in checks.items()}


def _requirements(medians: dict[tuple[int, bool, str], float], size: int) -> list[Requirement]:
    required = []
    for tied, values in ((False, "continuous"), (True, "95 % zeros")):
        yardstick, tfmot = (medians[size, tied, each] for each in (_YARDSTICK, _TFMOT))
        for framework, limit in (("JAX", 2), ("TensorFlow", 4)):
            ours = medians[size, tied, _OURS + framework]
            name = f"{framework}, {size:,} weights, {values}"
            required.append(Requirement(f"{name}: times numpy.partition", ours / yardstick, limit))
            if not tied:  # a sort is fast on equal values, and TFMOT prunes none of them
                name = f"{name}: times faster than TFMOT"
                required.append(Requirement(name, tfmot / ours, 5, True))
    return required
