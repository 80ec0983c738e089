"""What workers are given, as bytes: pickled once, with large arrays beside, not copied."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator, Mapping

import cloudpickle

from trimgrid.errors import InputError, first_line


def pickled(
    value: object, name: str, aside: Callable[[pickle.PickleBuffer], object] | None = None
) -> bytes:
    """Return what `pickle.loads` makes the value of again in another process.

    Functions and classes of a script or a notebook are in it by value. Contiguous arrays are not,
    if there is an `aside`, which is called with the memory of each, in order.

    Raises `InputError` for what can't leave its process. `name` says what the value is; the message
    has the part of it that is to blame.

    >>> pickled({"data": (x for x in "ab")}, "shared")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: What workers get must be such that pickle can write it. \
Received: shared['data'], cannot pickle 'generator' object. \
Give arrays, or a function that makes it in the worker, as one that gives the batches.
    """
    try:
        content: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=aside)
        return content
    except Exception as error:  # what objects raise that can't be pickled is of any type
        raise InputError(
            "What workers get must be such that pickle can write it. "
            f"Received: {_to_blame(value, name)}, {first_line(error)} "
            "Give arrays, or a function that makes it in the worker, as one that gives the batches."
        ) from error


def not_there(error: Exception) -> str:
    """Return what to say of an import that fails in a worker only."""
    return (
        "What workers get must be importable there. "
        f"Received: {first_line(error)} "
        "Put it into an installed package, into a file beside the script, or into the script."
    )


def _to_blame(value: object, name: str) -> str:
    """Return the name of the innermost part that can't be pickled by itself."""
    for part, its_name in _parts(value, name):
        try:
            cloudpickle.dumps(part, protocol=5, buffer_callback=lambda _: None)
        except RecursionError:
            break  # all of its parts would do the same
        except Exception:
            return _to_blame(part, its_name)
    return name


def _parts(value: object, name: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, Mapping):
        yield from ((each, f"{name}[{key!r:.40}]") for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from ((each, f"{name}[{place}]") for place, each in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield getattr(value, field.name), f"{name}.{field.name}"
