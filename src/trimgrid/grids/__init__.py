"""Grids of attempts: from Python, from lists of values, from TOML."""
