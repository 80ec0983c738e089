"""TensorFlow's notes that are no news where there is a new model for each attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_KNOWN = (
    "triggered tf.function retracing",
    "Compiled the loaded model, but",
    "Check your callbacks",
)


@contextmanager
def without_notices() -> Iterator[None]:
    """Hold back notes that a new model is a new trace, that one was never compiled, and that the
    callbacks, which are our own, are slow beside small batches.

    >>> with without_notices():
    ...     logging.getLogger("tensorflow").warning("5 calls triggered tf.function retracing")
    """

    def wanted(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(each in message for each in _KNOWN)

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
