"""What a run directory holds, read without a framework."""
