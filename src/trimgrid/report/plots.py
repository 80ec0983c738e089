"""Pictures of a run: each attempt's prediction, and what size costs in quality."""

from __future__ import annotations

from trimgrid.report.prediction_panels import save_predictions
from trimgrid.report.tradeoff import save_tradeoff

__all__ = ["save_predictions", "save_tradeoff"]
