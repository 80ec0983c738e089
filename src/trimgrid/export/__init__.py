"""Files to measure and to ship: written, converted, run, compared."""
