"""What a search may vary: the attempts that its numbers stand for, and where it begins."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from trimgrid.grids.grid import AttemptConfig
from trimgrid.grids.recommended import UPDATES, WARMUP
from trimgrid.learning_rates import Cosine
from trimgrid.schedules import PolynomialDecay
from trimgrid.sensitivity import Sensitivity

Params = dict[str, Any]
"""The numbers and names that stand for an attempt: density, allocation, peak and ramp."""

BY_SENSITIVITY = "sensitivity"
"""In place of an allocation: each tensor so sparse that all cost the same, pruned alone."""
_ALLOCATIONS = ("lamp", "global_magnitude", "erdos_renyi", BY_SENSITIVITY)
_MOST_DENSE, _LEAST_DENSE = 0.7, 0.001
_PEAKS = (0.5, 10.0)  # times the original's highest learning rate
_RAMPS = (0.1, 0.5)  # of the training: where it is half over all masks are as they stay
_TOLD = 0.9  # up to this sparsity sensitivity tells tensors apart
_FIRST_PEAK, _FIRST_RAMP = 6.0, 0.2  # as the smallest good ones of random searches have it


@dataclass(frozen=True)
class SearchSpace:
    """The attempts of a search for one model and one training.

    `steps`: the batches of a training, `peak`: the highest learning rate with which the original
    was trained, `least`: the lowest density, the share of the prunable weights that stay.
    `sensitivity`: of the original.

    An attempt keeps a share `density` of the weights, shared out by `allocation`; its learning rate
    goes along a cosine with a warm-up up to `peak` times the original's; the masks are chosen
    during the first share `ramp` of the training, along a cubic ramp.
    """

    steps: int
    peak: float
    least: float
    sensitivity: Sensitivity

    @classmethod
    def of(
        cls,
        shapes: Sequence[Sequence[int]],
        steps: int,
        peak: float,
        sensitivity: Sensitivity,
    ) -> SearchSpace:
        """Return the space for a model whose pruned tensors have these shapes.

        The lowest density leaves half a weight for each output unit, and at least a thousandth.
        """
        sizes = [math.prod(shape) for shape in shapes]
        units = sum(min(shape[-1], size) for shape, size in zip(shapes, sizes, strict=True))
        least = min(max(units / sum(sizes) / 2, _LEAST_DENSE), _MOST_DENSE / 2)
        # Of few digits, so that what is drawn above it is not below it when it is rounded.
        return cls(steps, peak, float(f"{least:.3g}"), sensitivity)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the greatest of each number; all but `ramp` count by their logarithms."""
        return {"density": (self.least, _MOST_DENSE), "peak": _PEAKS, "ramp": _RAMPS}

    @property
    def allocations(self) -> tuple[str, ...]:
        """The choices of `allocation`; sharing by sensitivity needs two tensors."""
        if len(self.sensitivity.weights) < 2:
            return _ALLOCATIONS[:-1]
        return _ALLOCATIONS

    def first(
        self, count: int, max_error: float | None, max_increase: float | None
    ) -> list[Params]:
        """Return so many begins: densities from what the tensors bear without training downwards.

        Pruned to what `Sensitivity.largest` allows each of them alone, the tensors are dense
        enough; from there on the densities go down evenly by their logarithms.
        """
        weights = self.sensitivity.weights
        borne = self.sensitivity.largest(max_error=max_error, max_increase=max_increase)
        dense = 1 - sum(weights[each] * share for each, share in borne.items()) / sum(
            weights.values()
        )
        begin = min(max(dense, 2 * self.least), _MOST_DENSE)
        densities = np.geomspace(begin, self.least, count + 1)[1:]
        return [
            rounded(
                {
                    "density": float(density),
                    "allocation": allocation,
                    "peak": _FIRST_PEAK,
                    "ramp": _FIRST_RAMP,
                }
            )
            for density, allocation in zip(densities, cycle(self.allocations), strict=False)
        ]

    def attempt(self, number: int, params: Mapping[str, Any]) -> AttemptConfig:
        """Return the attempt that the numbers stand for."""
        sparsity = 1 - params["density"]
        allocation, overrides = params["allocation"], None
        if allocation == BY_SENSITIVITY:
            allocation, overrides = "uniform", self._overrides(sparsity)
        end = max(1, int(params["ramp"] * self.steps))
        return AttemptConfig(
            f"search {number}, {100 * sparsity:.2f} %",
            PolynomialDecay(0.0, sparsity, end_step=end, frequency=max(1, end // UPDATES)),
            allocation=allocation,
            overrides=overrides,
            learning_rate=Cosine(float(f"{params['peak'] * self.peak:.4g}"), warmup=WARMUP),
        )

    def _overrides(self, sparsity: float) -> dict[str, float]:
        """The sparsity of each tensor but the largest, which takes what is left."""
        weights = self.sensitivity.weights
        largest = max(weights, key=lambda each: weights[each])
        # Above that tensors are all as sparse as was looked at: what stays shrinks alike.
        known = min(sparsity, _TOLD)
        shrunk = (1 - sparsity) / (1 - known)
        others = {
            tensor: 1 - (1 - share) * shrunk
            for tensor, share in self.sensitivity.shares(known).items()
            if tensor != largest
        }
        # The largest keeps at least one weight: what it can't take the others must, as far as they
        # keep one each, too.
        left = sparsity * sum(weights.values()) - (weights[largest] - 1)
        zeros = sum(weights[tensor] * share for tensor, share in others.items())
        kept = sum(weights[tensor] for tensor in others) - zeros
        more = max(0.0, left - zeros)
        lifted = more / kept if 0 < more <= kept - len(others) else 0.0
        return {
            glob.escape(tensor): float(f"{share + (1 - share) * lifted:.6f}")
            for tensor, share in others.items()
        }


def rounded(params: Mapping[str, Any]) -> Params:
    """Return numbers that read well: density and peak with four digits, ramp with two.

    >>> rounded({"density": 0.123456, "allocation": "lamp", "peak": 3.14159, "ramp": 0.123})
    {'density': 0.1235, 'allocation': 'lamp', 'peak': 3.142, 'ramp': 0.12}
    """
    return {
        "density": float(f"{params['density']:.4g}"),
        "allocation": str(params["allocation"]),
        "peak": float(f"{params['peak']:.4g}"),
        "ramp": float(f"{params['ramp']:.2f}"),
    }
