"""Short names for what determines a result: equal values have the same digest, others do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.errors import InputError

_DIGITS = 16
# How many elements of an array that is not contiguous are copied at a time.
_PIECE = 2**16


def digest(value: Any) -> str:
    """Return 16 hex digits that stand for a value: the start of the SHA-256 of its JSON.

    The JSON is canonical: keys sorted, floats by their `repr`. Dicts may have strings, booleans and
    integers as keys, which differ; lists and tuples are the same; `1`, `1.0` and `True` differ;
    NumPy's numbers count as Python's; NaN and infinities are values like others.

    Raises `InputError` for what JSON does not have: arrays (see `array_digest`), sets, bytes and
    other objects.

    >>> digest({"epochs": 20, "sparsity": 0.5}) == digest({"sparsity": 0.5, "epochs": 20})
    True
    >>> digest(20) == digest(20.0)
    False
    """
    try:
        text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "A value that is digested must be one that JSON can hold. "
            f"Received: {type(value).__name__}, {error}. Make it smaller or simpler."
        ) from error
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_DIGITS]


def array_digest(*arrays: Any) -> str:
    """Return 16 hex digits that stand for arrays, or nested lists, tuples and dicts of arrays.

    Type, shape, bytes, structure and keys count; how an array lies in memory, the order of the
    keys, and whether it was a list or a tuple do not. `None` stands for an array that is not there.
    No array is copied as a whole.

    Raises `InputError` for arrays of objects and of records, and for keys that are not strings.

    >>> x = np.arange(6.0).reshape(2, 3)
    >>> array_digest(x) == array_digest(np.asfortranarray(x))
    True
    >>> array_digest(x) == array_digest(x.reshape(3, 2))
    False
    """
    hashed = hashlib.sha256()
    for piece in _pieces(arrays):
        hashed.update(piece)
    return hashed.hexdigest()[:_DIGITS]


def _canonical(value: Any) -> Any:
    """Rebuild a value from what JSON has; the keys of a dict become their own JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and not isinstance(value, np.longdouble):
        return float(value)
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    if isinstance(value, Mapping):
        return {_key(key): _canonical(each) for key, each in value.items()}
    raise InputError(
        "A value that is digested must be made of numbers, strings, None, lists and dicts. "
        f"Received: {type(value).__name__}, {value!r:.60}. Turn it into one of these."
    )


def _key(key: Any) -> str:
    if isinstance(key, str | bool | np.bool_ | int | np.integer):
        return json.dumps(_canonical(key))
    raise InputError(
        "Keys of a dict that is digested must be strings or integers. "
        f"Received: {type(key).__name__}, {key!r:.60}. Use its name."
    )


def _pieces(node: Any) -> Iterator[bytes | memoryview]:
    """Describe a node, which fixes how many bytes or nodes follow, then give these."""
    if node is None:
        yield _header("none")
    elif isinstance(node, list | tuple):
        yield _header("list", len(node))
        for each in node:
            yield from _pieces(each)
    elif isinstance(node, Mapping):
        strange = [key for key in node if not isinstance(key, str)]
        if strange:
            raise InputError(
                "Keys of arrays that are digested must be strings. "
                f"Received: {strange[0]!r:.60}. Name each array."
            )
        keys = sorted(node)
        yield _header("dict", keys)
        for key in keys:
            yield from _pieces(node[key])
    else:
        yield from _bytes_of(np.asarray(node))


def _bytes_of(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    kind = array.dtype
    if kind.hasobject or kind.fields is not None:
        raise InputError(
            "An array that is digested must hold plain numbers or strings of fixed length. "
            f"Received: dtype={kind}. Convert it with array.astype."
        )
    # Types that NumPy does not know, like bfloat16, differ by name only.
    yield _header("array", kind.str, kind.name, array.shape)
    if array.nbytes == 0:
        return
    if array.flags.c_contiguous:
        yield array.reshape(-1).view(np.uint8).data
        return
    for start in range(0, array.size, _PIECE):
        yield array.flat[start : start + _PIECE].view(np.uint8).data


def _header(*parts: Any) -> bytes:
    return json.dumps(parts).encode("ascii") + b"\n"
