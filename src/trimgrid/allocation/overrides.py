"""Which tensors the patterns of an allocation's overrides mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from trimgrid.errors import InputError


def matches(path: str, pattern: str) -> bool:
    """Tell whether a shell pattern matches a variable's path, or its end after a slash.

    >>> matches("block/dense/kernel", "dense/*"), matches("block/dense/kernel", "block")
    (True, False)
    """
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")


def overridden(overrides: Mapping[str, float] | None, paths: Sequence[str]) -> list[float | None]:
    """Return for each path of a prunable tensor the sparsity that is given for it, or None.

    Raises `InputError` for a pattern that matches none of them, and for a tensor that is given two
    sparsities.

    >>> overridden({"out/*": 0.5}, ["dense/kernel", "out/kernel"])
    [None, 0.5]
    """
    found: list[float | None] = [None] * len(paths)
    by: list[str] = [""] * len(paths)
    for pattern, sparsity in (overrides or {}).items():
        places = [place for place, path in enumerate(paths) if matches(path, pattern)]
        if not places:
            raise InputError(
                "Every pattern of overrides must match the path of a variable that is pruned. "
                f"Received: overrides={pattern!r}. The paths are: {', '.join(paths)}."
            )
        for place in places:
            if found[place] not in (None, sparsity):
                raise InputError(
                    f"overrides must give a tensor one sparsity. Received: {by[place]!r} and "
                    f"{pattern!r} for {paths[place]}, with {found[place]} and {sparsity}. "
                    "Leave one of them out, or make the patterns narrower."
                )
            found[place], by[place] = sparsity, pattern
    return found
