"""What a training reads, and whether it fits the model."""
