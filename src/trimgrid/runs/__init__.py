"""Studies, their runs and their results."""
