"""Units that do nothing leave a model for good."""
