"""Which modules can't be imported here: those that need TFMOT, where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore: list[str] = []
if find_spec("tensorflow_model_optimization") is None:
    legacy = ("fitting", "planned", "wrapping")
    collect_ignore = [f"trimgrid/legacy/{name}.py" for name in legacy]
    collect_ignore.append("trimgrid/engines/tfmot.py")
