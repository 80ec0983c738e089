"""Data that lies in a .npz file: arrays with names that say what they are."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.data.batches import Arrays
from trimgrid.errors import InputError, first_line

_NAME = re.compile(r"(?P<part>[xyw])(?:_(?P<split>train|val|validation|test))?(?:/(?P<own>.+))?")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
# A part of a split: the names of its arrays in the file by their own names, None for a single one.
Part = dict[str | None, str]


def read_npz(path: str | Path, wanted: str, also: Sequence[str] = ()) -> dict[str, Arrays]:
    """Return (x, y) or (x, y, weights) of a split, and of others where the file has them.

    `wanted` and `also` are "train", "validation" or "test". The file holds `x_train`, `y_train`
    and, if examples do not weigh the same, `w_train`; `x_val` or `x_validation`; `x_test`. A file
    of one split may hold plain `x`, `y` and `w`, which are then the wanted one. Several inputs or
    outputs are arrays `x_train/NAME`, which come as a dict by name.

    Raises `InputError`, which names the file, if it is missing or damaged, has not the arrays that
    it should have or others, or holds Python objects, which are never loaded.

    >>> read_npz("data.npz", "train")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: Data must be a .npz file. Received: 'data.npz', which is no file. \
Check the path.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Data must be a .npz file. Received: {str(path)!r}, which is no file. Check the path."
        )
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"A .npz file must be a whole zip archive. Received: {str(path)!r}, which is truncated "
            "or of another type. Save it again with numpy.savez."
        )
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = _by_split(path, file.files, wanted)
            chosen = {split: found[split] for split in (wanted, *also) if split in found}
            return {
                split: tuple(_read(path, file, parts[part]) for part in "xyw" if part in parts)
                for split, parts in chosen.items()
            }
    except InputError:
        raise
    except Exception as error:  # damaged bytes end in whatever NumPy and zipfile take them for
        raise _damaged(path, "its list of arrays", error) from error


def _by_split(path: Path, names: Sequence[str], wanted: str) -> dict[str, dict[str, Part]]:
    """Sort the arrays by split and part."""
    found: dict[str, dict[str, Part]] = {}
    plain = any(re.match(r"[xyw](/|$)", name) for name in names)
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or (match["split"] is None) != plain:
            raise _misnamed(path, names, wanted, f"with {name!r}")
        split = wanted if plain else _SPLITS[match["split"]]
        part = found.setdefault(split, {}).setdefault(match["part"], {})
        if match["own"] in part or (part and (None in part) != (match["own"] is None)):
            raise _misnamed(path, names, wanted, f"with two meanings of {match['part']}")
        part[match["own"]] = name
    if wanted not in found:
        raise _misnamed(path, names, wanted, f"without {wanted} data")
    for split, parts in found.items():
        for part_name in "xy":
            if part_name not in parts:
                raise _misnamed(path, names, wanted, f"without {part_name} of the {split} data")
    return found


def _misnamed(path: Path, names: Sequence[str], wanted: str, what: str) -> InputError:
    there = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return InputError(
        f"A .npz file must hold x_{wanted}, y_{wanted} and if need be w_{wanted}, or plain x, y "
        f"and w; several inputs or outputs as x_{wanted}/NAME. Received: {str(path)!r} {what}; "
        f"it holds: {there or 'nothing'}. Save it with those names."
    )


def _read(path: Path, file: Any, part: Part) -> NDArray[Any] | dict[str, NDArray[Any]]:
    arrays = {own: _array(path, file, name) for own, name in part.items()}
    if None in arrays:
        return arrays[None]
    return {str(own): array for own, array in arrays.items()}


def _array(path: Path, file: Any, name: str) -> NDArray[Any]:
    try:
        array = file[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(
                "Arrays must hold numbers. Received: Python objects in "
                f"{name!r} of {str(path)!r}, which could run code and are never loaded. "
                "Save an array of numbers; rows of different lengths must be padded first."
            ) from error
        raise _damaged(path, name, error) from error
    # NumPy believes a header: one that claims too much ends in a MemoryError.
    except Exception as error:
        raise _damaged(path, name, error) from error
    if not isinstance(array, np.ndarray):
        raise _damaged(path, name, ValueError("it is no array of NumPy"))
    return array


def _damaged(path: Path, what: str, error: Exception) -> InputError:
    # To what is no array NumPy says that a pickle might be loaded, which is no advice to give.
    reason = "it is none of NumPy's." if "allow_pickle" in str(error) else first_line(error)
    return InputError(
        f"A .npz file must be whole. Received: {str(path)!r}, where {what} can't be read: "
        f"{reason} Save it again with numpy.savez."
    )
