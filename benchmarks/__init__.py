"""Slow studies of speed and memory, for a person to run: `python -m benchmarks NAME`."""
