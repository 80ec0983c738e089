"""The page of a run: one HTML file that shows the trade-off and helps to pick a model."""
