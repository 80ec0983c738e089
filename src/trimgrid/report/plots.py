"""Pictures of a run: each attempt's prediction, and what size costs in quality."""

from __future__ import annotations

from trimgrid.report.curves import save_curves
from trimgrid.report.tradeoff import save_tradeoff

__all__ = ["save_curves", "save_tradeoff"]
